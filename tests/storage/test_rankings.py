"""Rankings as the book has them beside those that are kept, whatever goes on meanwhile."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tornado.ioloop import IOLoop

from money.book import Heard
from money.gift import Present
from money.rank import day_of, day_scope, live_scope
from rooms.people import Person
from storage.database import Session
from storage.rankings import Rankings
from tests.rooms.cast import HOST
from tests.storage.conftest import House, Process, rose
from tests.storage.test_rooms import change, opened

gen_test = pytest.mark.gen_test(timeout=60)
HOUR = timedelta(hours=1)
FIRST = {"_id": {"$regex": "^gift:.*:first$"}}


class Board:
    """Three people in a live and one outside; anna has given 20 to carl and 10 to dora, bert 10 to
    carl."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.ranks = house.database.collection("ranks")
        self.rankings = Rankings(house.database)
        self.process = Process(house)
        self.people: list[str] = []
        self.live_id = 0
        self.live = ""
        self.day = ""

    async def fill(self) -> None:
        self.people = await self.house.people(*[(1_000, 0)] * 4)
        anna, bert, carl, dora = self.people
        self.live_id = await opened(self.house, *map(Person, (anna, bert, carl)))
        self.live = live_scope(self.live_id, "e1")
        await self.process.give(rose(anna, carl, "first"))
        for sender, receiver in ((bert, carl), (anna, carl), (anna, dora)):
            await self.process.give(rose(sender, receiver))
        (first,) = await self.house.entries(**FIRST)
        self.day = day_scope(day_of(first["at"]))

    async def differences(self, scope: str) -> list[tuple[str, str]]:
        """On one snapshot, as the check reads."""
        async with self.house.database.client.start_session(snapshot=True) as session:
            return await self.rankings.differences(scope, session)

    async def scopes(self, since: datetime | None = None) -> list[str]:
        async with self.house.database.client.start_session(snapshot=True) as session:
            return await self.rankings.scopes(since, session)

    async def shown(self, scope: str) -> dict[str, dict[str, int]]:
        units = ("gold", "income")
        return {unit: dict(await self.house.ranks.top(scope, unit)) for unit in units}

    async def is_right(self) -> bool:
        return not any([await self.differences(scope) for scope in await self.scopes()])

    async def reverse(self) -> None:
        """The first gift."""
        (first,) = await self.house.entries(**FIRST)
        await self.process.teller.reverse(first["_id"], "by mistake", "ops")

    async def give_at(self, at: datetime, present: Present, heard: Heard | None = None) -> None:
        """As it would have been given then."""
        (tray, _) = await self.process.trays.look([present])
        tray.at = at
        tray.give(present, heard)
        await self.process.trays.alone(lambda tx: self.process.trays.write(tx, tray))

    async def give_many(self, n: int) -> None:
        """One after the other."""
        anna, _, carl, _ = self.people
        for _ in range(n):
            await self.process.give(rose(anna, carl))

    async def damage(self, kind: str, scope: str) -> str:
        """Who is no longer right."""
        anna, dora = self.people[0], self.people[3]
        row = {"_id": f"{scope}:{anna}"}
        if kind == "altered":
            await self.ranks.update_one(row, {"$inc": {"income": 7}})
        elif kind == "missing":
            await self.ranks.delete_one(row)
        elif kind == "invented":
            name = {"scope": "live:9:e", "user_id": dora}
            await self.ranks.insert_one({"_id": f"live:9:e:{dora}", **name, "gold": 1, "income": 0})
            return dora
        return anna


@pytest.fixture
def board(io_loop: IOLoop, house: House) -> Board:
    board = Board(house)
    io_loop.run_sync(board.fill)
    return board


# ---- the fold


@gen_test
async def test_what_is_kept_is_what_the_book_says(board: Board) -> None:
    anna, bert, carl, dora = board.people
    assert await board.shown(board.live) == {"gold": {anna: 20, bert: 10}, "income": {carl: 15}}
    assert await board.shown(board.day) == {
        "gold": {anna: 30, bert: 10},
        "income": {carl: 15, dora: 5},
    }
    assert await board.is_right()


