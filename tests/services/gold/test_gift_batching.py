"""Gifts that queue up behind the lock of a room, on a real MongoDB."""

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
from tests.support.room_builders import HOST, NOW
from tests.support.storage import GiftProcess, StoresFixture, rose
from tests.support.stored_rooms import load_room, save_room


async def test_queued_gifts_share_one_transaction(
    stores: StoresFixture, commands: list[str]
) -> None:
    fixture = await GiftFixture.create(stores, *[(100, 0)] * 4)
    *senders, host = fixture.user_ids
    transfers = [rose(sender, host, f"{n}") for n in range(4) for sender in senders]
    commands.clear()
    results = await fixture.give_queued(*transfers)
    assert count_types(results) == {dict: 12}
    assert commands.count("commitTransaction") == 1
    assert fixture.process.gift_batches.written == [[transfer.key for transfer in transfers]]
    await fixture.check()


async def test_a_batch_has_at_most_the_configured_number_of_gifts(
    stores: StoresFixture, commands: list[str]
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0))
    fixture.process = GiftProcess(stores, max_batch=3)
    commands.clear()
    assert count_types(await fixture.give_queued(*(fixture.rose() for _ in range(8)))) == {dict: 8}
    assert [len(keys) for keys in fixture.process.gift_batches.written] == [3, 3, 2]
    assert commands.count("commitTransaction") == 3
    await fixture.check()


async def test_every_gift_has_an_event_in_order_that_its_entry_names(
    stores: StoresFixture,
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (100, 0), (0, 0))
    anna, bert, carl = fixture.user_ids
    pairs = [(anna, carl), (bert, carl), (anna, bert), (bert, anna), (anna, carl)]
    answers = await fixture.give_queued(*(rose(*pair, f"{n}") for n, pair in enumerate(pairs)))
    golds = [answer["gold"] for answer in answers if isinstance(answer, dict)]
    assert golds == [90, 90, 80, 80, 70]
    events = await fixture.events()
    assert [(e.data["from"]["user_id"], e.data["to"]["user_id"]) for e in events] == pairs
    assert [event.data["request_id"] for event in events] == [*"01234"]
    entries = await stores.entries()
    assert [entry["_id"].rpartition(":")[2] for entry in entries] == [*"01234"]
    assert event_references(entries) == [(fixture.live_id, "e1", seq) for seq in range(1, 6)]
    assert fixture.process.published == [(fixture.live_id, seq, "gift") for seq in range(1, 6)]
    await fixture.check()


async def test_one_sender_without_gold_does_not_affect_the_others(stores: StoresFixture) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (9, 0), (0, 0))
    anna, bert, carl = fixture.user_ids
    senders = [anna, anna, bert, anna, bert]
    results = await fixture.give_queued(*(rose(sender, carl) for sender in senders))
    succeeded = [isinstance(result, dict) for result in results]
    assert succeeded == [True, True, False, True, False]
    assert count_types(results) == {dict: 3, InsufficientGold: 2}
    assert await fixture.balances() == [(70, 0), (9, 0), (0, 15)]
    assert event_references(await stores.entries()) == [
        (fixture.live_id, "e1", seq) for seq in (1, 2, 3)
    ]
    await fixture.check()


async def test_income_from_earlier_gifts_of_a_batch_can_be_spent(stores: StoresFixture) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0), (0, 0))
    anna, bert, carl = fixture.user_ids
    results = await fixture.give_queued(
        rose(anna, carl), rose(bert, carl), rose(anna, bert, num=2), rose(bert, carl)
    )
    assert [type(result) for result in results] == [dict, InsufficientGold, dict, dict]
    assert await fixture.balances() == [(70, 0), (0, 0), (0, 10)]
    await fixture.check()


async def test_a_request_repeated_in_a_batch_has_one_effect_and_equal_answers(
    stores: StoresFixture,
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0))
    names = ["a", "b", "b", "c", "b", "a"]
    answers = await fixture.give_queued(*(fixture.rose(name) for name in names))
    golds = {"a": 90, "b": 80, "c": 70}
    assert answers == [{"status": "success", "gold": golds[n], "income": 0} for n in names]
    assert await fixture.event_types() == ["gift"] * 3
    assert await fixture.balances() == [(70, 0), (0, 15)]
    await fixture.check()


async def test_only_the_reused_request_ids_of_a_batch_are_refused(
    stores: StoresFixture,
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0))
    requests = [("a", 1), ("b", 1), ("b", 2), ("a", 2), ("c", 1), ("b", 1)]
    results = await fixture.give_queued(*(fixture.rose(name, num=num) for name, num in requests))
    refused = [isinstance(result, RequestIdReused) for result in results]
    assert refused == [False, False, True, True, False, False]
    assert results[1] == results[5]
    assert await fixture.balances() == [(70, 0), (0, 15)]
    await fixture.check()


