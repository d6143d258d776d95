"""Response models of the operators' API."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import ConfigDict, Field, GetPydanticSchema

from handlers.schemas.requests import Gender, Number
from handlers.schemas.responses import Response
from handlers.schemas.typed_dicts import pydantic_type
from ledger.bills import WithdrawalState
from ledger.journal import Unit
from ledger.refund_cases import CaseState
from ledger.refund_plan import GiftStepState, OrderStepState
from rooms.members import Role
from rooms.snapshot import Snapshot
from services.roles import Access
from storage.approvals import ApprovalKind, ApprovalState


class OperatorResponse(Response):
    """An operator; `may` are the permitted operations as in the audit log: `PATCH OneUser`."""

    name: str
    role: Access
    may: list[str]


class OperatorLoginResponse(OperatorResponse):
    """`token` goes into `Authorization: Bearer <token>`."""

    token: str
    expires_at: datetime


class LoginOptionsResponse(Response):
    demo: bool


class SecondFactorResponse(Response):
    """What an authenticator app is set up with; `qr` is a data URI of `uri` as QR code."""

    secret: str
    uri: str
    qr: str


class OpsUserResponse(Response):
    """A user; times are UTC in RFC 3339."""

    id: str
    nickname: str
    gender: Gender | int
    age: int
    area: str
    face_url: str
    gold: int
    income: int
    owed: int
    owed_income: int
    is_matchmaker: bool
    banned: bool
    ban_reason: str
    continuous_time: int
    create_time: datetime
    last_login_time: datetime | None


class OpsUsersResponse(Response):
    items: list[OpsUserResponse]
    next: str | None


class UserSessionView(Response):
    """A login that has not ended; `id` grants no access. `used_at` is up to an hour too early."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    made_at: datetime
    used_at: datetime
    expires_at: datetime


class UserSessionsResponse(Response):
    items: list[UserSessionView]
    next: None = None


class SessionsEndedResponse(Response):
    """How many valid sessions have ended."""

    ended: int


class BalanceResponse(Response):
    gold: int
    income: int


class ApprovalResponse(Response):
    """A request that waits for another operator until `expires_at`; `on` is a user or an entry.

    `gold` is the amount, of income if that is the `unit`.
    """

    model_config = ConfigDict(from_attributes=True)

    id: str
    kind: ApprovalKind
    on: str
    gold: int
    unit: Unit
    reason: str
    by: str
    made_at: datetime
    expires_at: datetime
    state: ApprovalState
    decided_by: str
    decision_reason: str
    decided_at: datetime | None


class ApprovalsResponse(Response):
    items: list[ApprovalResponse]
    next: str | None


class RoomRowResponse(Response):
    id: int
    epoch: str
    seq: int
    started_at: int
    room: Annotated[
        dict[str, Any],
        GetPydanticSchema(lambda _dict, schema_of: schema_of(pydantic_type(Snapshot))),
    ]
    """Same as the data of the WebSocket's `snapshot` frame."""


class RoomEventView(Response):
    """A numbered event as published to the room's members; `ts` in ms."""

    seq: int
    ts: int
    type: str
    data: dict[str, Any]


class RoomBanView(Response):
    """A user banned from the room until `until` (ms)."""

    user_id: str
    nickname: str
    face_url: str
    until: int


class RoomDetailResponse(RoomRowResponse):
    put_out: list[RoomBanView]
    events: list[RoomEventView]
    """Events after `since`, in order; the latest if it is missing, of another live or too old."""


class RoomMemberView(Response):
    """A member of a room; `away_at` (ms): when the connection was lost, null while connected."""

    user_id: str
    nickname: str
    face_url: str
    gender: int
    role: Role
    entered_at: int
    away_at: int | None


class RoomMembersResponse(Response):
    items: list[RoomMemberView]
    next: str | None


class RoomRowsResponse(Response):
    items: list[RoomRowResponse]
    next: None = None


class OpsGiftResponse(Response):
    id: int
    name: str
    gold: int
    image: str
    effect: str


class GiftsResponse(Response):
    items: list[OpsGiftResponse]
    next: None = None


class OpsBlockResponse(Response):
    id: Number
    gold: int
    price: str


class BlocksResponse(Response):
    items: list[OpsBlockResponse]
    next: None = None


