"""Gifts that queue up while their room is being changed, on a real MongoDB."""

import asyncio
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from ledger.errors import InsufficientGold, RequestIdReused
from rooms.members import Person
from storage.database import Database
from tests.support.gift_fixture import (
    NO_EVENT,
    GiftFixture,
    count_types,
    event_references,
)
from tests.support.room_builders import NOW
from tests.support.storage import GiftProcess, StoresFixture, rose


async def test_queued_gifts_share_a_transaction_up_to_the_configured_number(
    stores: StoresFixture, commands: list[str]
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0))
    fixture.process = GiftProcess(stores, max_batch=3)
    transfers = [fixture.rose(f"{n}") for n in range(8)]
    commands.clear()
    assert count_types(await fixture.give_queued(*transfers)) == {dict: 8}
    keys = [transfer.key for transfer in transfers]
    assert fixture.process.gift_batches.written == [keys[:3], keys[3:6], keys[6:]]
    assert commands.count("commitTransaction") == 3
    await fixture.check()


async def test_every_gift_has_an_event_in_order_that_its_entry_names(stores: StoresFixture) -> None:
    """Expired applications are published before them."""
    fixture = await GiftFixture.create(stores, (100, 0), (100, 0), (0, 0))
    anna, bert, carl = fixture.user_ids
    applicant = Person("10000005", gender=2)
    await fixture.enter(applicant)
    await fixture.change(lambda room: room.apply(applicant, NOW, 1), applicant.user_id)
    pairs = [(anna, carl), (bert, carl), (anna, bert), (bert, anna), (anna, carl)]
    async with fixture.process.hold_room(fixture.live_id):
        transfers = [rose(*pair, f"{n}") for n, pair in enumerate(pairs)]
        pending = await fixture.process.queue_gifts(fixture.live_id, *transfers)
    answers = await asyncio.gather(*pending)
    assert [answer["gold"] for answer in answers] == [90, 90, 80, 80, 70]
    assert await fixture.event_types() == ["micro_apply", "micro_refuse", *["gift"] * 5]
    gifts = (await fixture.events())[2:]
    assert [(e.data["from"]["user_id"], e.data["to"]["user_id"]) for e in gifts] == pairs
    assert [event.data["request_id"] for event in gifts] == [*"01234"]
    entries = await stores.entries()
    assert [entry["_id"].rpartition(":")[2] for entry in entries] == [*"01234"]
    assert event_references(entries) == [(fixture.live_id, "e1", seq) for seq in range(3, 8)]
    await fixture.check()


async def test_refusals_in_a_batch_do_not_affect_other_gifts(stores: StoresFixture) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (9, 0), (0, 0))
    anna, bert, carl = fixture.user_ids
    results = await fixture.give_queued(
        rose(anna, carl, "a"),
        rose(bert, carl, "b"),
        rose(anna, carl, "a"),
        rose(anna, carl, "a", num=2),
        rose(anna, carl, "c"),
    )
    expected = [dict, InsufficientGold, dict, RequestIdReused, dict]
    assert [type(result) for result in results] == expected
    assert results[0] == results[2]
    assert await fixture.balances() == [(80, 0), (9, 0), (0, 10)]
    entries = await stores.entries()
    assert event_references(entries) == [(fixture.live_id, "e1", seq) for seq in (1, 2)]
    await fixture.check()


async def test_gifts_of_a_sender_who_left_have_no_event(stores: StoresFixture) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (100, 0), (0, 0))
    anna, bert, carl = fixture.user_ids
    transfers = [rose(anna, carl, "1"), *[rose(bert, carl, "2")] * 3, rose(anna, carl, "3")]
    async with fixture.process.hold_room(fixture.live_id):
        pending = await fixture.process.queue_gifts(fixture.live_id, *transfers)
        await fixture.leave(bert)
    answers = await asyncio.gather(*pending)
    assert answers[1:4] == [{"status": "success", "gold": 90, "income": 0}] * 3
    assert await fixture.balances() == [(80, 0), (90, 0), (0, 15)]
    seqs = {entry["_id"]: entry.get("seq") for entry in await stores.entries()}
    assert seqs == {transfers[0].key: 1, transfers[4].key: 2, transfers[1].key: None}
    await fixture.check()


async def test_gifts_written_while_the_live_ends_have_no_event(stores: StoresFixture) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0))
    fixture.process.gift_batches.before_write = [fixture.end]
    results = await fixture.give_queued(*(fixture.rose() for _ in range(3)))
    assert count_types(results) == {dict: 3}
    assert await fixture.event_types() == ["live_end"]
    assert event_references(await stores.entries()) == [NO_EVENT] * 3
    await fixture.check()


async def test_a_failed_write_fails_every_gift_of_the_batch_and_leaves_nothing(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0))
    failure = PyMongoError("broken")
    await fixture.process.give(fixture.rose())
    transaction = Database.transaction

    async def fail_after_the_writes(self: Database, work: Any) -> None:
        async def write_and_fail(session: Any) -> None:
            await work(session)
            raise failure

        await transaction(self, write_and_fail)

    with monkeypatch.context() as patch:
        patch.setattr(Database, "transaction", fail_after_the_writes)
        results = await fixture.give_queued(*(fixture.rose() for _ in range(3)))
    assert results == [failure] * 3
    assert await fixture.event_types() == ["gift"]
    assert await fixture.balances() == [(90, 0), (0, 5)]
    assert (await fixture.process.give(fixture.rose()))["gold"] == 80
    await fixture.check()


async def test_a_cancelled_request_is_given_and_affects_no_other(stores: StoresFixture) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0))
    async with fixture.process.hold_room(fixture.live_id):
        pending = await fixture.process.queue_gifts(
            fixture.live_id, *(fixture.rose(name) for name in "abc")
        )
        pending[1].cancel()
    results = await asyncio.gather(*pending, return_exceptions=True)
    assert count_types(results) == {dict: 2, asyncio.CancelledError: 1}
    assert (await fixture.process.give(fixture.rose("b")))["gold"] == 80
    assert len(await stores.entries()) == 3
    await fixture.check()
