"""Tickets that invite users into a live; times in ms."""

from dataclasses import dataclass
from typing import Literal

from people.user_events import InvitationEndReason
from rooms.events import RefuseReason

TicketKind = Literal["app", "friend", "link", "code"]
"""How a ticket reaches its taker: an event in the app, a message to a friend at WeChat, a link, or
a code to scan."""

SEAT_INVITATION_ENDS: dict[RefuseReason, InvitationEndReason] = {
    "refused": "refused",
    "withdrawn": "refused",
    "left": "refused",
    "expired": "expired",
    "offline": "expired",
    "host": "withdrawn",
    "banned": "blocked",
    "moderation": "blocked",
}
"""Reason for which an application ended -> that for which the invitation to a seat ended."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """An invitation to enter a live, until it expires; each use binds one taker."""

    id: str
    by: TicketKind
    inviter: str
    expires_at: int
    minutes: int
    uses: int = 1
    user_id: str = ""
    """The only user who may take an `app` ticket; "" for tickets of other kinds."""
    request_id: str = ""
    activity_id: str = ""
    """The activity whose message at WeChat the taker must have received; "" requires no proof."""
    picture: str = ""
    """Key of the picture of a `code`, which is deleted with the ticket."""
    takers: tuple[str, ...] = ()
    """Users who have entered with it. An invited user counts also after entering without it."""

    @property
    def content(self) -> tuple[object, ...]:
        """What was requested: a repetition with the same request_id must be equal."""
        return self.by, self.user_id, self.minutes, self.uses

    def opens_for(self, user_id: str, now: int) -> bool:
        """Return whether the user may enter with it; a taker may come back until it expires."""
        if self.expires_at <= now or self.user_id not in ("", user_id):
            return False
        return user_id in self.takers or len(self.takers) < self.uses
