"""Checks after the crashes: each gift and order is recorded once, each room gift has its event."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from chaos.crash.environment import CrashEnvironment
from chaos.crash.gifts import Gifts, RoomEvents
from chaos.server_logs import unexpected_errors
from ledger.recharge import recharge_key
from storage.gold.ledger_reconciler import LedgerReconciler

Row = Mapping[str, Any]
Found = Iterator[tuple[str, str]]
"""(kind of violation, detail)."""


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


async def check_gifts(
    env: CrashEnvironment, givers: Sequence[Gifts], room: RoomEvents
) -> dict[str, int]:
    """Add every violated invariant of gifts to the violations; returns the metrics."""
    ledger = env.database.collection("ledger")
    stored = await env.database.collection("rooms").find_one({"_id": room.live_id}, {"log": 0})
    found, recorded, in_room = list[tuple[str, str]](), 0, list[Row]()
    for gifts in givers:
        where = {"kind": "gift", "by": gifts.giver.id}
        rows = await ledger.find(where).sort("at", 1).to_list()
        recorded += len(rows)
        in_room += rows if gifts.events else []
        found += gift_violations(gifts.responses, rows)
    for kind, detail in (*found, *event_violations(in_room, room.names, stored or {})):
        env.violations.add(kind, detail)
    return {
        "gifts_acknowledged": sum(len(gifts.responses) for gifts in givers),
        "gifts_booked": recorded,
        "room_gifts": len(in_room),
        "room_events": len(room.by_number),
        "gift_events": sum(row["type"] == "gift" for row in room.by_number.values()),
    }


def gift_violations(acknowledged: Mapping[str, Any], recorded: Sequence[Row]) -> Found:
    """`acknowledged` has the responses by ledger key, `recorded` one giver's entries by time."""
    stored = {row["_id"]: row["answer"] for row in recorded}
    for key in acknowledged.keys() - stored.keys():
        yield "gift_lost", key
    for key in stored.keys() - acknowledged.keys():
        yield "gift_not_acknowledged", key
    for key in stored.keys() & acknowledged.keys():
        if stored[key] != acknowledged[key]:
            yield "conflicting_responses", f"{key}: {acknowledged[key]}, recorded {stored[key]}"
    for before, row in pairwise(recorded):
        price = -sum(
            line["amount"] for line in row["lines"] if line["account"] == f"user:{row['by']}"
        )
        if row["answer"]["gold"] != before["answer"]["gold"] - price:
            yield "wrong_charge", f"{row['_id']}: {before['answer']}, then {row['answer']}"


def event_violations(recorded: Sequence[Row], events: Mapping[int, str], room: Row) -> Found:
    """`events` has the request_id of every gift event of the room, by event number."""
    for number in set(range(1, room["version"] + 1)) ^ events.keys():
        yield "event_numbers", f"{number} of {room['version']}"
    for name, count in Counter(events.values()).items():
        if count > 1:
            yield "duplicate_event", f"{name}: {count} times"
    for row in recorded:
        session, name = (row.get("live_id"), row.get("epoch")), row["_id"].rpartition(":")[2]
        if session != (room["_id"], room["epoch"]) or events.get(row["seq"]) != name:
            yield "gift_without_event", f"{row['_id']}: {session}, {row.get('seq')}"
    for seq, count in Counter(row.get("seq") for row in recorded).items():
        if count > 1:
            yield "shared_event", f"{count} gifts refer to event {seq}"


def order_violations(orders: Sequence[Row], recorded: Sequence[Row], buyer: Row) -> Found:
    """All `orders` were paid, by one buyer; `recorded` has the recharge entries."""
    entries = Counter(row["_id"] for row in recorded)
    for order in orders:
        if entries[recharge_key(order["_id"])] != 1 or order["state"] != "paid":
            yield "order_lost", f"{order['_id']}: {order['state']}"
    for key in entries.keys() - {recharge_key(order["_id"]) for order in orders}:
        yield "credit_without_order", key
    expected = sum(order["gold"] for order in orders)
    if buyer["gold"] != expected:
        yield "wrong_balance", f"{buyer['gold']} instead of {expected}"
