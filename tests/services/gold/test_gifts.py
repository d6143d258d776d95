"""Gifts on a real MongoDB: postings, events and idempotency, in one process and in several."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.errors import TryAgain
from ledger.errors import InsufficientGold, OverDayCap, RequestIdReused
from ledger.giving import Giver, GivingRules, OwnCap
from ledger.journal import JsonObject
from rooms.members import Person
from services.errors import Blocked, RateMissing
from storage.errors import GiftNotFound, UserNotFound
from tests.support.gift_fixture import (
    NO_EVENT,
    GiftFixture,
    event_references,
    in_room_or_not,
)
from tests.support.races import run_after
from tests.support.room_builders import NOW
from tests.support.storage import ROSE, GiftProcess, StoresFixture, rose


@in_room_or_not
async def test_a_gift_moves_gold_and_writes_an_entry(stores: StoresFixture, in_room: bool) -> None:
    fixture = await GiftFixture.create(stores, (15, 3), (0, 0), in_room=in_room)
    anna, bert = fixture.user_ids
    answer = await fixture.process.give(rose(anna, bert, "r"))
    assert answer == {"status": "success", "gold": 5, "income": 3}
    assert await fixture.balances() == [(5, 3), (0, 5)]
    (entry,) = await stores.entries()
    assert (entry["_id"], entry["kind"], entry["by"]) == (f"gift:{anna}:r", "gift", anna)
    assert entry["lines"][0] == {"account": f"user:{anna}", "unit": "gold", "amount": -10}
    assert entry["content"] == {"to": bert, "gift_id": 1, "num": 1}
    assert entry["answer"] == answer
    assert event_references([entry]) == [(fixture.live_id, "e1", 1) if in_room else NO_EVENT]
    await fixture.check()


async def test_the_event_of_a_gift_names_sender_receiver_and_gift(stores: StoresFixture) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0))
    anna, bert = fixture.user_ids
    await stores.users.update(anna, nickname="Anna", face_url="https://faces/a", gender=2)
    await fixture.process.give(rose(anna, bert, "r", num=3))
    (event,) = await fixture.events()
    assert event.data == {
        "from": Person(anna, "Anna", "https://faces/a", 2).public_profile(),
        "to": Person(bert).public_profile(),
        "gift": ROSE,
        "num": 3,
        "gold": 30,
        "request_id": "r",
    }
    assert fixture.process.listener.calls == [("publish", fixture.live_id, (1, "gift"))]


@in_room_or_not
async def test_gifts_from_or_to_unknown_or_deleted_users_are_refused(
    stores: StoresFixture, in_room: bool
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0), in_room=in_room)
    anna, bert = fixture.user_ids
    await stores.users.update(bert, deleted_at=datetime.now(UTC))
    for sender, receiver in ((anna, "unknown"), ("unknown", anna), (anna, bert)):
        with pytest.raises(UserNotFound):
            await fixture.process.give(rose(sender, receiver))
    assert await stores.balance(anna) == (100, 0)
    assert await stores.entries() == []


async def test_a_gift_is_given_at_the_price_of_the_catalogue_and_the_rate_of_its_day(
    stores: StoresFixture,
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0), in_room=False)
    anna, bert = fixture.user_ids

    async def send(request_id: str) -> JsonObject:
        """By a process that has no catalogue yet."""
        (process,), sender = fixture.processes(1), await stores.users.get(anna)
        return await process.gift_service.send(sender, bert, 1, 2, request_id)

    await stores.gifts.add(name="rose", image="", gold=20, effect="")
    with pytest.raises(RateMissing):
        await send("r")
    await stores.configs.add(key="EXCHANGE_RATE", value=1, enabled=True)
    now, day = datetime.now(UTC), timedelta(days=1)
    for value, at in ((0.25, now - day), (0.75, now + day)):  # yesterday's change has come
        await stores.configs.edit(1, next={"fields": {"value": value}, "at": at})
    answer = await send("r")
    assert await fixture.balances() == [(60, 0), (0, 10)]
    assert [entry["rate"] for entry in await stores.entries()] == ["0.25"]
    await stores.gifts.remove(1)
    assert await send("r") == answer
    with pytest.raises(GiftNotFound):
        await send("s")
    await stores.user_blocks.put(bert, anna)
    assert await send("r") == answer
    with pytest.raises(Blocked):
        await send("s")


# ---- idempotency


@in_room_or_not
async def test_a_request_that_empties_the_balance_has_one_effect_in_many_processes(
    stores: StoresFixture, in_room: bool
) -> None:
    fixture = await GiftFixture.create(stores, (10, 0), (0, 0), in_room=in_room)
    answers = await asyncio.gather(
        *(process.give(fixture.rose("same")) for process in fixture.processes(5))
    )
    assert answers == [{"status": "success", "gold": 0, "income": 0}] * 5
    assert len(await stores.entries()) == 1
    assert not in_room or await fixture.event_types() == ["gift"]
    await fixture.check()


# ---- a new primary that does not show yet what the old one has acknowledged


@in_room_or_not
async def test_only_refusals_for_lack_of_gold_are_confirmed_and_change_nothing(
    stores: StoresFixture, in_room: bool
) -> None:
    fixture = await GiftFixture.create(stores, (19, 0), (0, 0), in_room=in_room)
    loaded = fixture.process.gift_batches.loaded
    await fixture.process.give(fixture.rose("r"))
    await fixture.process.give(fixture.rose("r"))
    with pytest.raises(RequestIdReused):
        await fixture.process.give(fixture.rose("r", num=2))
    assert set(loaded) == {"as committed"}
    with pytest.raises(InsufficientGold):
        await fixture.process.give(fixture.rose("s"))
    assert loaded[-2:] == ["confirmed", "as committed"]
    assert await fixture.balances() == [(9, 0), (0, 5)]
    assert len(await stores.entries()) == 1
    assert not in_room or await fixture.event_types() == ["gift"]


@in_room_or_not
async def test_gold_that_a_new_primary_does_not_show_yet_can_be_spent(
    stores: StoresFixture, in_room: bool
) -> None:
    fixture = await GiftFixture.create(stores, (9, 0), (0, 0), in_room=in_room)
    batches, transfer = fixture.process.gift_batches, fixture.rose("r")
    batches.stale = await batches.load_context([transfer])
    await fixture.process.ledger_service.grant(transfer.sender, 1, "test", "g", "ops")
    assert (await fixture.process.give(transfer))["gold"] == 0
    await fixture.check()


# ---- changes by another process between read and write


@in_room_or_not
@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        ({"request_id": "first"}, {"request_id": "second"}, InsufficientGold),
        ({"request_id": "r", "num": 0}, {"request_id": "r"}, RequestIdReused),
        ({"request_id": "r"}, {"request_id": "r"}, dict),
    ],
    ids=["no gold left", "other content", "same request"],
)
async def test_a_gift_that_comes_second_is_refused_unless_it_is_the_same_request(
    stores: StoresFixture,
    in_room: bool,
    first: dict[str, Any],
    second: dict[str, Any],
    outcome: type,
) -> None:
    """A read of the reduced balance also sees the entry: a repetition lacks no gold."""
    fixture = await GiftFixture.create(stores, (10, 0), (0, 0), in_room=in_room)
    (other,), batches = fixture.processes(1), fixture.process.gift_batches
    batches.before_write = [lambda: other.give(fixture.rose(**first))]
    giving = fixture.process.give(fixture.rose(**second))
    [result] = await asyncio.gather(giving, return_exceptions=True)
    assert isinstance(result, outcome)
    assert ("confirmed" in batches.loaded) == (outcome is InsufficientGold)
    (entry,) = await stores.entries()
    assert entry["_id"].rpartition(":")[2] == first["request_id"]
    await fixture.check()


async def test_a_gift_in_a_room_takes_three_reads_and_one_transaction(
    stores: StoresFixture, commands: list[str]
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0))
    await fixture.process.give(fixture.rose("r"))
    commands.clear()
    await fixture.process.give(fixture.rose("s"))
    reads = ["find", "aggregate", "aggregate"]  # memberships, room, balances with entries
    writes = ["update", "insert", "update", "update"]  # room, entry, balances, rankings
    assert commands == [*reads, *writes, "commitTransaction"]


# ---- rules of giving


@in_room_or_not
async def test_fifty_gifts_at_once_in_two_processes_reach_exactly_a_cap(
    stores: StoresFixture, in_room: bool
) -> None:
    fixture = await GiftFixture.create(stores, (1_000, 0), (0, 0), in_room=in_room)
    terms = {"rules": GivingRules(day_gold=200), "confirmed": True}

    async def give(process: GiftProcess, number: int) -> str:
        gift = fixture.rose(str(number), **terms)
        while True:
            with suppress(TryAgain):  # the processes were in each other's way for two seconds
                return str((await process.give(gift))["status"])

    processes = fixture.processes(2)
    answers = await asyncio.gather(
        *(give(processes[number % 2], number) for number in range(50)),
        return_exceptions=True,
    )
    assert answers.count("success") == 20
    assert [*map(type, answers)].count(OverDayCap) == 30
    assert await fixture.balances() == [(800, 0), (0, 100)]
    giver = await stores.ledger.giver(fixture.user_ids[0])
    assert (giver.day_gold, giver.month_gold) == (200, 200)
    assert len(await stores.entries()) == 20
    assert not in_room or await fixture.event_types() == ["gift"] * 20
    await fixture.check()


@in_room_or_not
async def test_a_repeated_gift_is_answered_whatever_the_rules_say_now(
    stores: StoresFixture, in_room: bool
) -> None:
    fixture = await GiftFixture.create(stores, (0, 100), (0, 0), in_room=in_room)
    rules = GivingRules(day_gold=20)
    answer = await fixture.process.give(fixture.rose("r", rules=rules))
    assert answer == {"status": "success", "gold": 0, "income": 90, "reminder": True}
    for later in (rules, GivingRules(gift_gold=1, day_gold=1)):
        assert await fixture.process.give(fixture.rose("r", rules=later)) == answer
    assert await fixture.balances() == [(0, 90), (0, 5)]


@in_room_or_not
async def test_an_own_cap_that_is_lowered_during_a_gift_holds_for_it(
    stores: StoresFixture, in_room: bool
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0), in_room=in_room)
    anna = fixture.user_ids[0]

    def lower() -> Awaitable[Giver]:
        now = datetime.now(UTC)
        return stores.ledger.change_giver(anna, lambda giver: giver.with_own_caps(now, day=9))

    fixture.process.gift_batches.before_write = [lower]
    with pytest.raises(OverDayCap):
        await fixture.process.give(fixture.rose("r"))
    giver = await stores.ledger.giver(anna)
    assert (giver.version, giver.day_gold, giver.own_day) == (1, 0, OwnCap(9))
    await fixture.process.give(fixture.rose("s", num=0))
    assert await fixture.balances() == [(100, 0), (0, 0)]


async def test_own_caps_are_changed_on_what_gifts_have_stored_meanwhile(
    stores: StoresFixture,
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0), in_room=False)
    anna = fixture.user_ids[0]
    seen: list[int] = []
    cap = OwnCap(5, 50, datetime(2026, 3, 2, tzinfo=UTC))

    def raise_cap(giver: Giver) -> Giver:
        seen.append(giver.day_gold)
        return giver._replace(own_month=cap)

    run_after(stores.ledger, "giver", lambda: fixture.process.give(fixture.rose()))
    changed = await stores.ledger.change_giver(anna, raise_cap)
    assert seen == [0, 10]
    assert await stores.ledger.giver(anna) == changed._replace(version=2)
    assert (changed.day_gold, changed.own_month) == (10, cap)


@in_room_or_not
async def test_what_is_unknown_or_null_of_a_giver_makes_no_gift_fail(
    stores: StoresFixture, in_room: bool
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0), in_room=in_room)
    anna = {"_id": fixture.user_ids[0]}
    nulls = dict.fromkeys(Giver._fields)
    later = {"own_day": {"gold": 20, "next": None, "later": 1}, "day_gold": 3, "later": 1}
    for number, given in enumerate((None, {}, nulls, nulls | later)):
        await stores.database.collection("users").update_one(anna, {"$set": {"giver": given}})
        await fixture.process.give(fixture.rose(str(number)))
        giver = await stores.ledger.giver(anna["_id"])
        assert (giver.version, giver.day_gold) == (1, 10)
    assert giver.own_day == OwnCap(20)


# ---- gifts that queue up while their room is being changed


async def test_every_gift_has_an_event_in_order_that_its_entry_names(stores: StoresFixture) -> None:
    """Expired applications are published before them."""
    fixture = await GiftFixture.create(stores, (100, 0), (100, 0), (0, 0))
    anna, bert, carl = fixture.user_ids
    applicant = Person("10000005", gender=2)
    await fixture.enter(applicant)
    await fixture.change(lambda room: room.apply(applicant, NOW), applicant.user_id)
    pairs = [(anna, carl), (bert, carl), (anna, bert), (bert, anna), (anna, carl)]
    async with fixture.process.hold_room(fixture.live_id):
        transfers = [rose(*pair, f"{n}") for n, pair in enumerate(pairs)]
        pending = await fixture.process.queue_gifts(*transfers)
    answers = await asyncio.gather(*pending)
    assert [answer["gold"] for answer in answers] == [90, 90, 80, 80, 70]
    assert await fixture.event_types() == ["micro_apply", "micro_refuse", *["gift"] * 5]
    assert [event.data["request_id"] for event in (await fixture.events())[2:]] == [*"01234"]
    entries = await stores.entries()
    assert [entry["_id"].rpartition(":")[2] for entry in entries] == [*"01234"]
    assert event_references(entries) == [(fixture.live_id, "e1", seq) for seq in range(3, 8)]
    await fixture.check()


async def test_gifts_of_a_sender_who_left_have_no_event(stores: StoresFixture) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (100, 0), (0, 0))
    anna, bert, carl = fixture.user_ids
    transfers = [rose(anna, carl, "1"), *[rose(bert, carl, "2")] * 3, rose(anna, carl, "3")]
    async with fixture.process.hold_room(fixture.live_id):
        pending = await fixture.process.queue_gifts(*transfers)
        await fixture.leave(bert)
    answers = await asyncio.gather(*pending)
    assert answers[1:4] == [{"status": "success", "gold": 90, "income": 0}] * 3
    assert await fixture.balances() == [(80, 0), (90, 0), (0, 15)]
    seqs = {entry["_id"]: entry.get("seq") for entry in await stores.entries()}
    assert seqs == {transfers[0].key: 1, transfers[4].key: 2, transfers[1].key: None}
    await fixture.check()
