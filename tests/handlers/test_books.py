"""How the book is looked at again and again: what is new every time, all of it once a day."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from handlers.books import FULL_SECONDS, NAME, OVERLAP_SECONDS, UNKNOWN, Books, since_when
from server import Server
from storage import reckoning
from storage.turns import Turns
from tests.handlers.test_gifts import CANDY, give
from tests.phones import Street
from tests.planting import Planting
from tests.realtime.listening import until

Db = Database[dict[str, Any]]
a_look = pytest.mark.gen_test(timeout=30)


@pytest.fixture
def planting(mongo: MongoClient[Any]) -> Planting:
    """A new server begins with a check, as it does outside tests."""
    return Planting(mongo, check_later=False)


def test_the_first_look_is_at_the_whole_book() -> None:
    assert since_when({}, 1_000.0) is None


def test_the_next_look_is_at_what_was_written_since_and_a_little_before() -> None:
    last = {"known": 0, "at": 10_000.0, "full_at": 9_000.0}
    since = since_when(last, 10_300.0)
    assert since == datetime.fromtimestamp(10_000 - OVERLAP_SECONDS, UTC)


def test_once_a_day_the_whole_book_is_looked_at() -> None:
    last = {"known": 0, "at": 90_000.0, "full_at": 5_000.0}
    assert since_when(last, 5_000.0 + FULL_SECONDS) is not None
    assert since_when(last, 5_001.0 + FULL_SECONDS) is None


def test_while_something_is_wrong_the_whole_book_is_looked_at() -> None:
    last = {"problems": 1, "known": 1, "at": 10_000.0, "full_at": 10_000.0}
    assert since_when(last, 10_300.0) is None


def test_a_check_that_failed_is_made_up_for_from_where_it_began() -> None:
    last = {"problems": UNKNOWN, "known": 0, "at": 10_000.0, "full_at": 9_000.0}
    assert since_when(last, 10_600.0) == datetime.fromtimestamp(10_000 - OVERLAP_SECONDS, UTC)


class EveryTurn(Turns):
    async def take(self, name: str, seconds: float) -> bool:
        del name, seconds
        return True


async def looks(server: Server) -> Books:
    """Books of our own, after the server's have had their turn."""
    await until(lambda: bool(server.parts.books.last), 20)
    parts = server.parts
    return Books(EveryTurn(parts.database), parts.books.reckoning, parts.orders, {})


async def looked(books: Books) -> dict[str, Any]:
    await books.look()
    return books.last


@a_look
async def test_damage_is_told_until_it_is_mended_however_old_it_is(
    street: Street, server: Server, db: Db
) -> None:
    host, books = await street.host(), await looks(server)
    anna = await street.guest("anna", 2, host.live_id, gold=100)
    (await give(anna, host.id, CANDY)).ok()
    assert (await looked(books))["problems"] == 0
    db.users.update_one({"_id": anna.id}, {"$inc": {"gold": 1}})
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    db.ledger.update_many({"seq": None}, {"$set": {"at": long_ago}})
    assert (await looked(books))["problems"] == 1, "her gift is new"
    db.ledger.update_many({}, {"$set": {"at": long_ago}})
    assert (await looked(books))["problems"] > 0, "nothing is new, and still it is wrong"
    db.users.update_one({"_id": anna.id}, {"$inc": {"gold": -1}})
    await server.parts.rankings.rebuild_all()
    said = await looked(books)
    assert (said["problems"], said["gold"]) == (0, 95)


@a_look
async def test_a_quick_look_is_at_what_has_moved_and_no_more(
    street: Street, server: Server, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reckoning, "MUCH", 0)  # however small the book is
    anna, bert = await street.person("anna", 2, gold=100), await street.person("bert", 1, gold=1)
    now = datetime.now(UTC)
    db.ledger.update_many({"by": "ops"}, {"$set": {"at": datetime(2020, 1, 1, tzinfo=UTC)}})
    (await give(anna, bert.id, CANDY)).ok()
    carl = await street.person("carl", 1)
    db.users.update_one({"_id": carl.id}, {"$inc": {"gold": 1}})
    assert await server.parts.books.reckoning.problems(now) == []
    db.users.update_one({"_id": bert.id}, {"$inc": {"income": 1}})
    (found,) = await server.parts.books.reckoning.problems(now)
    assert (found.kind, found.what) == ("balance", f"user:{bert.id}")
    assert len(await server.parts.books.reckoning.problems()) == 2


@a_look
async def test_a_check_that_fails_is_told_as_unknown(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(_since: object) -> None:
        raise RuntimeError("a test")

    books = await looks(server)
    monkeypatch.setattr(books.reckoning, "problems", fails)
    with pytest.raises(RuntimeError, match="a test"):
        await looked(books)
    assert (await books.turns.kept(NAME))["problems"] == UNKNOWN


@a_look
async def test_a_look_that_began_earlier_does_not_hide_what_a_later_one_has_found(
    street: Street, server: Server, db: Db
) -> None:
    anna, books = await street.person("anna", 2, gold=100), await looks(server)
    await looked(books)
    began_earlier = {**books.last, "problems": 0}
    db.users.update_one({"_id": anna.id}, {"$inc": {"gold": 1}})
    assert len(await server.parts.books.check()) == 1
    await books.turns.keep(NAME, began_earlier)
    assert (await books.turns.kept(NAME))["problems"] == 1
