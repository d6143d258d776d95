"""Errors raised by the rules of the ledger.

StateConflict
├── InsufficientGold   insufficient_gold
├── RequestIdReused    request_id_reused
├── NotReversible      not_reversible
└── DebtExceeded       not_owed
NotFound
└── EntryNotFound      no_such_entry

EntryExists never reaches a client: it means that the transaction has already been carried out.
"""

from core.errors import NotFound, StateConflict


class InsufficientGold(StateConflict):
    code, detail = "insufficient_gold", "Insufficient gold."


class RequestIdReused(StateConflict):
    code, detail = "request_id_reused", "This request_id was used for a different request."


class NotReversible(StateConflict):
    code = "not_reversible"
    detail = "Reversals are final; a recharge is reversed by refunding its payment."


class DebtExceeded(StateConflict):
    code, detail = "not_owed", "The amount exceeds the debt."


class EntryNotFound(NotFound):
    code, detail = "no_such_entry", "There is no such journal entry."


class EntryExists(Exception):
    """The journal already has an entry with this idempotency key."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key
