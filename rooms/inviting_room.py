"""Rules of the tickets that invite users into a live, of deputies and mutes. Times are in ms."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from core.errors import InvalidParameter
from people.user_events import InvitationEndReason
from rooms.changing_room import ChangingRoom, first_to_end, without
from rooms.errors import (
    FollowersOnly,
    InvitationInvalid,
    InvitationRequired,
    NotHost,
    NotInRoom,
    NotLive,
    RoomFull,
    TooManyDeputies,
    TooManyInvitations,
    TooManyMutes,
)
from rooms.events import ChatMuteAll, DeputyChange
from rooms.members import Person
from rooms.tickets import Ticket


class TicketLimits(NamedTuple):
    """Bounds of the open tickets of one inviter in a live, and of the sum of their uses."""

    tickets: int
    uses: int


HOST_TICKETS, DEPUTY_TICKETS = TicketLimits(100, 500), TicketLimits(20, 100)
"""A deputy cannot use up the host's. Every change of the room reads all tickets, which are 64 KB at
most with their takers."""
MAX_MUTES = 100
"""Users muted in a live: every change reads them, and a host who mutes more closes the chat."""

MAX_DEPUTIES = 3
"""Deputies of a room: so many that one is there, and so few that the host knows them."""


@dataclass(slots=True)
class InvitingRoom(ChangingRoom):
    """A room that users enter by tickets, and where deputies help to keep order in the chat."""

    # ---- tickets

    def issue_ticket(self, ticket: Ticket) -> Ticket:
        """Invite by a ticket, as the host or a deputy.

        Return the ticket, or the one that its inviter was given for the same request_id. Raises
        TooManyInvitations beyond the inviter's number of tickets or uses.
        """
        self._check_may_moderate(ticket.inviter)
        if not self.live:
            raise NotLive
        if ticket.user_id in (self.host_id, ticket.inviter):
            raise InvalidParameter({"user_id": "this user needs no invitation"})
        own = [other for other in self.tickets.values() if other.inviter == ticket.inviter]
        for other in own:
            if other.request_id == ticket.request_id != "":
                return other
        limits = HOST_TICKETS if ticket.inviter == self.host_id else DEPUTY_TICKETS
        uses = ticket.uses + sum(other.uses for other in own)
        if len(own) >= limits.tickets or uses > limits.uses:
            raise TooManyInvitations
        if ticket.user_id:
            self.end_tickets("withdrawn", user_id=ticket.user_id)  # one for a user at a time
        self._put_ticket(ticket)
        if ticket.user_id:
            self._tell_invitation(ticket.user_id, ticket.id, "room", ticket.expires_at)
        return ticket

    def withdraw_ticket(self, user_id: str, ticket_id: str) -> None:
        """End a ticket, if it has not ended, as the host, its inviter or the invited user."""
        ticket = self.tickets.get(ticket_id)
        if ticket is None:
            return
        is_refused = user_id == ticket.user_id
        if not is_refused and ticket not in self.tickets_of(user_id):
            raise NotHost
        self._end_ticket(ticket, "refused" if is_refused else "withdrawn")

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

    # ---- deputies

    def name_deputy(self, host_id: str, person: Person, *, follows: bool = False) -> None:
        """Make a member, or a user who `follows` the host, a deputy for all lives, as the host.

        Naming a deputy again changes nothing. Raises TooManyDeputies beyond MAX_DEPUTIES.
        """
        self._check_host(host_id)
        if person.user_id == host_id:
            raise InvalidParameter({"user_id": "the host cannot be a deputy"})
        if person.user_id in self.deputies:
            return
        if not follows and self._member(person.user_id) is None:
            raise NotInRoom
        if len(self.deputies) >= MAX_DEPUTIES:
            raise TooManyDeputies
        self._set_deputy(person, on=True)

    def end_deputy(self, person: Person, actor_id: str | None = None) -> None:
        """End a deputyship, if there is one, as the host or that user; None is the server."""
        if actor_id not in (None, self.host_id, person.user_id):
            raise NotHost
        if person.user_id in self.deputies:
            self._set_deputy(person, on=False)

    def separate(self, person: Person, other: Person) -> None:
        """End deputyships and invitations between two users, one of whom has blocked the other."""
        for invited, inviter in ((person, other), (other, person)):
            self.end_tickets("blocked", inviter=inviter.user_id, user_id=invited.user_id)
            if inviter.user_id == self.host_id:
                self.end_deputy(invited)
                self.end_tickets("blocked", user_id=invited.user_id)

    # ---- mutes in the chat

    def mute(self, actor: Person, user_id: str, until: int, visited: str = "") -> None:
        """Mute a user in the chat until `until` (ms), as the host or a deputy; 0 lifts the mute.

        `visited` is the epoch of a live in which the user has been; a member needs none. It holds
        also while the user is away. The end of the live ends all mutes. Raises NotInRoom, or
        TooManyMutes beyond MAX_MUTES; the host's mute then replaces that of a deputy which ends
        first.
        """
        self._check_may_moderate(actor.user_id, user_id)
        if user_id == self.host_id:
            raise InvalidParameter({"user_id": "the host cannot be muted"})
        if not self.live:
            raise NotLive
        deputy, is_new = self._as_deputy(actor), until > 0 and user_id not in self.muted
        if is_new and visited != self.epoch and self._member(user_id) is None:
            raise NotInRoom("This user has not been in the live.")
        if is_new and len(self.muted) >= MAX_MUTES:
            if deputy or not self.deputy_mutes:
                raise TooManyMutes
            self._set_mute(first_to_end(self.deputy_mutes), 0)
        self._set_mute(user_id, until, deputy)

    def set_mute_all(self, host_id: str, *, on: bool) -> None:
        """Close the chat for everyone but the host, or open it, as the host."""
        self._check_host(host_id)
        if not self.live:
            raise NotLive
        if on == self.mute_all:
            return
        self.mute_all = on
        self._add_event("mute_all", ChatMuteAll(mute_all=on))

    # ---- steps of the rules

    def _admit(
        self, user_id: str, now: int, ticket_id: str, free_places: int, *, follows: bool
    ) -> None:
        """Check that a user who is no member may enter; bind them to the ticket, if there is one.

        `free_places`: the number of members that could join a private live when it was loaded.
        Raises InvitationRequired, InvitationInvalid, FollowersOnly or RoomFull.
        """
        ticket = self.tickets.get(ticket_id)
        if ticket_id and not (ticket and ticket.opens_for(user_id, now)):
            raise InvitationInvalid
        if self.visibility == "followers" and not (ticket or follows):
            raise FollowersOnly
        if self.visibility == "private":
            if ticket is None:
                raise InvitationRequired
            joined = [user for user in self.members if self.has(user) and not self.loaded.has(user)]
            if len(joined) >= free_places:
                raise RoomFull
            self.revision += 1
        if ticket and not ticket.user_id and user_id not in ticket.takers:
            self._put_ticket(replace(ticket, takers=(*ticket.takers, user_id)))
        self._accept_invitation(user_id)

    def _accept_invitation(self, user_id: str) -> None:
        """Accept the invitation of a user who has entered, with it or another way."""
        for ticket in self.tickets.values():
            if ticket.user_id == user_id and not ticket.takers:
                self._put_ticket(replace(ticket, takers=(user_id,)))
                self._tell_ended(user_id, ticket.id, "accepted")

    def _put_ticket(self, ticket: Ticket) -> None:
        self.tickets = {**self.tickets, ticket.id: ticket}
        self.revision += 1

    def _end_ticket(self, ticket: Ticket, reason: InvitationEndReason) -> None:
        """Drop a ticket; tell the invited user, unless they have accepted it."""
        self.tickets = without(self.tickets, ticket.id)
        self.revision += 1
        if ticket.user_id and not ticket.takers:
            self._tell_ended(ticket.user_id, ticket.id, reason)

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

    def _as_deputy(self, actor: Person | None) -> Person | None:
        """Return the deputy who acts; None for the host and for an operator (None)."""
        return actor if actor and actor.user_id != self.host_id else None

    def _set_deputy(self, person: Person, *, on: bool) -> None:
        others = tuple(user_id for user_id in self.deputies if user_id != person.user_id)
        self.deputies = (*others, person.user_id) if on else others
        self.revision += 1
        if self.live:
            self._add_event("deputy", DeputyChange(**person.public_profile(), on=on))
        if not on:
            self.end_tickets("withdrawn", inviter=person.user_id)
