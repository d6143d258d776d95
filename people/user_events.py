"""Payloads of the events of a user channel, as sent over WebSocket; times in ms."""

from typing import Literal, TypedDict

from people.profiles import PublicProfile

USER_LOG_SIZE = 64
"""Events kept per user, as a ring: more than a phone misses in a day without a connection."""

CheckedContent = Literal["nickname", "face", "cover", "room_name"]
InvitationEndReason = Literal["accepted", "refused", "expired", "withdrawn", "live_end", "blocked"]


class InvitationHost(TypedDict):
    user_id: str
    nickname: str
    face_url: str


class Invitation(TypedDict):
    """The host of a live invites the user to a seat, or (room) to enter.

    It replaces one with the same id. That of a room is the ticket to enter with.
    """

    invitation_id: str
    kind: Literal["seat", "room"]
    live_id: int
    room_name: str
    host: InvitationHost
    expires_at: int


class LiveStart(TypedDict):
    """A host whom the user follows has begun a live."""

    host: InvitationHost
    live_id: int
    room_name: str


class InvitationEnd(TypedDict):
    """An invitation was accepted, or is over for another reason."""

    invitation_id: str
    reason: InvitationEndReason


class Checked(TypedDict):
    """Content of the user was checked: others see it now, or it was refused."""

    what: CheckedContent
    outcome: Literal["shown", "refused"]


class PaymentReceived(TypedDict):
    """An order was paid, and its gold is credited."""

    order: str
    gold: int


class WithdrawalMoved(TypedDict):
    """A withdrawal has reached another state."""

    withdrawal_id: str
    state: str


class RefundMoved(TypedDict):
    """The refund of an order has reached another state; `gold` is the gold that it takes back."""

    order: str
    gold: int
    state: str


class Match(TypedDict):
    """The user and another like one another and have had a date, the last one in this live."""

    user: PublicProfile
    live_id: int
    at: int


USER_EVENT_PAYLOADS: dict[str, type] = {
    "invitation": Invitation,
    "invitation_end": InvitationEnd,
    "checked": Checked,
    "payment": PaymentReceived,
    "withdrawal": WithdrawalMoved,
    "refund": RefundMoved,
    "match": Match,
}
