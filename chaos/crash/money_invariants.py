"""Checks after the crashes: what the bank has paid and refunded is what the journal says, once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from chaos.crash.environment import CrashEnvironment
from chaos.crash.invariants import Found, Row
from chaos.crash.withdrawals import Withdrawals
from ledger.journal import reversal_key

Refunded = tuple[str, str, int, str]
"""A refund at its provider: order, our number, fen, state."""
FINAL = ("paid", "returned")
OUTCOMES = {"paid": "payout", "returned": "return"}
"""Kind of the only journal entry that ends a withdrawal, by its state."""


async def check_money_invariants(env: CrashEnvironment, withdrawals: Withdrawals) -> dict[str, int]:
    """Add every violated invariant to the violations; returns the metrics."""
    rows = await env.database.collection("withdrawals").find({}).to_list()
    cases = await env.database.collection("refund_cases").find({}).to_list()
    journal = await env.database.collection("ledger").find({"kind": {"$ne": "gift"}}).to_list()
    stopped = await env.database.collection("users").count_documents(
        {"withdrawals_stopped": {"$nin": [None, []]}}
    )
    bank, refunds = env.simulator.transfers.bills, env.simulator.refunds.refunds
    paid = {number: bill.fen for number, bill in bank.items() if bill.state == "SUCCESS"}
    refunded = [
        (refund.order, refund.number, refund.fen, refund.state) for refund in refunds.values()
    ]
    for kind, detail in [
        *request_violations(withdrawals.answers, rows),
        *cancel_violations(withdrawals.cancelled, rows),
        *outcome_violations(rows, journal),
        *bank_violations(paid, journal),
        *refund_violations(cases, refunded, journal),
        *([("withdrawals_stopped", f"{stopped} users")] if stopped else []),
    ]:
        env.violations.add(kind, detail)
    return {
        "withdrawals": len(rows),
        "bills_at_bank": len(bank),
        "bills_paid": len(paid),
        "fen_paid": sum(paid.values()),
        "fen_in_journal": sum(row["content"]["fen"] for row in journal if row["kind"] == "payout"),
        "refund_cases": len(cases),
        "refunds": len(refunded),
    }


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
        **{order_reversal_key(order): order_reversal_key(order) in keys for order in orders},
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


def order_reversal_key(order: Row) -> str:
    return f"reversal:{order['provider']}:{order['refund']}"
