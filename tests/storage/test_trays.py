"""What a tray goes by, and that it is written as a whole or not at all."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from money.book import Heard, Purse
from money.gift import Present
from money.rank import day_of, day_scope, live_scope
from money.refusals import Refusal
from money.tray import Stored
from rooms.keeper import Raced
from rooms.people import Person
from storage.database import Session
from storage.trays import Known, Trays
from tests.storage.conftest import House, rose

gen_test = pytest.mark.gen_test(timeout=60)
HOUR_MS = 3_600_000


class Shop:
    """Trays of a house: looked at, filled and written by hand."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.trays = Trays(house.database, house.ranks)

    async def fill(self, *presents: Present, heard: Heard | None = None) -> Known:
        """A tray with all of these."""
        known = await self.trays.look(presents)
        for present in presents:
            assert not isinstance(known.tray.give(present, heard), Refusal)
        return known

    async def write(self, known: Known) -> None:
        await self.house.database.transaction(lambda tx: self.trays.write(tx, known.tray))

    async def give(self, *presents: Present, heard: Heard | None = None) -> None:
        await self.write(await self.fill(*presents, heard=heard))

    async def move(self, user_id: str, **by: int) -> None:
        """Somebody else has a hand in this purse."""
        users = self.house.database.collection("users")
        await users.update_one({"_id": user_id}, {"$inc": by})

    async def kept(self, collection: str) -> list[dict[str, Any]]:
        return await self.house.database.collection(collection).find().sort("_id", 1).to_list()


# ---- what is looked at


@gen_test
async def test_a_look_sees_the_purses_and_faces_of_all_who_exist(house: House) -> None:
    anna, bert = await house.people((15, 3), (0, 7))
    await house.users.update(anna, nickname="Anna", face_url="https://faces/a", gender=2)
    known = await Shop(house).trays.look([rose(anna, bert), rose(bert, "nobody")])
    assert known.tray.purses == {anna: Purse(15, 3), bert: Purse(0, 7)}
    assert known.faces == {
        anna: Person(anna, "Anna", "https://faces/a", 2).face(),
        bert: Person(bert).face(),
    }
    assert (known.tray.written, known.tray.same, known.tray.entries) == ({}, {}, [])


@gen_test
async def test_a_look_sees_what_was_given_under_these_request_ids(house: House) -> None:
    shop, (anna, bert) = Shop(house), await house.people((100, 0), (100, 0))
    first, second = rose(anna, bert, "r", num=2), rose(anna, bert, "s")
    await shop.give(first, second, rose(anna, bert))
    others = rose(bert, anna, "r"), rose(anna, bert, "t"), rose(anna, bert)
    known = await shop.trays.look([first, *others])
    answer = {"status": "success", "gold": 80, "income": 0}
    content = {"to": bert, "gift_id": 1, "num": 2}
    assert known.tray.written == {f"gift:{anna}:r": Stored(content, answer)}


@gen_test
async def test_a_look_sees_the_latest_of_those_of_which_one_may_be_a_retry(house: House) -> None:
    shop, (anna, bert) = Shop(house), await house.people((100, 0), (0, 0))
    for present in (rose(anna, bert), rose(anna, bert, "r"), rose(anna, bert, num=2)):
        await shop.give(present)
    retry = rose(anna, bert, repeat_ms=HOUR_MS)
    others = rose(anna, bert, num=3, repeat_ms=HOUR_MS), rose(bert, anna, repeat_ms=HOUR_MS)
    known = await shop.trays.look([retry, *others])
    answer = {"status": "success", "gold": 80, "income": 0}
    assert known.tray.same == {retry.likeness: answer}


@gen_test
async def test_a_look_does_not_see_a_likeness_that_is_too_old(house: House) -> None:
    shop, (anna, bert) = Shop(house), await house.people((100, 0), (0, 0))
    await shop.give(rose(anna, bert))
    long_ago = datetime.now(UTC) - timedelta(milliseconds=HOUR_MS + 1)
    await house.database.collection("ledger").update_many({}, {"$set": {"at": long_ago}})
    known = await shop.trays.look([rose(anna, bert, repeat_ms=HOUR_MS)])
    assert known.tray.same == {}


@pytest.mark.parametrize(
    ("wants", "reads"),
    [
        ([("r", 0), ("s", 0)], 2),
        ([("r", HOUR_MS), ("", HOUR_MS)], 3),
        ([("", 0), ("", 0)], 1),
        ([("", HOUR_MS)], 2),
    ],
)
@gen_test
async def test_a_look_reads_no_more_than_there_is_to_know(
    house: House, commands: list[str], wants: list[tuple[str, int]], reads: int
) -> None:
    anna, bert = await house.people((100, 0), (0, 0))
    commands.clear()
    await Shop(house).trays.look([rose(anna, bert, name, repeat_ms=ms) for name, ms in wants])
    assert commands == ["find"] * reads


# ---- what is written


@gen_test
async def test_a_tray_moves_purses_writes_entries_and_ranks(house: House) -> None:
    shop, (anna, bert, carl) = Shop(house), await house.people((15, 3), (0, 5), (10, 0))
    await shop.give(rose(anna, carl, "r"), rose(carl, anna, "s"), heard=Heard(7, "e", 4))
    await shop.give(rose(bert, carl, "t", gold=4))
    assert await house.purse(anna) == (5, 8)
    assert await house.purse(bert) == (0, 1)
    assert await house.purse(carl) == (0, 7)
    entries = await house.entries()
    assert [entry["_id"] for entry in entries] == [
        f"gift:{anna}:r",
        f"gift:{carl}:s",
        f"gift:{bert}:t",
    ]
    assert [(e.get("live_id"), e.get("epoch"), e.get("seq")) for e in entries] == [
        *[(7, "e", 4)] * 2,
        (None, None, None),
    ]
    assert await house.ranks.top(live_scope(7, "e"), "gold") == sorted([(anna, 10), (carl, 10)])
    today = day_scope(day_of(entries[0]["at"]))
    assert await house.ranks.top(today, "income") == [(carl, 7), (anna, 5)]


