"""The book on a real MongoDB: once per key, never below zero, all or nothing."""

import asyncio
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from money.book import Entry, Purse, lines_of
from money.refusals import InsufficientGold, RequestIdReused
from money.teller import AlreadyWritten, Answer, Heard, Present, Teller, Write
from rooms.locks import Locks
from rooms.people import Person
from rooms.refusals import NoSuchUser
from rooms.room import Room
from tests.rooms.cast import HOST, NOW
from tests.storage.conftest import House
from tests.storage.test_rooms import load, opened

gen_test = pytest.mark.gen_test(timeout=60)


async def people(house: House, *purses: tuple[int, int]) -> list[str]:
    """Users with these balances, as if granted."""
    made = []
    for n, (gold, income) in enumerate(purses):
        user, _ = await house.users.create("app", f"person{n}", gold=gold, income=income)
        made.append(user.user_id)
    return made


async def purse(house: House, user_id: str) -> Purse:
    user = await house.users.get(user_id)
    return Purse(user.gold, user.income)


async def entries(house: House) -> list[dict[str, Any]]:
    return await house.database.collection("ledger").find().to_list()


async def nobody_hears(write: Write) -> Answer | None:
    return None


def tellers(house: House, n: int) -> list[Teller]:
    """As many processes: each with locks of its own."""
    return [Teller(house.ledger, Locks().hold) for _ in range(n)]


def rose(sender: str, receiver: str, request_id: str = "", **more: Any) -> Present:
    return Present(sender, receiver, 1, 10, 1, Decimal("0.5"), request_id, **more)


@gen_test
async def test_a_gift_moves_gold_and_is_written_down(house: House) -> None:
    anna, bert = await people(house, (15, 3), (0, 0))
    (teller,) = tellers(house, 1)
    answer = await teller.give(rose(anna, bert, "r"), nobody_hears)
    assert answer == {"status": "success", "gold": 5, "income": 3}
    assert await purse(house, anna) == (5, 3)
    assert await purse(house, bert) == (0, 5)
    (entry,) = await entries(house)
    assert (entry["_id"], entry["kind"], entry["by"]) == (f"gift:{anna}:r", "gift", anna)
    assert entry["lines"][0] == {"account": f"user:{anna}", "unit": "gold", "amount": -10}
    assert entry["content"] == {"to": bert, "gift_id": 1, "num": 1}
    assert entry["answer"] == answer
    assert entry.keys().isdisjoint({"live_id", "epoch", "seq"})


@gen_test
async def test_concurrent_gifts_from_one_purse_never_go_below_zero(house: House) -> None:
    anna, bert = await people(house, (40, 15), (0, 0))
    done = await asyncio.gather(
        *(t.give(rose(anna, bert), nobody_hears) for t in tellers(house, 8)),
        return_exceptions=True,
    )
    assert Counter(type(it) for it in done) == {dict: 5, InsufficientGold: 3}
    assert await purse(house, anna) == (0, 5)
    assert await purse(house, bert) == (0, 25)
    assert len(await entries(house)) == 5


@gen_test
async def test_gifts_between_two_both_ways_at_once_keep_every_unit(house: House) -> None:
    anna, bert = await people(house, (100, 0), (100, 0))
    await asyncio.gather(
        *(t.give(rose(anna, bert), nobody_hears) for t in tellers(house, 4)),
        *(t.give(rose(bert, anna), nobody_hears) for t in tellers(house, 4)),
    )
    assert await purse(house, anna) == await purse(house, bert) == (60, 20)


@gen_test
async def test_one_request_in_many_processes_at_once_has_one_effect_and_equal_answers(
    house: House,
) -> None:
    anna, bert = await people(house, (100, 0), (0, 0))
    answers = await asyncio.gather(
        *(t.give(rose(anna, bert, "same"), nobody_hears) for t in tellers(house, 8))
    )
    assert answers == [{"status": "success", "gold": 90, "income": 0}] * 8
    assert len(await entries(house)) == 1
    assert await purse(house, anna) == (90, 0)


