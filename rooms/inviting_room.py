"""Rules of the tickets that invite users into a live. Times are in ms."""

from dataclasses import dataclass, replace

from core.errors import InvalidParameter
from rooms.errors import InvitationInvalid, InvitationRequired, NotHost, NotLive, RoomFull
from rooms.state import ChangingRoom, without
from rooms.tickets import Ticket, check_bounds, repeated_ticket
from rooms.user_events import InvitationEndReason, invitation_end


@dataclass(slots=True)
class InvitingRoom(ChangingRoom):
    """A room that users enter by tickets; rooms/room.py has its other rules."""

    def issue_ticket(self, ticket: Ticket) -> Ticket:
        """Invite by a ticket, as the host or a deputy.

        Return the ticket, or the one that its inviter was given for the same request_id. Raises
        TooManyInvitations.
        """
        self._check_may_moderate(ticket.inviter)
        if not self.live:
            raise NotLive
        if ticket.user_id in (self.host_id, ticket.inviter):
            raise InvalidParameter({"user_id": "this user needs no invitation"})
        if earlier := repeated_ticket(self.tickets, ticket):
            return earlier
        check_bounds(self.tickets, ticket)
        if ticket.user_id:
            self.end_tickets("withdrawn", user_id=ticket.user_id)  # one for a user at a time
        self._put_ticket(ticket)
        if ticket.user_id:
            self._tell_invitation(ticket.user_id, ticket.id, "room", ticket.expires_at)
        return ticket

    def withdraw_ticket(self, user_id: str, ticket_id: str) -> None:
        """End a ticket, as the host or its inviter; the user whom it names refuses it.

        A ticket that has ended causes no error.
        """
        ticket = self.tickets.get(ticket_id)
        if ticket is None:
            return
        if user_id == ticket.user_id:
            self._end_ticket(ticket, "refused")
            return
        if ticket not in self.tickets_of(user_id):
            raise NotHost
        self._end_ticket(ticket, "withdrawn")

    def tickets_of(self, user_id: str) -> list[Ticket]:
        """Return the tickets that the user may see and withdraw: all for the host, or their own."""
        self._check_may_moderate(user_id)
        tickets = self.tickets.values()
        return [t for t in tickets if user_id in (self.host_id, t.inviter)]

    def end_tickets(
        self, reason: InvitationEndReason, *, inviter: str | None = None, user_id: str | None = None
    ) -> None:
        """End the tickets of this inviter, or for this user, or both; without either, all."""
        for ticket in self.tickets.values():
            if inviter in (None, ticket.inviter) and user_id in (None, ticket.user_id):
                self._end_ticket(ticket, reason)

    # ---- steps of the rules

    def _admit(self, user_id: str, now: int, ticket_id: str, free_places: int) -> None:
        """Check that a user who is no member may enter; bind them to the ticket, if there is one.

        `free_places`: the number of members that could join a private live when it was loaded.
        Raises InvitationRequired, InvitationInvalid or RoomFull.
        """
        ticket = self.tickets.get(ticket_id)
        taken = ticket.taken(user_id, now) if ticket else None
        if taken is None and ticket_id:
            raise InvitationInvalid
        if self.visibility == "private":
            if taken is None:
                raise InvitationRequired
            if self.joined_count >= free_places:
                raise RoomFull
            self.revision += 1
        if taken and taken is not ticket:
            self._put_ticket(taken)
        self._accept_invitation(user_id)

    def _accept_invitation(self, user_id: str) -> None:
        """Note that a user who is in the live needs the invitation no more that names them."""
        for ticket in self.tickets.values():
            if ticket.user_id == user_id and not ticket.accepted:
                self._put_ticket(replace(ticket, takers=(user_id,), accepted=True))
                self._tell(user_id, invitation_end(ticket.id, "accepted"))

    def _expire_tickets(self, now: int) -> None:
        for ticket in self.tickets.values():
            if ticket.expires_at <= now:
                self._end_ticket(ticket, "expired")

    def _put_ticket(self, ticket: Ticket) -> None:
        self.tickets = {**self.tickets, ticket.id: ticket}
        self.revision += 1

    def _end_ticket(self, ticket: Ticket, reason: InvitationEndReason) -> None:
        """Drop a ticket; tell the user whom it names, unless they have taken it."""
        self.tickets = without(self.tickets, ticket.id)
        self.revision += 1
        if ticket.user_id and not ticket.accepted:
            self._tell(ticket.user_id, invitation_end(ticket.id, reason))

    def _check_host(self, user_id: str) -> None:
        if user_id != self.host_id:
            raise NotHost

    def _check_may_moderate(self, user_id: str, target_id: str = "") -> None:
        """Check for the host or a deputy. Raises NotHost.

        A deputy has no power over the host and the deputies, and none at all in a private live
        while outside of it: the membership has to be loaded.
        """
        if user_id == self.host_id:
            return
        if user_id not in self.deputies or target_id in (self.host_id, *self.deputies):
            raise NotHost
        if self.visibility == "private" and self._member(user_id) is None:
            raise NotHost
