"""Windows of the demo room."""

from collections.abc import Awaitable, Callable, Iterator

import pytest
from playwright.async_api import Browser
from tornado.ioloop import IOLoop

from devtools import demo as demo_data
from realtime.socket_writer import SocketWriter
from runtime.process import ServerProcess
from tests.browser.conftest import TIMEOUT_MS
from tests.browser.pages.demo_window import PHONE, DemoBrowser
from tests.support.waiting import until

DEMO_USERS = ["hongniang1", "建国", "志强", "秀英"]


@pytest.fixture
def demo_users(monkeypatch: pytest.MonkeyPatch) -> bool:
    """The server has only those of the 22 demo users that these tests use."""
    users = [user for user in demo_data.USERS if user[1] in DEMO_USERS]
    monkeypatch.setattr(demo_data, "USERS", users)
    return True


@pytest.fixture
def demo(io_loop: IOLoop, browser: Browser, server: ServerProcess) -> Iterator[DemoBrowser]:
    """Windows of phone size, without animations, which cost CPU time.

    Fails on requests to other hosts and on errors in their consoles."""
    context = io_loop.run_sync(lambda: browser.new_context(viewport=PHONE, reduced_motion="reduce"))
    context.set_default_timeout(TIMEOUT_MS)
    demo = DemoBrowser(context, server.address)
    yield demo
    io_loop.run_sync(context.close)
    websocket_origin = server.address.replace("http", "ws", 1)
    demo.log.check(f"{server.address}/", f"{websocket_origin}/", "data:")


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
