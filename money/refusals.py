"""Every "no" about gold, drawn as a tree.

Refusal
├── InsufficientGold 409  insufficient_gold (a gift answers it as status "failed")
└── RequestIdReused 409   request_id_reused
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
