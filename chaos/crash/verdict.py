"""Whether every gift and every order stands in the book once, and every gift in its room."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from chaos.crash.gifts import Gifts, RoomGifts
from chaos.crash.orders import Notifications, Till
from chaos.crash.town import Town
from chaos.logs import unforeseen
from money.recharge import key_of
from storage.reckoning import Reckoning
from tencent.paynotice import PROVIDER as JSAPI

Row = Mapping[str, Any]
Found = Iterator[tuple[str, str]]
"""(kind of fault, words)."""


@dataclass(frozen=True)
class Books:
    """What stands in the database when all is quiet."""

    problems: list[str]
    ledger: Sequence[Row]
    orders: Sequence[Row]
    """Those that were to be credited."""
    room: Row
    buyer: Row
    notes_done: int

    @property
    def recharges(self) -> list[Row]:
        return [row for row in self.ledger if row["kind"] == "recharge"]

    def gifts_of(self, giver: str) -> list[Row]:
        """In the order in which they were given."""
        return [row for row in self.ledger if row["kind"] == "gift" and row["by"] == giver]


async def judge(
    town: Town, inside: RoomGifts, outside: Gifts, till: Till, notes: Notifications
) -> dict[str, int]:
    """Adds to the town's faults whatever was promised and is not so; what was counted."""
    books = await _open(town, inside.live_id, till)
    heard, unheard = (books.gifts_of(gifts.giver.id) for gifts in (inside, outside))
    wrong = [
        *(("ledger", words) for words in books.problems),
        *wrong_gifts(inside.keys, heard),
        *wrong_gifts(outside.keys, unheard),
        *wrong_events(heard, inside.events, books.room),
        *wrong_orders(books.orders, books.recharges, books.buyer),
        *(("unforeseen", words) for words in unforeseen(town.log)),
    ]
    for kind, words in wrong:
        town.faults.add(kind, words)
    return {
        "gifts_acknowledged": len(inside.answers) + len(outside.answers),
        "gifts_booked": len(heard) + len(unheard),
        "gifts_of_room": len(heard),
        "gift_events": sum(name in inside.answers for name in inside.events.values()),
        "orders": len(till.taken),
        "orders_credited": len(books.recharges),
        "notes": len(notes.ids),
        "notes_done": books.notes_done,
        "problems": len(books.problems),
    }


async def _open(town: Town, live_id: int, till: Till) -> Books:
    find = town.database.collection
    return Books(
        [str(problem) for problem in await Reckoning(town.database).problems()],
        await find("ledger").find({}).sort("at", 1).to_list(),
        await find("orders").find({"_id": {"$in": till.taken}}).to_list(),
        await find("rooms").find_one({"_id": live_id}) or {},
        await find("users").find_one({"_id": till.buyer.id}) or {},
        await find("inbox").count_documents({"source": JSAPI, "outcome": "done"}),
    )


def wrong_gifts(acknowledged: Mapping[str, Any], booked: Sequence[Row]) -> Found:
    """`acknowledged` has the answers by the keys of the book, `booked` one giver's gifts in
    their order."""
    answers = {row["_id"]: row["answer"] for row in booked}
    for key in acknowledged.keys() - answers.keys():
        yield "gift_lost", key
    for key in answers.keys() - acknowledged.keys():
        yield "gift_of_nobody", key
    for key in answers.keys() & acknowledged.keys():
        if answers[key] != acknowledged[key]:
            yield "answered_differently", f"{key}: {acknowledged[key]}, booked {answers[key]}"
    for before, row in pairwise(booked):
        price = -sum(it["amount"] for it in row["lines"] if it["account"] == f"user:{row['by']}")
        if row["answer"]["gold"] != before["answer"]["gold"] - price:
            yield "charged_wrongly", f"{row['_id']}: {before['answer']}, then {row['answer']}"


def wrong_events(booked: Sequence[Row], events: Mapping[int, str], room: Row) -> Found:
    """`events` has the request_id of every gift that the room heard of, by the event's number."""
    for number in set(range(1, room["version"] + 1)) ^ events.keys():
        yield "event_numbers", f"{number} of {room['version']}"
    for name, count in Counter(events.values()).items():
        if count > 1:
            yield "event_doubled", f"{name}: {count} times"
    for row in booked:
        life, name = (row.get("live_id"), row.get("epoch")), row["_id"].rpartition(":")[2]
        if life != (room["_id"], room["epoch"]) or events.get(row["seq"]) != name:
            yield "gift_unheard", f"{row['_id']}: {life}, {row.get('seq')}"
    for seq, count in Counter(row.get("seq") for row in booked).items():
        if count > 1:
            yield "event_shared", f"{count} gifts name event {seq}"


def wrong_orders(orders: Sequence[Row], booked: Sequence[Row], buyer: Row) -> Found:
    """All of these orders were paid, by one buyer; `booked` has the recharges of the book."""
    entries = Counter(row["_id"] for row in booked)
    for order in orders:
        if entries[key_of(order["_id"])] != 1 or order["state"] != "paid":
            yield "order_lost", f"{order['_id']}: {order['state']}"
    for key in entries.keys() - {key_of(order["_id"]) for order in orders}:
        yield "credited_for_nothing", key
    owed = sum(order["gold"] for order in orders)
    if buyer["gold"] != owed:
        yield "purse", f"{buyer['gold']}, not {owed}"
