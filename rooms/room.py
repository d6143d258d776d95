"""Rules of a live room: membership, seats, applications, visibility, bans and mutes.

Every rule is one method. It checks everything before it changes the room, so an error leaves the
room unchanged; state, events and effects are saved in one write. Times are in ms.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from core.errors import InvalidParameter, TryAgain
from rooms.errors import (
    AlreadyOnMic,
    BannedByOperator,
    HostMustEnd,
    NoGender,
    NotAdmitted,
    NotHost,
    NotInRoom,
    NotLive,
    QueueFull,
    RemovedFromRoom,
    SeatTaken,
    StreamForbidden,
)
from rooms.events import (
    DEPARTURE_REASONS,
    GIVEN_UP_REASONS,
    LAST_EVENT_TYPE,
    Actor,
    ChatMuteAll,
    EndReason,
    GiftEvent,
    GroupChange,
    LeaveReason,
    LiveEndEvent,
    LivePause,
    MicPresence,
    MicroAccept,
    MicroApply,
    MicroInvite,
    ProfileChange,
    RoomInfo,
    SeatUrls,
    Visibility,
    VisibilityChange,
)
from rooms.inviting_room import InvitingRoom
from rooms.members import ON_MIC, SEAT_OF_GENDER, GracePolicy, Member, Person, SeatName
from rooms.state import PlayUrl, Seat, first_to_end, with_end, without, without_ended

Admission = Literal["applied", "invited", "open"]

APPLICATION_SECONDS = 600
"""An application expires after so long: the host sees only users who still wait."""
INVITATION_SECONDS = 60
"""An invitation expires after so long, also one by a message over IM. The host waits for it."""
QUEUE_SIZE = 200
"""Maximum number of applications per gender, and of invitations. Every change of a room reads both
queues: 200 entries are hours of waiting and at most 300 KB."""
MAX_BANS = 2_000
"""Bans that a room holds, about 40 KB of its document. With more, the one that ends first is
dropped: a ban lasts a day at most, and the host must always be able to remove a user."""
MAX_MARKS = 100
"""Guests that a room remembers as taken off the mic, members as invited by a message, and muted
users. With more, the one that ends first is dropped; only a host who plays with many accounts has
more."""


@dataclass(slots=True)
class Room(InvitingRoom):
    """A room and the rules by which it changes."""

    # ---- opening and ending

    def open(
        self,
        host: Person,
        epoch: str,
        stream: str,
        now: int,
        visibility: Visibility = "public",
        group_id: str = "",
    ) -> bool:
        """Start a live; return False without a change if the room is already live.

        There is no event, because no user is in the room yet. Raises TryAgain if `needs_new_group`
        is true and there is no `group_id`: the room has changed since the caller looked.
        """
        if self.live:
            return False
        if self.needs_new_group(visibility) and not group_id:
            raise TryAgain
        self.visibility, self.public_since = visibility, 0
        self._use_group(group_id or self.group_id)
        self.owner = Seat(host, stream)
        self.epoch, self.version, self.status, self.started_at = epoch, 0, "live", now
        self.male = self.female = None
        self.applications, self.needs_invitation_until, self.invited_by_message_until = {}, {}, {}
        self.application_count = self.date_count = self.income = 0
        self.bans = without_ended(self.bans, now)
        self.operator_bans = without_ended(self.operator_bans, now)
        self._add_member(Member(host.user_id, self.live_id, epoch, host.gender, "host", now))
        return True

    def end(self, user_id: str) -> None:
        """End the live at the host's request."""
        self._check_host(user_id)
        self.close("host")

    def close(self, reason: EndReason) -> None:
        """End the live, if it has not ended, without a permission check."""
        if not self.live:
            return
        seats = (self.owner, self.male, self.female)
        self.streams_to_drop |= {seat.stream: "" for seat in seats if seat}
        self._change_date(on=False)
        self.male = self.female = None
        for application in self.applications.values():
            self._end_seat_invitation(application, "live_end")
        self.applications = {}
        self.end_tickets("live_end")
        self.status = "ended"
        self.muted, self.mute_all = {}, False  # without events: `live_end` tells clients
        face = self.owner.person.public_profile()
        self._add_event(LAST_EVENT_TYPE, LiveEndEvent(**face, reason=reason))

    def set_visibility(
        self,
        user_id: str,
        visibility: Visibility,
        group_id: str,
        new_stream: Callable[[str], str],
        play_url: PlayUrl,
        *,
        renews: bool = False,
    ) -> None:
        """Change who may enter the live, as the host.

        A private live gets another chat group and new streams: those who have left can neither
        read, hear nor see it. When it is made accessible again, it gets another group, because
        newcomers must not read the private messages. The present visibility changes nothing, unless
        `renews` gives a private live another group and streams; other lives stay as they are.
        Raises TryAgain as `open`.
        """
        self._check_host(user_id)
        if not self.live:
            raise NotLive
        if (visibility == self.visibility) != renews:
            return
        needs_group = self.needs_new_group(visibility)
        if needs_group and not group_id:
            raise TryAgain
        self.visibility = visibility
        if needs_group:
            self._use_group(group_id)
            self._add_event("group", GroupChange(group_id=group_id))
        change = VisibilityChange(visibility=visibility)
        if not renews:
            change["by"] = Actor(user_id=user_id, nickname=self.owner.person.nickname)
        if visibility == "private":
            change["play_urls"] = self._renew_streams(new_stream, play_url)
        self._add_event("visibility", change)
        if needs_group and visibility != "private":
            self.public_since = self.version + len(self.events)

    # ---- entering, leaving, bans

    def enter(
        self,
        person: Person,
        now: int,
        ticket_id: str = "",
        free_places: int = 0,
        *,
        follows: bool = False,
    ) -> None:
        """Join as a viewer, with a ticket if there is one; a member keeps the current role.

        A private live requires a ticket and a place, a followers' live a ticket or that the user
        `follows` the host. `free_places`: the number of places when the room was loaded.
        """
        if not self.live:
            raise NotLive
        if self.is_banned(person.user_id, now):
            raise RemovedFromRoom
        if self._member(person.user_id):
            self._accept_invitation(person.user_id)
            return
        self._admit(person.user_id, now, ticket_id, free_places, follows=follows)
        self._add_member(
            Member(person.user_id, self.live_id, self.epoch, person.gender, "viewer", now)
        )

    def leave(self, user_id: str) -> None:
        """Leave the room, seat and application; a user who is no member may leave, too."""
        if self.role_of(user_id) == "host":
            raise HostMustEnd
        self.remove(user_id, "left")

    def remove(self, user_id: str, reason: str, *, may_reconnect: bool = True) -> None:
        """Remove a user in any role; the host's departure ends the live.

        `reason` is a key of DEPARTURE_REASONS. Without `may_reconnect` all sockets of the user are
        closed with a code that forbids reconnecting.
        """
        as_guest, as_host = DEPARTURE_REASONS[reason]
        is_put_out = as_guest not in GIVEN_UP_REASONS and self._member(user_id) is not None
        self.must_renew = self.must_renew or (is_put_out and self.visibility == "private")
        if self.role_of(user_id) == "host":
            self.close(as_host)
            return
        if self.live:
            self._vacate(user_id, as_guest)
            self._end_application(user_id, as_guest)
        member = self.members.get(user_id)
        if member and member.live_id == self.live_id:
            self.members = without(self.members, user_id)
        closing = self.sockets_to_close
        closing[user_id] = closing.get(user_id, False) or not may_reconnect

    def ban(self, person: Person, until: int, actor: Person | None = None) -> bool:
        """Remove a user and ban them until `until` (ms).

        `actor` is the host, a deputy, who may not remove a guest, or None for an operator. The
        host's ban does not shorten an operator's, and a deputy's ban shortens none. It ends the
        user's service as deputy. Return whether the user was on mic, in which case there is a
        `micro_leave` event.
        """
        user_id, seat = person.user_id, self.seat_of(person.user_id)
        deputy = self._as_deputy(actor)
        if actor:
            self._check_may_moderate(actor.user_id, user_id)
        if deputy and seat:
            raise NotHost
        if user_id == self.host_id:
            raise InvalidParameter({"user_id": "the host cannot be removed"})
        if not self.live:
            raise NotLive
        if actor is None:
            self.operator_bans = {**self.operator_bans, user_id: until}
        if user_id not in self.bans and len(self.bans) >= MAX_BANS:
            self._drop_ban(first_to_end(self.bans))
        others = self.bans if deputy else self.operator_bans
        self.bans = {**self.bans, user_id: max(until, others.get(user_id, 0))}
        self.end_tickets("blocked", user_id=user_id)
        self._forget_marks(user_id)  # the ban replaces the marks; lifting the ban lifts all
        self.end_deputy(person)
        if deputy:
            self._end_application(user_id, "host", deputy)
        self.remove(user_id, "host" if actor else "banned", may_reconnect=False)
        return seat is not None

    def lift_ban(self, user_id: str, now: int, host_id: str | None = None) -> None:
        """Lift a ban, as the host, or as an operator if None; no error without a ban."""
        if host_id is not None:
            self._check_host(host_id)
            if self.operator_bans.get(user_id, 0) > now:
                raise BannedByOperator
        self._drop_ban(user_id)

    def stop_stream(self, user_id: str, until: int) -> None:
        """Stop a user's stream for what it has shown; no seat until `until` (ms).

        Take the user off the mic or out of the queue, or end the live of its host.
        """
        if user_id == self.host_id:
            self.close("moderation")
        elif self.live:
            self._vacate(user_id, "moderation")
            self._end_application(user_id, "moderation")
            if self.role_of(user_id):
                self.stream_bans = with_end(self.stream_bans, user_id, until, MAX_MARKS)

    def allow_stream(self, user_id: str) -> None:
        """Let a user whose stream was stopped take a seat again."""
        self.stream_bans = without(self.stream_bans, user_id)

    # ---- mutes in the chat

    def mute(self, actor: Person, user_id: str, until: int) -> None:
        """Mute a user in the chat until `until` (ms), as the host or a deputy; 0 lifts the mute.

        It holds also while the user is away. The end of the live ends all mutes.
        """
        self._check_may_moderate(actor.user_id, user_id)
        if user_id == self.host_id:
            raise InvalidParameter({"user_id": "the host cannot be muted"})
        if not self.live:
            raise NotLive
        deputy = self._as_deputy(actor)
        if until and user_id not in self.muted and len(self.muted) >= MAX_MARKS:
            self._set_mute(first_to_end(self.muted), 0, deputy)
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

    # ---- lost and restored connections

    def mark_connected(self, user_id: str) -> None:
        """Show a user on mic as reconnected; if it is the host, the live resumes."""
        self._set_away(user_id, away=False)

    def apply_absence(
        self, user_id: str, now: int, grace: GracePolicy, *, since: int, streams: bool
    ) -> int | None:
        """Apply the grace periods to a member whose connection is lost.

        A user on mic is shown as away after `grace.shown`; the live ends after `grace.host`, a
        viewer leaves after `grace.viewer`. A guest loses the seat after `grace.guest`, twice that
        while their video stream still arrives (`streams`), and leaves the room after
        `grace.viewer`, but not before losing the seat.

        Except for `grace.shown`, a connection lost before `since` (ms) counts as lost at `since`.
        The caller passes now minus the time for which its process has held its lease without a gap:
        before that, MongoDB may have been down, and no client could have reconnected. Return the
        time (ms) of the next check, or None if no check is needed.
        """
        member = self._member(user_id)
        if member is None:
            return None
        if member.away_at is None:
            self.mark_connected(user_id)  # the room may still show the user as away
            return None
        began = max(member.away_at, since)
        until = began + grace.of(member.role, streams=streams)
        if member.role in ON_MIC:
            shown_at = member.away_at + grace.shown
            if now < shown_at:
                return shown_at
            self._set_away(user_id, away=True)
        if now < until:
            return until
        leaves_at = began + grace.viewer
        if self.seat_of(user_id) and now < leaves_at:
            self._vacate(user_id, "offline")
            return leaves_at
        self.remove(user_id, "offline")
        return None

    # ---- seats, applications, invitations

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

    # ---- profiles, chat group and gifts

    def update_profile(self, person: Person) -> None:
        """Show a changed nickname or face of a visible user."""
        place = self.places.get(person.user_id) if self.live else None
        if place is None:
            return
        old = place.person
        new = replace(old, nickname=person.nickname, face_url=person.face_url)
        if new == old:
            return
        if person.user_id == self.host_id:
            self.owner = replace(self.owner, person=new)
        elif seat := self.seat_of(person.user_id):
            setattr(self, SEAT_OF_GENDER[new.gender], replace(seat, person=new))
        else:
            application = replace(self.applications[new.user_id], person=new)
            self.applications = {**self.applications, new.user_id: application}
        self._add_event("profile", ProfileChange(**new.public_profile()))
        if person.user_id == self.host_id and (self.title or self.cover == old.face_url != ""):
            self._announce_info()  # clients show a host's new name and face as the room's

    def update_info(self, user_id: str, title: str | None = None, cover: str | None = None) -> None:
        """Change the name or the picture of the room, or both, as the host.

        None keeps one as it is; with "" the room shows its host's.
        """
        self._check_host(user_id)
        shown = (self.name, self.image)
        if title is not None and title != self.title:
            self.title = title
        if cover is not None and cover != self.cover:
            self.cover = cover
        if self.live and (self.name, self.image) != shown:
            self._announce_info()

    def change_group(self, old: str, new: str) -> bool:
        """Replace the chat group `old`; return False if the room now has another group."""
        if self.group_id != old:
            return False
        self.group_id = new
        if self.live:
            self._add_event("group", GroupChange(group_id=new))
        return True

    def add_gift(self, gift: GiftEvent, income: int) -> None:
        """Add the event of a gift between two users for whom `has` is true.

        `income`: what the receiver earns.
        """
        if gift["to"]["user_id"] == self.host_id:
            self.income += income
        self._add_event("gift", gift)

    # ---- steps of the rules

    def _set_away(self, user_id: str, *, away: bool) -> None:
        role = self.role_of(user_id)
        seat = self.owner if role == "host" else self.seat_of(user_id)
        if role is None or seat is None or seat.away == away:
            return
        shown, face = replace(seat, away=away), seat.person.public_profile()
        name: SeatName | None = None if role == "host" else SEAT_OF_GENDER[seat.person.gender]
        if name:
            setattr(self, name, shown)
        else:
            self.owner, self.status = shown, "paused" if away else "live"
        presence = MicPresence(**face, role=name or "host")
        self._add_event("member_away" if away else "member_back", presence)
        if name is None:
            self._add_event("live_pause" if away else "live_resume", LivePause(**face))

    def _renew_streams(self, new_stream: Callable[[str], str], play_url: PlayUrl) -> SeatUrls:
        urls = SeatUrls(owner="", male=None, female=None)
        for name in ("owner", *SEAT_OF_GENDER.values()):
            if seat := getattr(self, name):
                self.streams_to_drop[seat.stream] = ""
                seat = replace(seat, stream=new_stream(seat.person.user_id))
                setattr(self, name, seat)
                urls[name] = play_url(seat.stream)  # type: ignore[literal-required]
        return urls

    def _use_group(self, group_id: str) -> None:
        if group_id != self.group_id:
            self.groups_to_destroy.append(self.group_id)
            self.group_id = group_id

    def _announce_info(self) -> None:
        self._add_event("room_info", RoomInfo(room_name=self.name, room_image=self.image))

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
