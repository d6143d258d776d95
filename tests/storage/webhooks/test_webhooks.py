"""Events that are written with the changes that they tell of."""

import asyncio
from typing import Any

from rooms.events import NewEvent
from tests.support.gift_fixture import GiftFixture
from tests.support.storage import GiftProcess, StoresFixture, rose

BANNED = NewEvent("user.banned", {"user_id": "1"})


async def test_events_of_a_room_are_in_the_order_of_its_changes_in_all_processes(
    stores: StoresFixture,
) -> None:
    fixture = await GiftFixture.create(stores, (1_000, 0), (0, 0))
    anna, bert = fixture.user_ids
    for _ in range(2):
        await stores.webhooks.create("https://hooks.invalid", ["gift.given"], enabled=True)
    processes = [fixture.process, GiftProcess(stores), GiftProcess(stores)]
    await asyncio.gather(
        *(processes[n % 3].give(rose(anna, bert, f"r{n}", num=n)) for n in range(1, 13))
    )
    entries = await stores.entries()
    given = [entry["content"]["num"] for entry in sorted(entries, key=lambda row: row["seq"])]
    for webhook in await stores.webhooks.all():
        found = stores.rows("webhook_events").find({"webhook_id": webhook.id}).sort("position", 1)
        assert [row["data"]["num"] async for row in found] == given
    assert len(given) == 12


async def test_a_change_that_fails_leaves_no_event(stores: StoresFixture) -> None:
    await stores.webhooks.create("https://hooks.invalid", ["user.banned"], enabled=True)

    async def fail(tx: Any) -> None:
        await stores.webhooks.add(tx, BANNED)
        raise ZeroDivisionError

    for work in (fail, lambda tx: stores.webhooks.add(tx, BANNED, BANNED)):
        await asyncio.gather(stores.database.transaction(work), return_exceptions=True)
    assert await stores.rows("webhook_events").count_documents({}) == 2


async def test_without_an_endpoint_events_are_neither_written_nor_looked_up_each_time(
    stores: StoresFixture, commands: list[str]
) -> None:
    assert not await stores.webhooks.wants([BANNED])
    commands.clear()
    for _ in range(3):
        await stores.database.transaction(lambda tx: stores.webhooks.add(tx, BANNED))
        assert not await stores.webhooks.wants([BANNED])
    assert commands == []


async def test_only_what_an_enabled_endpoint_has_subscribed_to_is_written(
    stores: StoresFixture,
) -> None:
    await stores.webhooks.create("https://a.invalid", ["user.banned"], enabled=False)
    await stores.webhooks.create("https://b.invalid", ["user.deleted"], enabled=True)
    for event in (BANNED, NewEvent("user.deleted", {"user_id": "2"})):
        await stores.webhooks.add(None, event)
    [row] = await stores.rows("webhook_events").find().to_list()
    assert (row["type"], row["state"]) == ("user.deleted", "waiting")