@gen_test
async def test_what_is_paid_with_income_counts_as_given(board: Board) -> None:
    anna, bert, carl, _ = board.people
    await board.process.give(rose(carl, bert, gold=1_010))
    assert await board.house.purse(carl) == (0, 5)
    assert (await board.shown(board.live))["gold"] == {carl: 1_010, anna: 20, bert: 10}
    assert await board.is_right()


@gen_test
async def test_every_life_of_a_room_has_a_ranking_of_its_own(board: Board) -> None:
    anna, bert, _, _ = board.people
    await change(board.house, board.live_id, lambda room: room.close("host"), HOST.user_id)
    await opened(board.house, Person(anna), Person(bert), epoch="e2")
    await board.process.give(rose(bert, anna))
    assert await board.shown(live_scope(board.live_id, "e2")) == {
        "gold": {bert: 10},
        "income": {anna: 5},
    }
    assert (await board.shown(board.live))["gold"] == {anna: 20, bert: 10}
    assert await board.is_right()


@gen_test
async def test_a_day_is_one_in_china(board: Board) -> None:
    anna, bert, carl, _ = board.people
    midnight = datetime(2026, 1, 1, 16, tzinfo=UTC)
    await board.give_at(midnight - timedelta(milliseconds=1), rose(anna, carl))
    await board.give_at(midnight, rose(bert, carl))
    assert (await board.shown("day:2026-01-01"))["gold"] == {anna: 10}
    assert (await board.shown("day:2026-01-02"))["gold"] == {bert: 10}
    days = {"day:2026-01-01", "day:2026-01-02"}
    assert days < {*await board.scopes(midnight - HOUR)}, "by the book alone"
    assert await board.is_right()


@gen_test
async def test_a_reversed_gift_is_in_neither(board: Board) -> None:
    anna, bert, carl, dora = board.people
    await board.reverse()
    assert await board.shown(board.live) == {"gold": {anna: 10, bert: 10}, "income": {carl: 10}}
    assert (await board.shown(board.day))["gold"] == {anna: 20, bert: 10}
    assert await board.is_right()
    await board.ranks.delete_many({})
    assert len(await board.differences(board.live)) == 3
    await board.rankings.rebuild_all()
    assert await board.shown(board.live) == {"gold": {anna: 10, bert: 10}, "income": {carl: 10}}
    assert (await board.shown(board.day))["income"] == {carl: 10, dora: 5}


@gen_test
async def test_the_reversal_of_a_grant_is_no_matter(board: Board) -> None:
    anna = board.people[0]
    await board.process.teller.grant(anna, 50, "test", "g", "ops")
    await board.process.teller.reverse("grant:g", "by mistake", "ops")
    assert (await board.shown(board.day))["gold"][anna] == 30
    assert await board.is_right()


# ---- which rankings there are


@gen_test
async def test_all_rankings_are_those_of_the_book_and_those_that_are_kept(board: Board) -> None:
    assert await board.scopes() == [board.day, board.live]
    await board.damage("invented", board.live)
    assert await board.scopes() == [board.day, "live:1:e1", "live:9:e"]


@gen_test
async def test_rankings_in_which_nothing_was_given_since_then_are_left_out(board: Board) -> None:
    anna, _, carl, _ = board.people
    await board.give_at(datetime(2026, 1, 1, tzinfo=UTC), rose(anna, carl), Heard(7, "e", 1))
    now = datetime.now(UTC)
    assert await board.scopes() == ["day:2026-01-01", board.day, board.live, "live:7:e"]
    assert await board.scopes(now - HOUR) == [board.day, board.live]
    assert await board.scopes(now + HOUR) == []


# ---- differences


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("altered", "kept (20, 7), the book says (20, 0)"),
        ("missing", "kept (0, 0), the book says (20, 0)"),
        ("invented", "kept (1, 0), the book says (0, 0)"),
    ],
)
@gen_test
async def test_who_is_kept_wrong_is_named_and_put_right(
    board: Board, kind: str, words: str
) -> None:
    who = await board.damage(kind, board.live)
    (wrong,) = [scope for scope in await board.scopes() if await board.differences(scope)]
    assert wrong == ("live:9:e" if kind == "invented" else board.live)
    assert await board.differences(wrong) == [(who, words)]
    assert await board.rankings.rebuild(wrong) == 1
    assert await board.is_right()
    assert await board.rankings.rebuild(wrong) == 0


