"""What the check of the book finds, on a real MongoDB: nothing in a sound one, and every damage."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from money.cashier import Cashier
from money.check import KINDS
from money.recharge import Order, Payment, Refund
from rooms.locks import Locks
from rooms.people import Person
from storage import reckoning as module
from storage.orders import new_number
from storage.reckoning import Reckoning
from tests.storage.conftest import House, Process, rose
from tests.storage.test_rooms import opened

gen_test = pytest.mark.gen_test(timeout=60)
HOUR = timedelta(hours=1)


class Books:
    """A house with two people, a live, an order that was paid and partly refunded, and gifts."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.reckoning = Reckoning(house.database)
        self.process = Process(house)
        self.people: list[str] = []
        self.order = ""

    async def fill(self) -> None:
        for name in ("anna", "bert"):
            user, _ = await self.house.users.create("app", name)
            self.people.append(user.user_id)
        anna, bert = self.people
        await self.process.teller.grant(anna, 100, "a test", "g1", "ops")
        await self._recharge(bert)
        live_id = await opened(self.house, Person(anna), Person(bert))
        presents = [rose(anna, bert, f"{number}") for number in range(3)]
        await self.process.together(live_id, *presents)

    async def _recharge(self, user_id: str) -> None:
        cashier = Cashier(self.house.ledger, self.house.orders, Locks().hold)
        self.order = new_number()
        order = Order(self.order, user_id, "xpay", "wx1", "o1", "", fen=600, gold=60)
        await self.house.orders.add(order, 1)
        await cashier.credit(Payment("xpay", self.order, "42", 600))
        await cashier.refund(Refund("xpay", self.order, "R1", 300))

    async def kinds(self, since: datetime | None = None) -> list[str]:
        found = await self.reckoning.problems(since)
        assert all(problem.kind in KINDS for problem in found)
        return sorted(problem.kind for problem in found)

    async def damage(self, kind: str) -> None:
        collection, which, damage = DAMAGES[kind]
        rows = self.house.database.collection(collection)
        if kind == "unbooked_order":
            await rows.insert_one({"_id": "Q0", "state": "paid", "paid_at": datetime.now(UTC)})
        else:
            changed = await rows.update_many(which, damage)
            assert changed.modified_count


@pytest.fixture
def books(io_loop: IOLoop, house: House) -> Books:
    books = Books(house)
    io_loop.run_sync(books.fill)
    return books


FIRST = {"_id": {"$regex": "^gift:.*:0$"}}
HEARD_OF = {"seq": {"$gt": 0}}
DAMAGES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    # the problem, as it is told: where, which, and what is done to it
    "balance": ("users", {}, {"$inc": {"gold": 1}}),
    "negative": ("users", {}, {"$set": {"income": -1}}),
    "stranger": ("ledger", {"kind": "grant"}, {"$set": {"lines.0.account": "user:nobody"}}),
    "unbalanced": ("ledger", {"kind": "gift"}, {"$inc": {"lines.1.amount": 1}}),
    "unbooked_order": ("orders", {}, {}),  # one more, see above
    "unpaid_entry": ("orders", {}, {"$set": {"state": "created"}}),
    "double_event": ("ledger", HEARD_OF, {"$set": {"epoch": "x", "seq": 5}}),
    "missing_event": ("ledger", HEARD_OF, {"$inc": {"seq": 100}}),
    "unbooked_event": ("ledger", FIRST, {"$unset": {"seq": 1}}),
    "rank": ("ranks", {}, {"$inc": {"gold": 1}}),
}
WHENS = pytest.mark.parametrize("ago", [None, HOUR], ids=["the whole book", "the last hour"])


def when(ago: timedelta | None) -> datetime | None:
    return datetime.now(UTC) - ago if ago else None


@pytest.fixture(autouse=True)
def short_looks_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MUCH", 0)  # however small the book is


@WHENS
@gen_test
async def test_a_sound_book_has_nothing_to_tell(books: Books, ago: timedelta | None) -> None:
    assert await books.kinds(when(ago)) == []
    (first,) = await books.house.entries(**FIRST)
    await books.process.teller.reverse(first["_id"], "by mistake", "ops")
    assert await books.kinds(when(ago)) == []


@WHENS
@pytest.mark.parametrize("kind", DAMAGES)
@gen_test
async def test_every_damage_is_found(books: Books, kind: str, ago: timedelta | None) -> None:
    await books.damage(kind)
    assert kind in await books.kinds(when(ago))


@pytest.mark.parametrize("kind", DAMAGES)
@gen_test
async def test_what_is_older_than_wanted_is_not_looked_at(books: Books, kind: str) -> None:
    await books.damage(kind)
    assert await books.kinds(datetime.now(UTC) + HOUR) == []


@gen_test
async def test_many_people_are_looked_at_part_by_part(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 1)
    assert await books.kinds(when(HOUR)) == []
    await books.damage("balance")
    assert await books.kinds(when(HOUR)) == ["balance"] * 2


@gen_test
async def test_totals_are_what_people_have_and_what_they_paid(books: Books) -> None:
    totals = await books.reckoning.totals()
    assert totals == {"gold": 100 + 30 - 30, "income": 15, "owed": 0, "fen": 300}


def test_every_kind_of_problem_is_tried() -> None:
    assert set(DAMAGES) == set(KINDS)


@gen_test
async def test_the_short_check_looks_at_the_rankings_of_what_was_reversed(books: Books) -> None:
    anna = books.people[0]
    collection = books.house.database.collection("ledger")
    gift = await collection.find_one({"kind": "gift"})
    assert gift
    await books.process.teller.reverse(gift["_id"], "x", "ops")
    long_ago = datetime.now(UTC) - 2 * HOUR
    await collection.update_many({"kind": "gift"}, {"$set": {"at": long_ago}})
    live = {"scope": f"live:{gift['live_id']}:{gift['epoch']}", "user_id": anna}
    await books.house.database.collection("ranks").update_one(live, {"$inc": {"gold": 1}})
    found = await books.reckoning.problems(datetime.now(UTC) - HOUR)
    assert [problem.kind for problem in found if problem.what.startswith("live:")] == ["rank"]


@gen_test
async def test_the_short_check_finds_a_new_entry_with_the_event_of_an_older_one(
    books: Books,
) -> None:
    collection = books.house.database.collection("ledger")
    first, second, *_ = await collection.find({"kind": "gift"}).sort("seq", 1).to_list()
    await collection.update_one({"_id": first["_id"]}, {"$set": {"at": first["at"] - 2 * HOUR}})
    await collection.update_one({"_id": second["_id"]}, {"$set": {"seq": first["seq"]}})
    found = await books.reckoning.problems(datetime.now(UTC) - HOUR)
    assert "double_event" in [problem.kind for problem in found]


@gen_test
async def test_when_much_is_new_the_whole_book_is_looked_at(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger, _ = await books.house.users.create("app", "stranger", gold=1)
    since = datetime.now(UTC) - HOUR
    assert await books.reckoning.problems(since) == []
    monkeypatch.undo()
    (found,) = await books.reckoning.problems(since)
    assert found.what == f"user:{stranger.user_id}"


@gen_test
async def test_a_ranking_of_nothing_is_told_and_stands_in_nobodys_way(books: Books) -> None:
    ranks = books.house.database.collection("ranks")
    await ranks.insert_many([{"_id": 1, "scope": None}, {"_id": 2, "scope": "live:x"}])
    assert await books.kinds() == ["rank", "rank"]