@gen_test
async def test_one_id_for_two_things_at_once_is_used_for_one_of_them(house: House) -> None:
    anna, bert, carl = await people(house, (100, 0), (0, 0), (0, 0))
    done = await asyncio.gather(
        *(
            teller.give(rose(anna, receiver, "same"), nobody_hears)
            for teller, receiver in zip(tellers(house, 2), (bert, carl), strict=True)
        ),
        return_exceptions=True,
    )
    assert Counter(type(it) for it in done) == {dict: 1, RequestIdReused: 1}
    assert await purse(house, anna) == (90, 0)


@gen_test
async def test_an_identical_gift_within_the_window_counts_as_a_retry(house: House) -> None:
    anna, bert = await people(house, (100, 0), (0, 0))
    present = rose(anna, bert, repeat_ms=3_600_000)
    answers = await asyncio.gather(*(t.give(present, nobody_hears) for t in tellers(house, 5)))
    assert answers == [{"status": "success", "gold": 90, "income": 0}] * 5
    assert await purse(house, anna) == (90, 0)


@gen_test
async def test_the_window_closes(house: House) -> None:
    anna, bert = await people(house, (100, 0), (0, 0))
    present, (teller,) = rose(anna, bert, repeat_ms=60_000), tellers(house, 1)
    await teller.give(present, nobody_hears)
    (entry,) = await entries(house)
    long_ago = entry["at"].replace(year=2000)
    await house.database.collection("ledger").update_one(
        {"_id": entry["_id"]}, {"$set": {"at": long_ago}}
    )
    assert (await teller.give(present, nobody_hears))["gold"] == 80


@gen_test
async def test_nothing_of_a_gift_that_cannot_be_paid_stays(house: House) -> None:
    anna, bert = await people(house, (9, 0), (0, 0))
    (teller,) = tellers(house, 1)
    with pytest.raises(InsufficientGold):
        await teller.give(rose(anna, bert, "r"), nobody_hears)
    assert await purse(house, anna) == (9, 0)
    assert await entries(house) == []


@gen_test
async def test_nobody_gives_to_nobody(house: House) -> None:
    (anna,) = await people(house, (100, 0))
    (teller,) = tellers(house, 1)
    for present in (rose(anna, "nobody"), rose("nobody", anna)):
        with pytest.raises(NoSuchUser):
            await teller.give(present, nobody_hears)
    assert await purse(house, anna) == (100, 0)
    assert await entries(house) == []


@gen_test
async def test_gold_is_granted_once(house: House) -> None:
    (anna,) = await people(house, (1, 2))
    answers = await asyncio.gather(
        *(t.grant(anna, 50, "prize", "g", "ops") for t in tellers(house, 5))
    )
    assert answers == [{"gold": 51, "income": 2}] * 5
    (entry,) = await entries(house)
    assert (entry["_id"], entry["note"], entry["by"]) == ("grant:g", "prize", "ops")
    with pytest.raises(NoSuchUser):
        await tellers(house, 1)[0].grant("nobody", 50, "prize", "h", "ops")


@gen_test
async def test_the_key_of_an_entry_is_unique_and_a_second_one_undoes_its_transaction(
    house: House,
) -> None:
    (anna,) = await people(house, (0, 0))
    lines = lines_of(anna, 5)

    async def work(session: Any) -> None:
        await house.ledger.move(session, lines)
        await house.ledger.write(session, Entry("key", "grant", "ops", lines, {}), None)

    await house.ledger.alone(work)
    with pytest.raises(AlreadyWritten) as written:
        await house.ledger.alone(work)
    assert written.value.key == "key"
    assert await purse(house, anna) == (5, 0)


