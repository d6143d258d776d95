"""Checks after the crashes: each gift and order is booked once, each room gift has its event."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from chaos.crash.environment import CrashEnvironment
from chaos.crash.gift_paths import GiftPath, RoomEvents
from chaos.crash.payment_paths import NotificationPath, PaidOrders
from chaos.server_logs import unexpected_errors
from ledger.journal import user_account
from ledger.recharge import recharge_key
from storage.ledger_reconciler import LedgerReconciler
from tencent.notifications import JSAPI

Row = Mapping[str, Any]
Found = Iterator[tuple[str, str]]
"""(kind of violation, detail)."""


@dataclass(frozen=True)
class StoredState:
    """The documents in the database at the end."""

    ledger: Sequence[Row]
    orders: Sequence[Row]
    """The orders that must be credited."""
    rooms: Mapping[int, Row]
    buyer: Row
    notifications_done: int

    @property
    def recharges(self) -> list[Row]:
        """Entries of recharges of the buyer."""
        account = user_account(str(self.buyer["_id"]))
        return [
            row
            for row in self.ledger
            if row["kind"] == "recharge" and account in {line["account"] for line in row["lines"]}
        ]

    def gifts_of(self, giver: str) -> list[Row]:
        """Gift entries of one giver, by time."""
        return [row for row in self.ledger if row["kind"] == "gift" and row["by"] == giver]


async def check_logs_and_ledger(env: CrashEnvironment) -> dict[str, int]:
    """Add unexpected errors and problems of the ledger to the violations; returns the metrics."""
    for error in unexpected_errors(env.log):
        env.violations.add("unexpected_error", error)
    return {"ledger_problems": await add_ledger_problems(env)}


async def add_ledger_problems(env: CrashEnvironment) -> int:
    """Add what `check-ledger` finds to the violations; returns the number of problems."""
    problems = await LedgerReconciler(env.database).problems()
    for problem in problems:
        env.violations.add("ledger_problem", str(problem))
    return len(problems)


async def check_crash_invariants(
    env: CrashEnvironment,
    givers: Sequence[GiftPath],
    rooms: Sequence[RoomEvents],
    orders: PaidOrders,
    notifications: NotificationPath,
) -> dict[str, int]:
    """Add every violated invariant to the violations; returns the metrics."""
    stored = await _load(env, orders)
    gifts = {path: stored.gifts_of(path.giver.id) for path in givers}
    room_gifts = {
        room: [row for path, rows in gifts.items() if path.events is room for row in rows]
        for room in rooms
    }
    found = [
        *(
            it
            for path, rows in gifts.items()
            for it in gift_violations(path.responses_by_key, rows)
        ),
        *(
            it
            for room, rows in room_gifts.items()
            for it in event_violations(rows, room.names, stored.rooms[room.live_id])
        ),
        *order_violations(stored.orders, stored.recharges, stored.buyer),
    ]
    for kind, detail in found:
        env.violations.add(kind, detail)
    return {
        "gifts_acknowledged": sum(len(path.responses) for path in givers),
        "gifts_booked": sum(map(len, gifts.values())),
        "room_gifts": sum(map(len, room_gifts.values())),
        "room_events": sum(len(room.by_number) for room in rooms),
        "gift_events": sum(
            row["type"] == "gift" for room in rooms for row in room.by_number.values()
        ),
        "orders": len(orders.taken),
        "orders_credited": len(stored.recharges),
        "notifications": len(notifications.ids),
        "notifications_done": stored.notifications_done,
    }


async def _load(env: CrashEnvironment, orders: PaidOrders) -> StoredState:
    collection = env.database.collection
    return StoredState(
        await collection("ledger").find({}).sort("at", 1).to_list(),
        await collection("orders").find({"_id": {"$in": orders.taken}}).to_list(),
        {row["_id"]: row for row in await collection("rooms").find({}, {"log": 0}).to_list()},
        await collection("users").find_one({"_id": orders.buyer.id}) or {},
        await collection("inbox").count_documents({"source": JSAPI, "outcome": "done"}),
    )


def gift_violations(acknowledged: Mapping[str, Any], booked: Sequence[Row]) -> Found:
    """`acknowledged` has the responses by ledger key, `booked` one giver's entries by time."""
    stored = {row["_id"]: row["answer"] for row in booked}
    for key in acknowledged.keys() - stored.keys():
        yield "gift_lost", key
    for key in stored.keys() - acknowledged.keys():
        yield "gift_not_acknowledged", key
    for key in stored.keys() & acknowledged.keys():
        if stored[key] != acknowledged[key]:
            yield "conflicting_responses", f"{key}: {acknowledged[key]}, booked {stored[key]}"
    for before, row in pairwise(booked):
        price = -sum(
            line["amount"] for line in row["lines"] if line["account"] == f"user:{row['by']}"
        )
        if row["answer"]["gold"] != before["answer"]["gold"] - price:
            yield "wrong_charge", f"{row['_id']}: {before['answer']}, then {row['answer']}"


def event_violations(booked: Sequence[Row], events: Mapping[int, str], room: Row) -> Found:
    """`events` has the request_id of every gift event of the room, by event number."""
    for number in set(range(1, room["version"] + 1)) ^ events.keys():
        yield "event_numbers", f"{number} of {room['version']}"
    for name, count in Counter(events.values()).items():
        if count > 1:
            yield "duplicate_event", f"{name}: {count} times"
    for row in booked:
        session, name = (row.get("live_id"), row.get("epoch")), row["_id"].rpartition(":")[2]
        if session != (room["_id"], room["epoch"]) or events.get(row["seq"]) != name:
            yield "gift_without_event", f"{row['_id']}: {session}, {row.get('seq')}"
    for seq, count in Counter(row.get("seq") for row in booked).items():
        if count > 1:
            yield "shared_event", f"{count} gifts refer to event {seq}"


def order_violations(orders: Sequence[Row], booked: Sequence[Row], buyer: Row) -> Found:
    """All `orders` were paid, by one buyer; `booked` has the recharge entries."""
    entries = Counter(row["_id"] for row in booked)
    for order in orders:
        if entries[recharge_key(order["_id"])] != 1 or order["state"] != "paid":
            yield "order_lost", f"{order['_id']}: {order['state']}"
    for key in entries.keys() - {recharge_key(order["_id"]) for order in orders}:
        yield "credit_without_order", key
    expected = sum(order["gold"] for order in orders)
    if buyer["gold"] != expected:
        yield "wrong_balance", f"{buyer['gold']} instead of {expected}"
