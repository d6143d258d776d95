"""Rules of a live room: membership, seats, applications, visibility, bans and mutes.

Every rule is one method. It checks everything before it changes the room, so an error leaves the
room unchanged; state, events and effects are saved in one write. Times are in ms.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from core.errors import InvalidParameter, TryAgain
from rooms.changing_room import MAX_MARKS, first_to_end, with_end, without, without_ended
from rooms.errors import (
    BannedByOperator,
    HostMustEnd,
    NotHost,
    NotLive,
    RemovedFromRoom,
)
from rooms.events import (
    DEPARTURE_REASONS,
    LAST_EVENT_TYPE,
    Actor,
    EndReason,
    GiftEvent,
    GroupChange,
    LiveEndEvent,
    LivePause,
    MicPresence,
    ProfileChange,
    RoomInfo,
    SeatUrls,
    Visibility,
    VisibilityChange,
)
from rooms.members import ON_MIC, SEAT_OF_GENDER, GracePolicy, Member, Person, SeatName
from rooms.seating_room import SeatingRoom
from rooms.state import PlayUrl, Seat

MAX_BANS = 2_000
"""Bans that a room holds, about 40 KB of its document. With more, the one that ends first is
dropped: a ban lasts a day at most, and the host must always be able to remove a user."""


@dataclass(slots=True)
class Room(SeatingRoom):
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
        # Without events: `live_end` tells clients.
        self.muted, self.deputy_mutes, self.mute_all = {}, {}, False
        face = self.owner.person.public_profile()
        self._add_event(LAST_EVENT_TYPE, LiveEndEvent(**face, reason=reason))

    def set_visibility(
        self,
        user_id: str,
        visibility: Visibility,
        group_id: str,
        new_stream: Callable[[str], str],
        play_url: PlayUrl,
    ) -> None:
        """Change who may enter the live, as the host; the present visibility changes nothing.

        A private live gets another chat group and new streams: those who have left can neither
        read, hear nor see it. When it is made accessible again, it gets another group, because
        newcomers must not read the private messages. All tickets end when it becomes public. Raises
        TryAgain as `open`.
        """
        self._check_host(user_id)
        if not self.live:
            raise NotLive
        if visibility == self.visibility:
            return
        needs_group = self.needs_new_group(visibility)
        if needs_group and not group_id:
            raise TryAgain
        self.visibility = visibility
        if needs_group:
            self._use_group(group_id)
            self._add_event("group", GroupChange(group_id=group_id))
        by = Actor(user_id=user_id, nickname=self.owner.person.nickname)
        change = VisibilityChange(visibility=visibility, by=by)
        if visibility == "private":
            change["play_urls"] = self._renew_streams(new_stream, play_url)
        if visibility == "public":
            self.end_tickets("withdrawn")
        self._add_event("visibility", change)
        if needs_group and visibility != "private":
            self.public_since = self.version + len(self.events)

    def renew_streams(
        self, known: Collection[str], new_stream: Callable[[str], str], play_url: PlayUrl
    ) -> None:
        """Give a private live new streams, if its host still has one of the streams `known`."""
        if self.live and self.visibility == "private" and self.owner.stream in known:
            urls = self._renew_streams(new_stream, play_url)
            self._add_event("visibility", VisibilityChange(visibility="private", play_urls=urls))

    def renew_group(self, known: Collection[str], group_id: str) -> None:
        """Give a private live another chat group, if it still has one of the groups `known`."""
        if self.live and self.visibility == "private" and self.group_id in known:
            self._use_group(group_id)
            self._add_event("group", GroupChange(group_id=group_id))

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
        if self._member(user_id):
            self._note_departure()
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

    def _note_departure(self) -> None:
        self.has_departures = True
        if self.visibility == "private":
            self.revision += 1  # what the leaver knew must be what the room has at the write

    def _renew_streams(self, new_stream: Callable[[str], str], play_url: PlayUrl) -> SeatUrls:
        for name in ("owner", *SEAT_OF_GENDER.values()):
            if seat := getattr(self, name):
                self.streams_to_drop[seat.stream] = ""
                setattr(self, name, replace(seat, stream=new_stream(seat.person.user_id)))
        return self.play_urls(play_url)

    def _use_group(self, group_id: str) -> None:
        if group_id != self.group_id:
            self.groups_to_destroy.append(self.group_id)
            self.group_id = group_id

    def _announce_info(self) -> None:
        self._add_event("room_info", RoomInfo(room_name=self.name, room_image=self.image))