@gen_test
async def test_an_entry_that_a_room_heard_of_names_the_event(house: House) -> None:
    async def work(session: Any) -> None:
        entry = Entry("key", "gift", "anna", (), {"a": 1}, {"b": 2})
        await house.ledger.write(session, entry, Heard(7, "e", 42))

    await house.ledger.alone(work)
    (entry,) = await entries(house)
    assert (entry["live_id"], entry["epoch"], entry["seq"]) == (7, "e", 42)
    assert await house.ledger.find("key") == ({"a": 1}, {"b": 2})
    assert await house.ledger.find("other") is None


@gen_test
async def test_balances_move_only_together(house: House) -> None:
    anna, bert = await people(house, (0, 10), (0, 0))
    lines = lines_of(anna, 5, -11) + lines_of(bert, 3)
    with pytest.raises(InsufficientGold):
        await house.ledger.alone(lambda session: house.ledger.move(session, lines))
    assert await purse(house, anna) == (0, 10)
    assert await purse(house, bert) == (0, 0)
    lines = lines_of(anna, 5, -10) + lines_of(bert, 3)
    moved = await house.ledger.alone(lambda session: house.ledger.move(session, lines))
    assert moved == {anna: Purse(5, 0), bert: Purse(3, 0)}


class RoomHears:
    """What the handler does: the entry together with the room's event."""

    def __init__(self, house: House, live_id: int, sender: str, receiver: str) -> None:
        self.house, self.live_id = house, live_id
        self.pair = (sender, receiver)

    async def __call__(self, write: Write) -> Answer | None:
        room = await load(self.house, self.live_id, *self.pair)
        faces = {
            side: Person(who).face() for side, who in zip(("from", "to"), self.pair, strict=True)
        }
        if not room.hear_gift({**faces, "gift": {}, "num": 1}):  # type: ignore[typeddict-item]
            return None
        answers: list[Answer] = []

        async def also(session: Any, room: Room) -> None:
            heard = Heard(room.live_id, room.epoch, room.version + len(room.events))
            answers.append(await write(session, heard))

        await self.house.rooms.save(room, room.numbered(NOW), also)
        return answers[-1]


@gen_test
async def test_entry_balances_and_event_of_a_gift_are_one_write(house: House) -> None:
    anna, bert = await people(house, (10, 0), (0, 0))
    live_id = await opened(house, Person(anna), Person(bert))
    hears, (teller,) = RoomHears(house, live_id, anna, bert), tellers(house, 1)
    await teller.give(rose(anna, bert, "r"), hears)
    with pytest.raises(InsufficientGold):
        await teller.give(rose(anna, bert, "s"), hears)
    (entry,) = await entries(house)
    assert (entry["live_id"], entry["epoch"], entry["seq"]) == (live_id, "e1", 1)
    log = await house.rooms.log_since(live_id, "e1", 0)
    assert log is not None
    assert [(event.seq, event.type) for event in log] == [(1, "gift")]
    assert await teller.give(rose(anna, bert, "r"), hears) == entry["answer"]
    assert (await load(house, live_id)).version == 1


@gen_test
async def test_a_gift_that_races_the_end_is_never_heard_after_it(house: House) -> None:
    anna, bert = await people(house, (10, 0), (0, 0))
    live_id = await opened(house, Person(anna), Person(bert))
    ending = await load(house, live_id, HOST.user_id)
    ending.close("host")
    hears, (teller,) = RoomHears(house, live_id, anna, bert), tellers(house, 1)
    done = await asyncio.gather(
        teller.give(rose(anna, bert, "r"), hears),
        house.rooms.save(ending, ending.numbered(NOW), None),
        return_exceptions=True,
    )
    log = await house.rooms.log_since(live_id, "e1", 0)
    assert log is not None
    assert [event.type for event in log] in (["gift"], ["live_end"])
    assert sum(isinstance(it, Exception) for it in done) == 1
    assert not any(isinstance(it, PyMongoError) for it in done)
    assert len(await entries(house)) == (1 if log[0].type == "gift" else 0)
