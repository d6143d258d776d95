"""What the check of the book finds, on a real MongoDB: nothing in a sound one, and every damage."""

from decimal import Decimal
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from money.cashier import Cashier
from money.check import KINDS
from money.recharge import Order, Payment, Refund
from money.teller import Present, Teller
from rooms.locks import Locks
from rooms.people import Person
from storage.orders import new_number
from storage.reckoning import Reckoning
from tests.storage.conftest import House
from tests.storage.test_ledger import RoomHears
from tests.storage.test_rooms import opened

gen_test = pytest.mark.gen_test(timeout=60)


class Books:
    """A house with two people, a live, an order that was paid and partly refunded, and gifts."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.reckoning = Reckoning(house.database)
        self.teller = Teller(house.ledger, Locks().hold)
        self.people: list[str] = []
        self.order = ""

    async def fill(self) -> None:
        for collection in ("users", "ledger", "orders", "rooms", "members"):
            await self.house.database.collection(collection).delete_many({})
        for name in ("anna", "bert"):
            user, _ = await self.house.users.create("app", name)
            self.people.append(user.user_id)
        anna, bert = self.people
        await self.teller.grant(anna, 100, "a test", "g1", "ops")
        await self._recharge(bert)
        live_id = await opened(self.house, Person(anna), Person(bert))
        hears = RoomHears(self.house, live_id, anna, bert)
        for number in range(3):
            present = Present(anna, bert, 1, 10, 1, Decimal("0.5"), str(number))
            await self.teller.give(present, hears)

    async def _recharge(self, user_id: str) -> None:
        cashier = Cashier(self.house.ledger, self.house.orders, Locks().hold)
        self.order = new_number()
        order = Order(self.order, user_id, "xpay", "wx1", "o1", "", fen=600, gold=60)
        await self.house.orders.add(order, 1)
        await cashier.credit(Payment("xpay", self.order, "42", 600))
        await cashier.refund(Refund("xpay", self.order, "R1", 300))

    async def kinds(self) -> list[str]:
        found = await self.reckoning.problems()
        assert all(problem.kind in KINDS for problem in found)
        return sorted(problem.kind for problem in found)


@pytest.fixture
def books(io_loop: IOLoop, house: House) -> Books:
    books = Books(house)
    io_loop.run_sync(books.fill)
    return books


@gen_test
async def test_a_sound_book_has_nothing_to_tell(books: Books) -> None:
    assert await books.kinds() == []


HEARD_OF = {"seq": {"$gt": 0}}
DAMAGES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    # the problem, as it is told: where, which, and what is done to it
    "balance": ("users", {}, {"$inc": {"gold": 1}}),
    "negative": ("users", {}, {"$set": {"income": -1}}),
    "stranger": ("ledger", {"kind": "grant"}, {"$set": {"lines.0.account": "user:nobody"}}),
    "unbalanced": ("ledger", {"kind": "gift"}, {"$inc": {"lines.1.amount": 1}}),
    "unbooked_order": ("orders", {}, {}),  # one more, see below
    "unpaid_entry": ("orders", {}, {"$set": {"state": "created"}}),
    "double_event": ("ledger", HEARD_OF, {"$set": {"epoch": "x", "seq": 5}}),
    "missing_event": ("ledger", HEARD_OF, {"$inc": {"seq": 100}}),
    "unbooked_event": ("ledger", HEARD_OF, {"$unset": {"seq": 1}}),
}


@pytest.mark.parametrize("kind", DAMAGES)
@gen_test
async def test_every_damage_is_found(books: Books, kind: str) -> None:
    collection, which, damage = DAMAGES[kind]
    rows = books.house.database.collection(collection)
    if kind == "unbooked_order":
        await rows.insert_one({"_id": "Q0", "state": "paid"})
    else:
        changed = await rows.update_many(which, damage)
        assert changed.modified_count
    assert kind in await books.kinds()


@gen_test
async def test_totals_are_what_people_have_and_what_they_paid(books: Books) -> None:
    totals = await books.reckoning.totals()
    assert totals == {"gold": 100 + 30 - 30, "income": 15, "owed": 0, "fen": 300}


def test_every_kind_of_problem_is_tried() -> None:
    assert set(DAMAGES) == set(KINDS)