@gen_test
async def test_a_place_that_was_put_right_counts_on(board: Board) -> None:
    anna, _, carl, _ = board.people
    for kind in ("missing", "altered"):
        await board.damage(kind, board.live)
        await board.rankings.rebuild_all()
        await board.process.give(rose(anna, carl))
        assert await board.is_right()
    assert (await board.shown(board.live))["gold"][anna] == 40


@gen_test
async def test_of_all_rankings_so_many_places_were_wrong(board: Board) -> None:
    assert await board.rankings.rebuild_all() == 0
    await board.damage("altered", board.day)
    await board.damage("missing", board.live)
    await board.damage("invented", board.live)
    assert not await board.is_right()
    assert await board.rankings.rebuild_all() == 3
    assert await board.is_right()
    await board.ranks.delete_many({})
    assert await board.rankings.rebuild_all() == 4 + 3


# ---- meanwhile


@gen_test
async def test_there_is_no_difference_at_any_instant_while_gifts_are_given(board: Board) -> None:
    giving = asyncio.ensure_future(board.give_many(60))
    looks = 0
    while not giving.done():
        assert await board.is_right()
        looks += 1
    await giving
    assert looks > 1
    assert (await board.shown(board.live))["gold"][board.people[0]] == 20 + 60 * 10


@gen_test
async def test_rankings_made_anew_while_gifts_are_given_are_right(board: Board) -> None:
    giving = asyncio.ensure_future(board.give_many(60))
    while not giving.done():
        await board.ranks.update_many({}, {"$inc": {"gold": 1}})
        assert await board.rankings.rebuild_all() > 0
    await giving
    assert await board.is_right()
    assert (await board.shown(board.live))["gold"][board.people[0]] == 20 + 60 * 10


@pytest.mark.parametrize("kind", ["altered", "missing"])
@pytest.mark.parametrize("sender", [0, 1], ids=["of whom was wrong", "of another"])
@gen_test
async def test_a_gift_between_the_look_and_the_write_is_not_lost(
    board: Board, monkeypatch: pytest.MonkeyPatch, kind: str, sender: int
) -> None:
    await board.damage(kind, board.live)
    last_look = board.rankings._mends

    async def look_and_a_gift(scope: str, session: Session) -> dict[str, int]:
        monkeypatch.undo()
        found = await last_look(scope, session)
        await board.process.give(rose(board.people[sender], board.people[2]))
        return found

    monkeypatch.setattr(board.rankings, "_mends", look_and_a_gift)
    assert await board.rankings.rebuild(board.live) == 1
    assert await board.is_right()
    gold = (await board.shown(board.live))["gold"]
    assert sum(gold.values()) == 30 + 10


@gen_test
async def test_a_gift_reversed_while_rankings_are_made_anew_is_in_neither(board: Board) -> None:
    await board.ranks.delete_many({})
    await asyncio.gather(board.rankings.rebuild_all(), board.reverse())
    await board.rankings.rebuild_all()
    assert await board.is_right()
    assert board.people[0] in (await board.shown(board.live))["gold"]


@gen_test
async def test_two_who_make_one_ranking_anew_at_once_mend_it_once(board: Board) -> None:
    for _ in range(3):
        await board.ranks.update_many({}, {"$inc": {"gold": 1}})
        await board.ranks.delete_many({"user_id": board.people[0]})
        await asyncio.gather(*(board.rankings.rebuild(board.live) for _ in range(4)))
        await board.rankings.rebuild_all()
        assert await board.is_right()


@gen_test
async def test_rankings_of_a_hot_room_can_be_made_anew(house: House) -> None:
    people = await house.people(*[(100_000, 0)] * 9)
    await opened(house, *map(Person, people))
    *senders, host = people
    processes, over = [Process(house) for _ in range(2)], asyncio.Event()

    async def give(process: Process, sender: str) -> None:
        while not over.is_set():
            await process.give(rose(sender, host))

    giving = [asyncio.ensure_future(give(p, sender)) for p in processes for sender in senders]
    while len(await house.entries()) < 200:
        await asyncio.sleep(0.01)
    rankings = Rankings(house.database)
    try:
        for _ in range(3):
            await house.database.collection("ranks").update_many({}, {"$inc": {"gold": 1}})
            assert await rankings.rebuild_all() > 0
    finally:
        over.set()
        await asyncio.gather(*giving)
    assert await rankings.rebuild_all() == 0
