"""Every "no" about gold, drawn as a tree.

Refusal
├── InsufficientGold 409  insufficient_gold (a gift answers it as status "failed")
├── RequestIdReused 409   request_id_reused
├── NotReversible 409     not_reversible
├── NotOwed 409           not_owed
└── NoSuchEntry 404       no_such_entry
"""


class Refusal(Exception):
    """A "no" with a word for programs (`code`) and a sentence for people (`detail`)."""

    status = 409
    code = "refused"
    detail = "This cannot be done."

    def __init__(self) -> None:
        super().__init__(self.detail)


class InsufficientGold(Refusal):
    code, detail = "insufficient_gold", "There is not enough gold for this."


class RequestIdReused(Refusal):
    code, detail = "request_id_reused", "This request_id was used for something else."


class NotReversible(Refusal):
    code = "not_reversible"
    detail = "A reversal stays, and a recharge is reversed by the refund of its money."


class NotOwed(Refusal):
    code, detail = "not_owed", "So much is not owed."


class NoSuchEntry(Refusal):
    status = 404
    code, detail = "no_such_entry", "There is no such entry in the book."
