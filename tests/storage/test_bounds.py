"""Bounds of "at most so many", when two processes are asked at the same moment."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from core.errors import StateConflict
from tests.support.storage import StoresFixture

USER, MOST = "20000000", 3
INSERTS: dict[str, tuple[str, Callable[[StoresFixture, str], Awaitable[object]]]] = {
    "follows": (
        "storage.accounts.follows.MAX_FOLLOWS",
        lambda stores, other: stores.follows.put(USER, other),
    ),
    "user_blocks": (
        "storage.moderation.MAX_BLOCKS",
        lambda stores, other: stores.user_blocks.put(USER, other),
    ),
    "webhooks": (
        "storage.webhooks.webhooks.MAX_WEBHOOKS",
        lambda stores, other: stores.webhooks.create(f"https://{other}/", [], enabled=True),
    ),
}


@pytest.mark.parametrize("name", INSERTS)
async def test_a_bound_holds_for_inserts_at_the_same_moment(
    name: str, stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound, insert = INSERTS[name]
    monkeypatch.setattr(bound, MOST)
    processes = (stores, StoresFixture(stores.database))
    rows: Any = stores.database.collection(name)
    for number in range(MOST - 1):
        await insert(stores, f"{number}")
    inserts = [insert(process, f"{n}") for n in range(10, 15) for process in processes]
    outcomes = await asyncio.gather(*inserts, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes if isinstance(outcome, Exception)} <= {
        *StateConflict.__subclasses__()
    }
    count = await rows.count_documents({})
    assert MOST - 1 <= count <= MOST
    for number in range(20, 20 + MOST - count):  # the last place may have been refused to all
        await insert(stores, f"{number}")
    with pytest.raises(StateConflict):
        await insert(stores, "30")
    assert await rows.count_documents({}) == MOST
