"""Windows of the demo room."""

from collections.abc import Awaitable, Callable

import pytest

from devtools import demo as demo_data
from realtime.socket_writer import SocketWriter
from runtime.process import ServerProcess
from tests.browser.pages.demo_window import DemoBrowser
from tests.browser.pages.windows import BrowserLog
from tests.support.waiting import until

DEMO_USERS = ["hongniang1", "建国", "志强", "秀英"]


@pytest.fixture
def demo_users(monkeypatch: pytest.MonkeyPatch) -> bool:
    """The server has only those of the 22 demo users that these tests use."""
    users = [user for user in demo_data.USERS if user[1] in DEMO_USERS]
    monkeypatch.setattr(demo_data, "USERS", users)
    return True


@pytest.fixture
def expected_errors() -> tuple[str, ...]:
    return ("status of 4", "ERR_INTERNET")  # refused requests, and lost ones


@pytest.fixture
def demo(browser_log: BrowserLog, server: ServerProcess) -> DemoBrowser:
    return DemoBrowser(browser_log, server.address)


@pytest.fixture
def close_socket(server: ServerProcess) -> Callable[[str], Awaitable[None]]:
    """Closes a user's TCP connection without a close frame, once it is in the hub."""

    async def close(user_id: str) -> None:
        def outboxes() -> list[SocketWriter]:
            members = server.context.hub.members
            return [outbox for _, outbox in members if outbox.user_id == user_id]

        for outbox in await until(outboxes):
            outbox.stream.close()

    return close
