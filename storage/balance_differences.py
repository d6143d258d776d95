"""MongoDB pipelines that find where the journal and the stored balances may differ.

They run in the database: it can sort and group more than fits into its memory, and sends only the
few accounts and entries that ledger/checks.py then judges.
"""

from typing import Any

from ledger.journal import HOUSE, Unit, debt_account, held_account, user_account
from storage.database import Document
from storage.ledger import DEBTS

UNITS: tuple[Unit, ...] = ("gold", "income")
USER_OF_LINE = {"$arrayElemAt": [{"$split": ["$lines.account", ":"]}, 1]}
"""User id of an unwound posting to a user's account or debt."""

OF_USERS: Document = {
    "lines.account": {"$ne": HOUSE, "$not": {"$regex": f"^{held_account('')}"}},
}
"""Condition on an unwound posting: neither the house's nor income held for a withdrawal, which
storage/withdrawal_reconciler.py compares."""


def suspicious_accounts(limit: int) -> list[Document]:
    """Steps on `ledger`: accounts whose postings and stored amounts do not cancel out.

    Also users with a negative amount. One pass over all postings and all users.
    """
    sums = {unit: _amount_of("$lines", unit) for unit in UNITS}
    other = {"$cond": [{"$in": ["$lines.unit", UNITS]}, 0, "$lines.amount"]}
    balance = {"gold": _minus("$gold"), "income": _minus("$income")}
    debts: Document = {unit: {"$ifNull": [f"${DEBTS[unit]}", 0]} for unit in UNITS}
    lowest = {"$min": ["$gold", "$income", *debts.values()]}
    users = {"_id": _account(user_account("")), **balance, "lowest": lowest}
    owing = {"$or": [{DEBTS[unit]: {"$nin": [0, None]}} for unit in UNITS]}
    owed = {"_id": _account(debt_account("")), **debts}
    return [
        {"$unwind": "$lines"},
        {"$match": OF_USERS},
        {"$project": {"_id": "$lines.account", **sums, "other": other}},
        {"$unionWith": {"coll": "users", "pipeline": [{"$project": users}]}},
        {
            "$unionWith": {
                "coll": "users",
                "pipeline": [{"$match": owing}, {"$project": owed}],
            }
        },
        {
            "$group": {
                "_id": "$_id",
                **{name: {"$sum": f"${name}"} for name in (*UNITS, "other")},
                "lowest": {"$min": "$lowest"},
            }
        },
        {
            "$match": {
                "$or": [
                    *({name: {"$ne": 0}} for name in (*UNITS, "other")),
                    {"lowest": {"$lt": 0}},
                ]
            }
        },
        {"$limit": limit},
    ]


def maybe_unbalanced() -> Document:
    """Condition on entries: the lines of a unit do not sum to zero, or a unit is unknown."""
    sums = [
        {"$sum": {"$map": {"input": "$lines", "in": _amount_of("$$this", unit)}}} for unit in UNITS
    ]
    unknown = {"$setDifference": ["$lines.unit", UNITS]}
    return {"$expr": {"$or": [*({"$ne": [it, 0]} for it in sums), {"$ne": [unknown, []]}]}}


def _amount_of(line: str, unit: str) -> Document:
    return {"$cond": [{"$eq": [f"{line}.unit", unit]}, f"{line}.amount", 0]}


def _minus(field: str) -> Document:
    return {"$multiply": [field, -1]}


def _account(prefix: str) -> dict[str, Any]:
    return {"$concat": [prefix, "$_id"]}
