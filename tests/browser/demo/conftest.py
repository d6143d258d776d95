"""Windows of the demo room."""

import pytest

from devtools import demo as demo_data
from tests.browser.pages.demo_window import DemoBrowser
from tests.support.waiting import until

DEMO_USERS = ["hongniang1", "建国", "志强", "秀英"]


@pytest.fixture
def demo_users(monkeypatch):
    """The server has only those of the 22 demo users that these tests use."""
    users = [user for user in demo_data.USERS if user[1] in DEMO_USERS]
    monkeypatch.setattr(demo_data, "USERS", users)
    return True


@pytest.fixture
def expected_errors():
    return ("status of 4", "ERR_INTERNET")  # refused requests, and lost ones


@pytest.fixture
def demo(browser_log, server):
    return DemoBrowser(browser_log, server.address)


@pytest.fixture
def close_socket(server):
    """Closes a user's TCP connection without a close frame, once it is in the hub."""

    async def close(user_id):
        def outboxes():
            members = server.context.hub.members
            return [outbox for _, outbox in members if outbox.user_id == user_id]

        for outbox in await until(outboxes):
            outbox.stream.close()

    return close
