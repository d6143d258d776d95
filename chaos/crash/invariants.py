"""Checks after the crashes: what is recorded, paid and refunded is so once, and has its event."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from chaos.report import Violation
from ledger.journal import reversal_key
from ledger.recharge import recharge_key
from people.user_events import USER_LOG_SIZE

Row = Mapping[str, Any]
Found = Iterator[Violation]
Refunded = tuple[str, str, int, str]
"""A refund at its provider: order, our number, fen, state."""
FINAL = ("paid", "returned")
OUTCOMES = {"paid": "payout", "returned": "return"}
"""Kind of the only journal entry that ends a withdrawal, by its state."""


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


def payment_event_violations(recorded: Sequence[Row], channel: Row) -> Found:
    """Each recharge has one event in the user channel, as long as its log has all events."""
    told = Counter(
        recharge_key(event["data"]["order"])
        for event in channel["log"]
        if event["type"] == "payment"
    )
    for key, count in told.items():
        if count > 1:
            yield "duplicate_event", f"{key}: {count} times"
    keys = {row["_id"] for row in recorded}
    is_whole = len(channel["log"]) < USER_LOG_SIZE
    for key in keys ^ told.keys() if is_whole else told.keys() - keys:
        yield "credit_without_event", key


def request_violations(answers: Mapping[str, Any], rows: Sequence[Row]) -> Found:
    """`answers` has the latest answer by request_id, `rows` the stored withdrawals."""
    stored = {row["request_id"]: row["_id"] for row in rows}
    for request_id, count in Counter(row["request_id"] for row in rows).items():
        if count > 1:
            yield "duplicate_withdrawal", f"{request_id}: {count}"
    for request_id in answers.keys() ^ stored.keys():
        yield "withdrawal_lost_or_not_acknowledged", request_id
    for request_id in answers.keys() & stored.keys():
        if answers[request_id]["withdrawal_id"] != stored[request_id]:
            yield "conflicting_responses", f"{request_id}: {answers[request_id]}"


def cancel_violations(cancelled: Sequence[str], rows: Sequence[Row]) -> Found:
    """Income whose cancellation was acknowledged is returned, and nothing of it paid."""
    states = {row["_id"]: row["state"] for row in rows}
    for id_ in cancelled:
        if states[id_] != "returned":
            yield "cancelled_and_not_returned", f"{id_}: {states[id_]}"


def outcome_violations(rows: Sequence[Row], journal: Sequence[Row]) -> Found:
    """Each withdrawal has one outcome, once in the journal: paid or returned."""
    ended = Counter(
        (row["content"]["withdrawal"], row["kind"])
        for row in journal
        if row["kind"] in OUTCOMES.values()
    )
    for row in rows:
        found = {kind: ended.pop((row["_id"], kind), 0) for kind in OUTCOMES.values()}
        expected = {kind: int(OUTCOMES.get(row["state"]) == kind) for kind in found}
        if found != expected or row["state"] not in FINAL:
            yield "outcome", f"{row['_id']} {row['state']}: {found}"
    for id_, kind in ended:
        yield "outcome", f"{kind} of {id_}, which is no withdrawal"


def bank_violations(paid: Mapping[str, int], journal: Sequence[Row]) -> Found:
    """`paid` has the fen of each transfer that the bank has paid, by number."""
    recorded = Counter[str]()
    for row in journal:
        if row["kind"] == "payout":
            recorded[row["content"]["withdrawal"]] += row["content"]["fen"]
    for number in paid.keys() | recorded.keys():
        if paid.get(number, 0) != recorded[number]:
            yield "bank", f"{number}: bank {paid.get(number, 0)}, journal {recorded[number]}"


def refund_violations(
    cases: Sequence[Row], refunded: Sequence[Refunded], journal: Sequence[Row]
) -> Found:
    """Each order of a case is reversed and refunded once, and each of its gifts reversed once."""
    keys = {row["_id"] for row in journal}
    orders = [order for case in cases for order in case["orders"]]
    expected = {
        **{f"case {case['_id']} closed": case["state"] == "closed" for case in cases},
        **{key: key in keys for key in map(_order_reversal_key, orders)},
        **{
            reversal_key(gift["key"]): gift["state"] == "reversed"
            and reversal_key(gift["key"]) in keys
            for case in cases
            for gift in case["gifts"]
        },
    }
    yield from (("refund_step_missing", name) for name, done in expected.items() if not done)
    wanted = Counter((order["number"], order["refund"], order["fen"], "done") for order in orders)
    found = Counter(refunded)
    for refund in wanted.keys() | found.keys():
        if wanted[refund] != found[refund]:
            yield "refund", f"{refund}: {found[refund]} instead of {wanted[refund]}"


def _order_reversal_key(order: Row) -> str:
    return f"reversal:{order['provider']}:{order['refund']}"


def webhook_violations(written: int, received: Sequence[tuple[str, int]]) -> Found:
    """`received` has the id and the number of each request, the numbers from 1 as written."""
    numbers = [number for _, number in received]
    for number in {*range(1, written + 1)} - {*numbers}:
        yield "webhook_lost", str(number)
    for (_, before), (id_, number) in pairwise(received):
        if number < before:
            yield "webhook_order", f"{id_}: {number} after {before}"
    for number, count in Counter(number for _, number in {*received}).items():
        if count > 1:
            yield "webhook_id", f"{number} was sent under {count} ids"
