"""The operators' console and a room that it shows."""

from typing import NamedTuple

import pytest
from tornado.ioloop import IOLoop

from tests.browser.pages.console import VIEWPORT, Console
from tests.browser.pages.windows import BrowserLog
from tests.support.api import ApiClient, ApiFixture


@pytest.fixture
def expected_errors() -> tuple[str, ...]:
    return ("status of 4",)  # refused requests


@pytest.fixture
def console(io_loop: IOLoop, browser_log: BrowserLog, api: ApiFixture) -> Console:
    async def open_window() -> Console:
        page = await browser_log.context.new_page()
        await page.set_viewport_size(VIEWPORT)
        console = Console(page, api.address, browser_log)
        console.session = await api.log_in_operator()
        return console

    console: Console = io_loop.run_sync(open_window)
    return console


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