@gen_test
async def test_a_gift_that_costs_nothing_moves_nothing_and_is_written(house: House) -> None:
    shop, (anna, bert) = Shop(house), await house.people((0, 0), (0, 0))
    await shop.give(rose(anna, bert, "r", gold=0))
    (entry,) = await house.entries()
    assert (entry["lines"], entry["answer"]["gold"]) == ([], 0)
    assert await shop.kept("ranks") == []


# ---- all or nothing


class Untouched:
    """Asserts that a tray which was Raced has left nothing behind."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._before: list[Any] = []

    async def __aenter__(self) -> None:
        self._before = await self._all()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        assert kind is Raced
        assert await self._all() == self._before
        return True

    async def _all(self) -> list[Any]:
        return [await self._shop.kept(name) for name in ("users", "ledger", "ranks")]


@pytest.mark.parametrize(
    ("whose", "by"),
    [(0, {"gold": 50}), (0, {"gold": -1}), (1, {"income": 1}), (2, {"gold": 1}), (3, {"gold": 1})],
)
@gen_test
async def test_a_tray_is_raced_when_somebodys_purse_is_not_what_it_was(
    house: House, whose: int, by: dict[str, int]
) -> None:
    """Of one who gives and one who takes, and of the first and the last of them."""
    shop, people = Shop(house), await house.people(*[(15, 5)] * 4)
    anna, bert, carl, dora = people
    known = await shop.fill(rose(anna, bert, "r"), rose(carl, dora, "s"))
    await shop.move(people[whose], **by)
    async with Untouched(shop):
        await shop.write(known)


@gen_test
async def test_a_tray_is_raced_when_a_key_is_taken(house: House) -> None:
    shop, (anna, bert, carl) = Shop(house), await house.people((100, 0), (0, 0), (100, 0))
    known = await shop.fill(rose(carl, bert, "s"), rose(anna, bert, "r", gold=0))
    await shop.give(rose(anna, carl, "r", gold=0))  # no purse has moved
    async with Untouched(shop):
        await shop.write(known)


@pytest.mark.parametrize("gold", [0, 10])
@gen_test
async def test_of_two_trays_with_one_key_at_once_one_is_raced(house: House, gold: int) -> None:
    shop, (anna, bert) = Shop(house), await house.people((100, 0), (0, 0))
    present = rose(anna, bert, "r", gold=gold)
    trays = [await shop.fill(present) for _ in range(2)]
    done = await asyncio.gather(*map(shop.write, trays), return_exceptions=True)
    assert sorted(map(repr, done)) == sorted([repr(None), repr(Raced())])
    assert len(await house.entries()) == 1
    assert await house.purse(anna) == (100 - gold, 0)


@gen_test
async def test_of_two_trays_of_one_purse_at_once_one_is_raced(house: House) -> None:
    shop, (anna, bert, carl) = Shop(house), await house.people((15, 0), (0, 0), (0, 0))
    trays = [await shop.fill(rose(anna, receiver)) for receiver in (bert, carl)]
    done = await asyncio.gather(*map(shop.write, trays), return_exceptions=True)
    assert sorted(map(repr, done)) == sorted([repr(None), repr(Raced())])
    assert len(await house.entries()) == 1
    assert await house.purse(anna) == (5, 0)


@gen_test
async def test_a_tray_that_was_raced_is_decided_again_on_what_is_there(house: House) -> None:
    shop, (anna, bert) = Shop(house), await house.people((15, 0), (0, 0))
    known = await shop.fill(rose(anna, bert, "r"))
    await shop.move(anna, gold=10)
    with pytest.raises(Raced):
        await shop.write(known)
    await shop.give(rose(anna, bert, "r"))
    assert await house.purse(anna) == (15, 0)


@gen_test
async def test_what_was_written_with_a_tray_goes_with_it(house: House) -> None:
    shop, (anna, bert) = Shop(house), await house.people((15, 0), (0, 0))
    known = await shop.fill(rose(anna, bert, "r"))
    things = house.database.collection("things")

    async def work(tx: Session) -> None:
        await things.insert_one({"_id": 1}, session=tx)
        await shop.trays.write(tx, known.tray)

    await shop.move(anna, gold=1)
    async with Untouched(shop):
        await house.database.transaction(work)
    assert await things.count_documents({}) == 0


@gen_test
async def test_a_purse_that_ends_as_it_was_is_guarded(house: House) -> None:
    shop, (anna, bert, carl) = Shop(house), await house.people((100, 0), (0, 5), (0, 0))
    known = await shop.fill(rose(bert, carl, gold=5), rose(anna, bert))  # bert: -5 and +5
    await shop.move(bert, income=-5)
    with pytest.raises(Raced):
        await shop.write(known)


@gen_test
async def test_a_transaction_of_its_own_is_tried_again_until_it_is_won(house: House) -> None:
    shop, (anna, bert) = Shop(house), await house.people((15, 0), (0, 0))
    tries: list[int] = []

    async def work(tx: Session) -> str:
        known = await shop.fill(rose(anna, bert, "r"))
        tries.append(len(tries))
        if len(tries) < 3:
            await shop.move(bert, gold=1)
        await shop.trays.write(tx, known.tray)
        return "given"

    assert await shop.trays.alone(work) == "given"
    assert len(tries) == 3
    assert (await house.purse(anna), await house.purse(bert)) == ((5, 0), (2, 5))