class ConfigResponse(Response):
    id: int
    key: str
    value: Any
    enabled: bool
    remark: str


class OpsConfigsResponse(Response):
    items: list[ConfigResponse]
    next: None = None


class AuditEntryResponse(Response):
    """`done` is false for requests that were refused or interrupted.

    `before` and `after` have the fields that the change has altered; `seq` is the entry's number in
    the chain of hashes. Entries of earlier versions have neither, and no role and no address.
    """

    id: str
    seq: int
    at: datetime
    who: str
    role: str
    address: str
    what: str
    on: str
    reason: str
    asked: Any
    before: dict[str, Any]
    after: dict[str, Any]
    done: bool


class AuditPageResponse(Response):
    items: list[AuditEntryResponse]
    next: str | None


class OpsOrderResponse(Response):
    """An order of `gold` for `fen`; `refunded` is the amount in fen that was paid back.

    `platform`: the buyer's system, "" if the client did not name it.
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
    asked: int
    created_at: datetime
    paid_at: datetime | None = None
    closed_at: datetime | None = None


class OrdersResponse(Response):
    items: list[OpsOrderResponse]
    next: str | None


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


class LedgerResponse(Response):
    items: list[EntryResponse]
    next: str | None


class ReversedResponse(Response):
    reverses: str


class RefundOrderView(Response):
    """An order of a refund case; `fen` and `gold` are what earlier refunds have left of it.

    `refund` is our number of the refund, `provider_refund` WeChat's. `by_apple`: only Apple refunds
    it, on the user's request; the notice of it closes the step. `problem` is why the provider has
    to be asked again.
    """

    model_config = ConfigDict(from_attributes=True)

    number: str
    provider: str
    refund: str
    fen: int
    gold: int
    by_apple: bool
    state: OrderStepState
    problem: str
    provider_refund: str
    settled_by: str
    settled_reason: str


class RefundGiftView(Response):
    """A gift to reverse: `income` of `host`, of which `taken` was there and `owed` was not."""

    model_config = ConfigDict(from_attributes=True)

    key: str
    at: datetime
    host: str
    gold: int
    income: int
    state: GiftStepState
    taken: int
    owed: int


class RefundHostView(Response):
    """A host whose `income` is taken back, and where it was when the preview was made.

    `stopped`: the case stops the host's withdrawals.
    """

    model_config = ConfigDict(from_attributes=True)

    user_id: str
    income: int
    free: int
    held: int
    paid: int
    spent: int
    stopped: bool


class RefundRowResponse(Response):
    """A refund case. Of its `gold`, `unspent` was in the user's balance at the preview."""

    model_config = ConfigDict(from_attributes=True)

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
    orders: list[RefundOrderView]


class RefundCaseResponse(RefundRowResponse):
    """With all its steps; `uncovered` gold is in no gift either, so that the user owes it."""

    uncovered: int
    gifts: list[RefundGiftView]
    hosts: list[RefundHostView]


class RefundCasesResponse(Response):
    items: list[RefundRowResponse]
    next: str | None


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


class InboxPageResponse(Response):
    items: list[InboxMessageResponse]
    next: str | None


class BillResponse(Response):
    """A transfer at WeChat Pay; `problem`: code of the last call, "" if it succeeded."""

    model_config = ConfigDict(from_attributes=True)

    number: str
    fen: int
    income: int
    state: WithdrawalState
    sent_at: datetime | None
    finished_at: datetime | None
    wechat_number: str
    fail_reason: str
    problem: str


class OpsWithdrawalResponse(Response):
    """A withdrawal of `income` for `fen`; `approvals`: of `operators_needed` operators."""

    model_config = ConfigDict(from_attributes=True)

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
    bills: list[BillResponse]


class OpsWithdrawalsResponse(Response):
    items: list[OpsWithdrawalResponse]
    next: str | None


class WithdrawalDayResponse(Response):
    """What happened on a day in China; `requested` counts withdrawals, the others transfers."""

    day: date
    requested_fen: int
    requested: int
    paid_fen: int
    paid: int
    returned_fen: int
    returned: int


class WithdrawalDaysResponse(Response):
    items: list[WithdrawalDayResponse]
    next: str | None


class OutcomeResponse(Response):
    outcome: str
    reason: str
