"""Events that webhooks send to a company's own systems, and their payloads.

They name users by their number, and have no openid, token, address or real name.
"""

from typing import Literal, NotRequired, TypedDict

from rooms.events import EndReason, LeaveReason
from rooms.members import SeatName
from rooms.moderation import Kind


class OfRoom(TypedDict):
    """A live of a room as others see it; `audience` has the host, too."""

    live_id: int
    epoch: str
    title: str
    audience: int


class LiveStartedPayload(OfRoom):
    """A live began."""

    host_id: str


class LiveEndedPayload(OfRoom):
    """A live ended, with the counts of its report."""

    host_id: str
    reason: EndReason
    audience_peak: int
    audience_total: int
    applications: int
    dates: int
    income: int
    followers: int
    matches: int


class SeatTakenPayload(OfRoom):
    """A user took a seat."""

    user_id: str
    seat: SeatName


class SeatLeftPayload(SeatTakenPayload):
    """A user left a seat during the live."""

    reason: LeaveReason


class GiftGivenPayload(TypedDict):
    """A gift was given; outside of a live it has no fields of a room."""

    live_id: NotRequired[int]
    epoch: NotRequired[str]
    title: NotRequired[str]
    audience: NotRequired[int]
    sender_id: str
    receiver_id: str
    gift_id: int
    num: int
    gold: int


class OrderPaidPayload(TypedDict):
    """An order was paid, and its gold is credited."""

    order: str
    user_id: str
    gold: int
    fen: int


class OrderRefundedPayload(OrderPaidPayload):
    """`fen` of an order were paid back, for which `gold` was taken back."""


class WithdrawalPaidPayload(TypedDict):
    """Income was paid to the WeChat balance of a user."""

    withdrawal_id: str
    user_id: str
    income: int
    fen: int


class OfUser(TypedDict):
    user_id: str


class UserRegisteredPayload(OfUser):
    """A user registered."""


class UserBannedPayload(OfUser):
    """An operator banned a user."""


class UserDeletedPayload(OfUser):
    """The deletion of a user was carried out."""


class ReportFiledPayload(TypedDict):
    """A user was reported, in the room `live_id` if that is not 0."""

    item_id: str
    user_id: str
    live_id: int
    reason: str


class ModerationDecidedPayload(TypedDict):
    """A check or an operator decided on content of a user, a stream or a report."""

    item_id: str
    kind: Kind
    user_id: str
    outcome: Literal["approved", "refused"]
    by: Literal["check", "operator"]


WEBHOOK_PAYLOADS: dict[str, type] = {
    "live.started": LiveStartedPayload,
    "live.ended": LiveEndedPayload,
    "seat.taken": SeatTakenPayload,
    "seat.left": SeatLeftPayload,
    "gift.given": GiftGivenPayload,
    "order.paid": OrderPaidPayload,
    "order.refunded": OrderRefundedPayload,
    "withdrawal.paid": WithdrawalPaidPayload,
    "user.registered": UserRegisteredPayload,
    "user.banned": UserBannedPayload,
    "user.deleted": UserDeletedPayload,
    "report.filed": ReportFiledPayload,
    "moderation.decided": ModerationDecidedPayload,
}