async def test_gifts_of_a_sender_who_left_have_no_event(
    stores: StoresFixture,
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (100, 0), (0, 0))
    anna, bert, carl = fixture.user_ids
    transfers = [rose(anna, carl, "1"), rose(bert, carl, "2"), rose(anna, carl, "3")]
    async with fixture.process.hold_room(fixture.live_id):
        pending = await fixture.process.queue_gifts(fixture.live_id, *transfers)
        await fixture.leave(bert)
    assert count_types(await asyncio.gather(*pending)) == {dict: 3}
    assert await fixture.balances() == [(80, 0), (90, 0), (0, 15)]
    seqs = {entry["_id"]: entry.get("seq") for entry in await stores.entries()}
    assert seqs == {transfers[0].key: 1, transfers[2].key: 2, transfers[1].key: None}
    await fixture.check()


async def test_a_repeated_request_of_a_sender_who_left_has_one_effect(
    stores: StoresFixture,
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0))
    anna, bert = fixture.user_ids
    async with fixture.process.hold_room(fixture.live_id):
        pending = await fixture.process.queue_gifts(fixture.live_id, *[rose(anna, bert, "r")] * 4)
        await fixture.leave(anna)
    assert await asyncio.gather(*pending) == [{"status": "success", "gold": 90, "income": 0}] * 4
    assert event_references(await stores.entries()) == [NO_EVENT]
    await fixture.check()


async def test_gifts_queued_when_the_live_ends_are_given_without_events(
    stores: StoresFixture,
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (100, 0), (0, 0))
    anna, bert, carl = fixture.user_ids
    transfers = [rose(sender, carl) for sender in (anna, bert, anna, bert)]
    async with fixture.process.hold_room(fixture.live_id):
        pending = await fixture.process.queue_gifts(fixture.live_id, *transfers)
        await fixture.end()
    assert count_types(await asyncio.gather(*pending)) == {dict: 4}
    assert await fixture.balances() == [(80, 0), (80, 0), (0, 20)]
    assert event_references(await stores.entries()) == [NO_EVENT] * 4
    assert await fixture.event_types() == ["live_end"]
    await fixture.check()


async def test_gifts_written_while_the_live_ends_have_no_event_after_the_end(
    stores: StoresFixture,
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0))
    fixture.process.gift_batches.before_write = [fixture.end]
    results = await fixture.give_queued(*(fixture.rose() for _ in range(3)))
    assert count_types(results) == {dict: 3}
    assert await fixture.event_types() == ["live_end"]
    assert event_references(await stores.entries()) == [NO_EVENT] * 3
    await fixture.check()


async def test_gifts_that_race_the_end_have_an_event_before_it_or_none(
    stores: StoresFixture,
) -> None:
    fixture = await GiftFixture.create(stores, (200, 0), (0, 0))
    one, two = fixture.processes(2)
    ending = await load_room(stores, fixture.live_id, HOST.user_id)
    ending.close("host")
    results = await asyncio.gather(
        *(process.give(fixture.rose()) for process in (one, two) for _ in range(4)),
        save_room(stores, ending),
        return_exceptions=True,
    )
    assert count_types(results[:8]) == {dict: 8}
    event_types, entries = await fixture.event_types(), await stores.entries()
    gifts = event_types.count("gift")
    assert event_types in (["gift"] * 8, [*["gift"] * gifts, "live_end"])
    assert sorted(entry["seq"] for entry in entries if "seq" in entry) == [*range(1, gifts + 1)]
    assert len(entries) == 8
    await fixture.check()


async def test_expired_applications_are_published_before_gifts(stores: StoresFixture) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0))
    anna, bert = fixture.user_ids
    applicant = Person(anna, gender=2)
    await stores.users.update(anna, gender=2)
    await fixture.leave(anna)
    await fixture.enter(applicant)
    await fixture.change(lambda room: room.apply(applicant, NOW, 1), anna)
    await fixture.process.give(rose(anna, bert))
    assert await fixture.event_types() == ["micro_apply", "micro_refuse", "gift"]
    assert event_references(await stores.entries()) == [(fixture.live_id, "e1", 3)]
    await fixture.check()


# ---- failures


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


async def test_a_cancelled_request_is_given_anyway_and_affects_no_other(
    stores: StoresFixture,
) -> None:
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
