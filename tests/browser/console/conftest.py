"""The operators' console and a room that it shows."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from playwright.async_api import Browser
from tornado.ioloop import IOLoop

from runtime.process import ServerProcess
from tests.browser.conftest import TIMEOUT_MS
from tests.browser.pages.console import VIEWPORT, Console
from tests.support.api import ApiClient, ApiFixture


@pytest.fixture
def console(
    io_loop: IOLoop, browser: Browser, server: ServerProcess, api: ApiFixture
) -> Iterator[Console]:
    """A window that fails on requests to other hosts and on errors in its console."""
    context = io_loop.run_sync(
        lambda: browser.new_context(viewport=VIEWPORT, reduced_motion="reduce")
    )
    context.set_default_timeout(TIMEOUT_MS)
    page = io_loop.run_sync(context.new_page)
    console = Console(page, server.address)
    console.session = io_loop.run_sync(api.log_in_operator)
    yield console
    io_loop.run_sync(context.close)
    console.log.check(f"{server.address}/")


class LiveRoom(NamedTuple):
    """A room with anna on the mic and bert in the queue, all connected."""

    host: ApiClient
    anna: ApiClient
    bert: ApiClient

    @property
    def live_id(self) -> int:
        return self.host.live_id


@pytest.fixture
def live_room(io_loop: IOLoop, api: ApiFixture) -> LiveRoom:
    async def start() -> LiveRoom:
        host = await api.host("红娘小美")
        live_id = host.live_id
        anna = await api.guest("安娜", 2, live_id)
        bert = await api.guest("伯特", 1, live_id)
        (await anna.post("qlive_room/apply_micro/", live_id=live_id)).ok()
        (await anna.post("qlive_room/accept_micro/", live_id=live_id)).ok()
        (await bert.post("qlive_room/apply_micro/", live_id=live_id)).ok()
        for client in (host, anna, bert):
            await client.connect()
        return LiveRoom(host, anna, bert)

    room: LiveRoom = io_loop.run_sync(start)
    return room
