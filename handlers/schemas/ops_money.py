"""Response models of the operators' API: orders, the ledger, refunds, withdrawals, the inbox."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from handlers.schemas.responses import Response
from ledger.journal import Unit
from ledger.refund_cases import CaseState
from ledger.refund_plan import GiftStep, HostStep, OrderStep
from ledger.withdrawals import WithdrawalState
from storage.operators.approvals import ApprovalKind, ApprovalState


class BalanceResponse(Response):
    gold: int
    income: int


class ApprovalResponse(Response):
    """A request that waits for another operator until `expires_at`.

    `on` is a user, an entry, a config's key or a block's number. `gold` is the amount, of income if
    that is the `unit`. `before` and `after` are the row of a config or block; {}: there is none.
    """

    id: str
    kind: ApprovalKind
    on: str
    gold: int
    unit: Unit
    before: dict[str, Any]
    after: dict[str, Any]
    reason: str
    by: str
    made_at: datetime
    expires_at: datetime
    state: ApprovalState
    decided_by: str
    decision_reason: str
    decided_at: datetime | None


class OpsOrderResponse(Response):
    """An order of `gold` for `fen`; `refunded` is the amount in fen that was paid back.

    A confirmed refund case has the whole order count as refunded, also if it is settled.
    `platform`: the buyer's system as the client names it, `ios` once Apple has asked about the
    order; "" if unknown.
    """

    id: Annotated[str, Field(validation_alias="_id")]
    user_id: str
    provider: str
    product: str
    fen: int
    gold: int
    state: str
    sandbox: bool
    platform: str = ""
    transaction: str = ""
    refused: str = ""
    """Reason why a reported payment was not accepted."""
    refunded: int = 0
    queries: int
    created_at: datetime
    paid_at: datetime | None = None
    closed_at: datetime | None = None


class PostingResponse(Response):
    account: str
    unit: str
    amount: int


class EntryResponse(Response):
    id: Annotated[str, Field(validation_alias="_id")]
    kind: str
    at: datetime
    by: str
    lines: list[PostingResponse]
    content: dict[str, Any]
    answer: dict[str, Any]
    note: str
    live_id: int | None = None
    epoch: str | None = None
    seq: int | None = None


class ReversedResponse(Response):
    reverses: str


class RefundRowResponse(Response):
    """A refund case. Of its `gold`, `unspent` was in the user's balance at the preview."""

    id: str
    user_id: str
    reason: str
    state: CaseState
    opened_by: str
    opened_at: datetime
    decided_by: str
    decision_reason: str
    decided_at: datetime | None
    closed_at: datetime | None
    fen: int
    gold: int
    unspent: int
    orders: list[OrderStep]


class RefundCaseResponse(RefundRowResponse):
    """With all its steps; `uncovered` gold is in no gift either, so that the user owes it."""

    uncovered: int
    gifts: list[GiftStep]
    hosts: list[HostStep]


class InboxMessageResponse(Response):
    """A stored webhook message; `genuine`: verified, `times`: number of deliveries.

    `event`: name of an event of WeChat that moves no gold, `answer`: what it was answered.
    """

    id: Annotated[str, Field(validation_alias="_id")]
    source: str
    query: str
    raw: str
    genuine: bool
    outcome: str
    reason: str
    times: int
    received_at: datetime
    event: str = ""
    answer: dict[str, Any] | None = None


class OpsWithdrawalResponse(Response):
    """A withdrawal of `income` for `fen`; `id` is its number at WeChat Pay, too.

    `approvals`: of `operators_needed` operators. `problem`: code of the last call to WeChat Pay, ""
    if it succeeded.
    """

    id: str
    user_id: str
    request_id: str
    state: WithdrawalState
    income: int
    fen: int
    paid_fen: int
    rate: Decimal
    requested_at: datetime
    operators_needed: int
    approvals: list[str]
    decided_by: str
    """Who declined it; `user` or `refund_case` if it was cancelled."""
    decided_at: datetime | None
    reason: str
    sent_at: datetime | None
    finished_at: datetime | None
    wechat_number: str
    fail_reason: str
    problem: str


class OutcomeResponse(Response):
    outcome: str
    reason: str
