"""The operators' console, a room that it shows, and rows that fill its long lists."""

from datetime import UTC, datetime
from typing import NamedTuple

import pytest

from tests.browser.pages.console import VIEWPORT, Console
from tests.support.api import ApiClient


@pytest.fixture
def expected_errors():
    return ("status of 4",)  # refused requests


@pytest.fixture
def console(io_loop, browser_log, api):
    async def open_window():
        page = await browser_log.context.new_page()
        await page.set_viewport_size(VIEWPORT)
        console = Console(page, api.address, browser_log)
        console.session = await api.log_in_operator()
        return console

    return io_loop.run_sync(open_window)


class LiveRoom(NamedTuple):
    """A room with anna on the mic and bert in the queue, all connected."""

    host: ApiClient
    anna: ApiClient
    bert: ApiClient


@pytest.fixture
def live_room(io_loop, api):
    async def start():
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

    return io_loop.run_sync(start)


COLLECTIONS = {"people": "users", "orders": "orders", "ledger": "ledger", "inbox": "inbox"}
"""The collections behind the pages with long lists."""


def insert_rows(db, page, count):
    """Inserts rows for a page's list and returns their ids, each of which its row shows."""
    now = datetime.now(UTC)
    ids = [f"{20_000_000 + n}" for n in range(count)]
    balance = {"gold": 1, "income": 0, "owed": 0}
    rows = {
        "people": {**balance, "app_id": "a", "nickname": "人", "create_time": now},
        "orders": {"user_id": "1" * 8, "provider": "xpay", "product": "p", "fen": 1, "gold": 1}
        | {"state": "paid", "sandbox": False, "queries": 0, "created_at": now},
        "ledger": {"kind": "grant", "at": now, "by": "ops", "lines": [], "content": {}}
        | {"answer": {}, "note": ""},
        "inbox": {"source": "im", "query": "", "raw": "", "genuine": True, "outcome": "done"}
        | {"reason": "", "times": 1, "received_at": now},
    }
    db[COLLECTIONS[page]].insert_many([{"_id": id_, "openid": id_, **rows[page]} for id_ in ids])
    return set(ids)
