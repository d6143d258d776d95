"""Rules of the seats on mic, and of applications and invitations to them. Times are in ms."""

from dataclasses import dataclass, replace
from typing import Literal

from core.errors import InvalidParameter
from rooms.changing_room import MAX_MARKS, with_end, without, without_ended
from rooms.errors import (
    AlreadyOnMic,
    NoGender,
    NotAdmitted,
    NotHost,
    NotInRoom,
    NotLive,
    QueueFull,
    SeatTaken,
    StreamForbidden,
)
from rooms.events import (
    LeaveReason,
    MicroAccept,
    MicroApply,
    MicroInvite,
)
from rooms.inviting_room import InvitingRoom
from rooms.members import ON_MIC, SEAT_OF_GENDER, Person
from rooms.state import Seat

Admission = Literal["applied", "invited", "open"]

APPLICATION_SECONDS = 600
"""An application expires after so long: the host sees only users who still wait."""
INVITATION_SECONDS = 60
"""An invitation expires after so long, also one by a message over IM. The host waits for it."""
QUEUE_SIZE = 200
"""Maximum number of applications per gender, and of invitations. Every change of a room reads both
queues: 200 entries are hours of waiting and at most 300 KB."""


@dataclass(slots=True)
class SeatingRoom(InvitingRoom):
    """A room whose members apply for its seats, are invited to them, and take them."""

    def apply(self, person: Person, now: int) -> None:
        """Apply for the seat of the user's gender; applying again changes nothing.

        Raises QueueFull if QUEUE_SIZE users of this gender have already applied.
        """
        person = self._candidate(person)
        application = self.applications.get(person.user_id)
        if application and application.applied_at is not None:
            return
        if len(self.applicants(person.gender)) >= QUEUE_SIZE:
            raise QueueFull
        expires_at = now + APPLICATION_SECONDS * 1000
        application = self._put_application(person, expires_at, applied_at=now)
        self.application_count += 1
        self._set_role(person.user_id, "applied")
        face, expires_at = application.person.public_profile(), application.expires_at
        data = MicroApply(**face, applied_at=now, expires_at=expires_at)
        self._add_event("micro_apply", data)

    def invite(self, host_id: str, person: Person, now: int) -> None:
        """Offer a viewer or applicant the seat of their gender, as the host.

        Invitations and applications are counted separately, so the host can invite while the queue
        is full. Raises QueueFull beyond QUEUE_SIZE invited users of this gender.
        """
        self._check_host(host_id)
        person = self._candidate(person)
        if getattr(self, SEAT_OF_GENDER[person.gender]):
            raise SeatTaken
        invited = [a.person for a in self.applications.values() if a.invited]
        user_ids = {other.user_id for other in invited if other.gender == person.gender}
        if len(user_ids - {person.user_id}) >= QUEUE_SIZE:
            raise QueueFull
        expires_at = now + INVITATION_SECONDS * 1000
        application = self._put_application(person, expires_at, invited=True, expires_at=expires_at)
        face = application.person.public_profile()
        self._add_event("micro_invite", MicroInvite(**face, expires_at=expires_at))
        invitation_id = self._seat_invitation_id(application)
        self._tell_invitation(person.user_id, invitation_id, "seat", expires_at)

    def note_invitation(self, host_id: str, user_id: str, until: int) -> None:
        """Note the host's message to a member, which may be an invitation.

        The member may take a seat until `until` (ms). There is no event, because the room cannot
        know what the message says.
        """
        self._check_host(host_id)
        if not self.live:
            raise NotLive
        if self._member(user_id) is None:
            raise NotInRoom
        invited = self.invited_by_message_until
        if until > invited.get(user_id, 0):
            self.invited_by_message_until = with_end(invited, user_id, until, MAX_MARKS)

    def accept(self, person: Person, admission: Admission, stream: str, play_url: str) -> Seat:
        """Take the seat of the user's gender; a seated guest keeps theirs.

        A guest whom the host took off the mic needs an invitation under any `admission`.
        """
        if self.live and (seat := self.seat_of(person.user_id)):
            return seat
        person = self._candidate(person)
        name = SEAT_OF_GENDER[person.gender]
        if getattr(self, name):
            raise SeatTaken
        if person.user_id in self.stream_bans:
            raise StreamForbidden
        self._check_admission(person.user_id, admission)
        self._forget_marks(person.user_id)
        seat = Seat(person, stream)
        setattr(self, name, seat)
        self._change_date(on=True)
        if application := self.applications.get(person.user_id):
            self._end_seat_invitation(application, "accepted")
        self.applications = without(self.applications, person.user_id)
        self._set_role(person.user_id, name)
        data = MicroAccept(
            **person.public_profile(), play_url=play_url, area=person.area, age=person.age
        )
        self._add_event("micro_accept", data)
        return seat

    def refuse(self, user_id: str) -> None:
        """Decline an invitation, also by a message, or withdraw an application."""
        self.invited_by_message_until = without(self.invited_by_message_until, user_id)
        application = self.applications.get(user_id)
        if application:
            self._end_application(user_id, "refused" if application.invited else "withdrawn")

    def leave_mic(
        self, actor: Person, target: str, gender: int | None = None, *, removed_until: int = 0
    ) -> None:
        """Vacate the seat of `target`, who is the actor or, for the host, any user.

        A call by the host also ends the target's application or invitation, and a guest then needs
        a new invitation to return before `removed_until` (ms; 0 requires none). A deputy may end
        applications, but no seat and no invitation of a user who has not applied. `gender`, a
        redundant parameter of the API's contract, must be the target's if given. A target without
        seat or application causes no error.
        """
        by_host, is_own = actor.user_id == self.host_id, actor.user_id == target
        if not is_own:
            self._check_may_moderate(actor.user_id)
        deputy = None if is_own else self._as_deputy(actor)
        seat, application = self.seat_of(target), self.applications.get(target)
        if deputy and (seat or (application and application.applied_at is None)):
            raise NotHost
        found = seat or (application if by_host or deputy else None)
        if found and gender is not None and found.person.gender != gender:
            raise InvalidParameter({"gender": "does not match the gender of this user"})
        reason: LeaveReason = "left" if is_own else "host"
        if seat and reason == "host" and removed_until:
            marks = self.needs_invitation_until
            self.needs_invitation_until = with_end(marks, target, removed_until, MAX_MARKS)
        self._vacate(target, reason)
        if by_host:
            self.invited_by_message_until = without(self.invited_by_message_until, target)
        if by_host or deputy:
            self._end_application(target, reason, deputy)

    def expire(self, now: int) -> None:
        """End applications, invitations, removals from the mic and mutes that have expired."""
        for ticket in self.tickets.values():
            if ticket.expires_at <= now:
                self._end_ticket(ticket, "expired")
        self.needs_invitation_until = without_ended(self.needs_invitation_until, now)
        self.invited_by_message_until = without_ended(self.invited_by_message_until, now)
        self.stream_bans = without_ended(self.stream_bans, now)
        for user_id in [user_id for user_id, until in self.muted.items() if until <= now]:
            self._set_mute(user_id, 0)
        for application in list(self.applications.values()):
            if application.expires_at <= now:
                self._end_application(application.person.user_id, "expired")

    # ---- steps of the rules

    def _candidate(self, person: Person) -> Person:
        """Check that a person may go on mic; return them with the membership's gender."""
        if not self.live:
            raise NotLive
        member = self._member(person.user_id)
        if member is None:
            raise NotInRoom
        if member.role in ON_MIC:
            raise AlreadyOnMic
        if member.gender not in SEAT_OF_GENDER:
            raise NoGender
        return replace(person, gender=member.gender)

    def _check_admission(self, user_id: str, admission: Admission) -> None:
        application = self.applications.get(user_id)
        if application and application.invited:
            return
        if admission != "invited" and user_id in self.invited_by_message_until:
            return
        if user_id in self.needs_invitation_until:
            raise NotAdmitted("The host has taken you off the mic; wait for an invitation.")
        if admission == "invited" or (admission == "applied" and not application):
            raise NotAdmitted
