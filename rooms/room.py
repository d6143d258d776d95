"""The rules of a live room: who may sit, apply, invite, leave and end.

Every rule is one method. It checks everything first and changes afterwards, so a refusal
leaves the room as it was; what it changes and says is saved as one write by the keeper.
"""

from dataclasses import dataclass, replace
from typing import Literal

from rooms.events import (
    DEPARTING,
    LAST,
    Ending,
    Gift,
    Leaving,
    LiveEnd,
    LivePause,
    MicroAccept,
    MicroApply,
    MicroInvite,
    Moment,
    Profile,
)
from rooms.people import ON_MIC, SEAT_OF_GENDER, Member, Person, Role
from rooms.presence import Patience
from rooms.refusals import (
    BadParameter,
    HostMustEnd,
    NoGender,
    NotAdmitted,
    NotHost,
    NotInRoom,
    NotLive,
    OnMic,
    PutOut,
    SeatTaken,
)
from rooms.state import Application, Seat, State, Status

__all__ = ["Admission", "Application", "Room", "Seat", "Status"]

Admission = Literal["applied", "invited", "open"]


@dataclass(slots=True)
class Room(State):
    """One room and what may happen in it."""

    # ---- the host opens and ends

    def open(self, host: Person, epoch: str, stream: str, now: int) -> bool:
        """Start a live, or resume the one that is on (False): nobody is told, nobody is there."""
        if self.live:
            return False
        self.owner = Seat(host, stream)
        self.epoch, self.version, self.status, self.started_at = epoch, 0, "live", now
        self.male = self.female = None
        self.applications = {}
        self.blocked = self.kept_out(now)
        self.touched |= {"owner", "male", "female", "status", "started_at", "epoch"}
        self.touched |= {"applications", "blocked"}
        self._join(Member(host.user_id, self.live_id, epoch, host.gender, "host", now))
        return True

    def end(self, user_id: str) -> bool:
        """The host's word; False when it has ended already."""
        if user_id != self.host_id:
            raise NotHost
        return self.close("host")

    def close(self, reason: Ending) -> bool:
        """End the live whoever wants it."""
        if not self.live:
            return False
        seats = (self.owner, self.male, self.female)
        self.dropped |= {seat.stream for seat in seats if seat}
        self.male = self.female = None
        self.applications = {}
        self.status = "ended"
        self.touched |= {"male", "female", "status", "applications"}
        said: LiveEnd = {**self.owner.person.face(), "reason": reason}
        self._say(LAST, said)
        return True

    # ---- in and out

    def enter(self, person: Person, now: int) -> Role:
        """Become a viewer, or keep the role one has here."""
        if not self.live:
            raise NotLive
        if self.keeps_out(person.user_id, now):
            raise PutOut
        member = self._member(person.user_id)
        if member is None:
            member = Member(person.user_id, self.live_id, self.epoch, person.gender, "viewer", now)
            self._join(member)
        return member.role

    def leave(self, user_id: str, reason: str = "left") -> None:
        """Give up room, seat and application; not being here is no mistake."""
        if self.role_of(user_id) == "host":
            raise HostMustEnd
        self.depart(user_id, reason)

    def depart(self, user_id: str, reason: str) -> None:
        """Leave whatever one is, for one of the reasons DEPARTING: a host's departure ends the
        live."""
        as_guest, as_host = DEPARTING[reason]
        role = self.role_of(user_id)
        if role == "host":
            self.close(as_host)
            return
        if self.live:
            self._vacate(user_id, as_guest)
            self._withdraw(user_id, as_guest)
        member = self.members.get(user_id)
        if member and member.live_id == self.live_id:
            self.gone.add(user_id)
            self.roles.pop(user_id, None)
        else:
            self.absent.add(user_id)

    def put_out(self, host_id: str, user_id: str, until: int) -> bool:
        """The host puts somebody out, who may not come back before `until` (ms). Whether they
        were on mic, which the room is told."""
        if host_id != self.host_id:
            raise NotHost
        return self.shut_out(user_id, until, "host")

    def shut_out(self, user_id: str, until: int, reason: str) -> bool:
        """As `put_out`, whoever wants it: host, or (for the operators) banned."""
        if user_id == self.host_id:
            raise BadParameter({"user_id": "the host cannot be put out"})
        if not self.live:
            raise NotLive
        self.blocked[user_id] = until
        self.touched.add(f"blocked.{user_id}")
        on_mic = self.seat_of(user_id) is not None
        self.bar(user_id, reason)
        return on_mic

    def bar(self, user_id: str, reason: str = "host") -> None:
        """Out goes somebody who has been put out."""
        self.depart(user_id, reason)
        self.barred.add(user_id)

    def let_in(self, user_id: str) -> None:
        """Whoever was put out may come back; not having been is no mistake."""
        if self.blocked.pop(user_id, None) is not None:
            self.touched.add(f"blocked.{user_id}")

    # ---- away and back

    def come_back(self, user_id: str) -> None:
        """Somebody on mic is connected again; with the host the show goes on."""
        self._show_away(user_id, away=False)

    def miss(
        self, user_id: str, now: int, patience: Patience, *, since: int, streams: bool
    ) -> int | None:
        """What comes by now of a connection that is gone: it is shown, costs the seat, then the
        place; a host's absence ends the live.

        No patience ends within its time after `since`, before which nobody could have come back.
        A guest whose picture still arrives (`streams`) has twice the time. The answer is when (ms)
        to ask again, None when there is nothing to wait for.
        """
        member = self._member(user_id)
        if member is None:
            return None
        if member.away_at is None:
            self.come_back(user_id)  # nobody has said so yet
            return None
        began = max(member.away_at, since)
        until = began + patience.of(member.role, streams=streams)
        if member.role in ON_MIC:
            shown_at = min(member.away_at + patience.shown, until)
            if now < shown_at:
                return shown_at
            self._show_away(user_id, away=True)
            self.held.add(user_id)  # whoever comes back in this instant is not shown away
        if now < until:
            return until
        return self._run_out(member, now, began + patience.viewer)

    # ---- the way to the mic

    def apply(self, person: Person, now: int, seconds: float) -> None:
        """Ask for the seat of one's gender; asking again changes nothing."""
        person = self._candidate(person)
        asked = self.applications.get(person.user_id)
        if asked and asked.applied_at is not None:
            return
        if asked:
            asked = replace(asked, applied_at=now)
        else:
            asked = Application(
                person, self._next, now, invited=False, expires_at=now + int(seconds * 1000)
            )
        self._queue(asked)
        self._become(person.user_id, "applied")
        said: MicroApply = {
            **asked.person.face(),
            "applied_at": now,
            "expires_at": asked.expires_at,
        }
        self._say("micro_apply", said)

    def invite(self, host_id: str, person: Person, now: int, seconds: float) -> None:
        """The host offers a viewer or applicant the seat of their gender for `seconds`."""
        if host_id != self.host_id:
            raise NotHost
        person = self._candidate(person)
        if getattr(self, SEAT_OF_GENDER[person.gender]):
            raise SeatTaken
        expires = now + int(seconds * 1000)
        asked = self.applications.get(person.user_id)
        if asked:
            asked = replace(asked, invited=True, expires_at=expires)
        else:
            asked = Application(person, self._next, None, invited=True, expires_at=expires)
        self._queue(asked)
        self.held.add(person.user_id)
        said: MicroInvite = {**asked.person.face(), "expires_at": expires}
        self._say("micro_invite", said)

    def accept(self, person: Person, admission: Admission, stream: str, play_url: str) -> Seat:
        """Take the seat of one's gender; whoever sits there already gets the same seat again."""
        if self.live and (seat := self.seat_of(person.user_id)):
            return seat
        person = self._candidate(person)
        name = SEAT_OF_GENDER[person.gender]
        if getattr(self, name):
            raise SeatTaken
        if not self._admits(person.user_id, admission):
            raise NotAdmitted
        seat = Seat(person, stream)
        self._sit(name, seat)
        if self.applications.pop(person.user_id, None):
            self.touched.add(f"applications.{person.user_id}")
        self._become(person.user_id, name)
        said: MicroAccept = {
            **person.face(),
            "play_url": play_url,
            "area": person.area,
            "age": person.age,
        }
        self._say("micro_accept", said)
        return seat

    def refuse(self, user_id: str) -> None:
        """End one's own application or invitation; having none is no mistake."""
        asked = self.applications.get(user_id)
        if asked:
            self._withdraw(user_id, "refused" if asked.invited else "withdrawn")

    def leave_micro(self, user_id: str, target: str, gender: int | None = None) -> None:
        """Leave one's seat; the host may take anybody off the mic or out of the queue."""
        by_host = user_id == self.host_id
        if user_id != target and not by_host:
            raise NotHost
        seat, asked = self.seat_of(target), self.applications.get(target)
        found = seat or (asked if by_host else None)
        if found and gender is not None and found.person.gender != gender:
            raise BadParameter({"gender": "this is not the gender of that person"})
        reason: Leaving = "left" if user_id == target else "host"
        self._vacate(target, reason)
        if by_host:
            self._withdraw(target, reason)

    def expire(self, now: int) -> None:
        """End the applications and invitations whose time is over."""
        for asked in list(self.applications.values()):
            if asked.expires_at <= now:
                self._withdraw(asked.person.user_id, "expired")

    # ---- what is heard besides

    def update_profile(self, person: Person) -> None:
        """Show a changed nickname or face of somebody visible here."""
        old = self._visible(person.user_id)
        if old is None or (old.nickname, old.face_url) == (person.nickname, person.face_url):
            return
        new = replace(old, nickname=person.nickname, face_url=person.face_url)
        if person.user_id == self.host_id:
            self.owner = replace(self.owner, person=new)
            self.touched.add("owner")
        elif seat := self.seat_of(person.user_id):
            self._sit(SEAT_OF_GENDER[new.gender], replace(seat, person=new))
        else:
            self._queue(replace(self.applications[person.user_id], person=new))
        said: Profile = {**new.face()}
        self._say("profile", said)

    def has(self, *user_ids: str) -> bool:
        """Whether all of them are (still) in it."""
        return all(self.role_of(user_id) is not None for user_id in user_ids)

    def hear_gift(self, gift: Gift) -> None:
        """Tell the room of a gift between two whom it `has`."""
        self._say("gift", gift)

    # ---- who may, and who is seen

    def _run_out(self, member: Member, now: int, leaves_at: int) -> int | None:
        """Nobody waits any longer for this member; a guest may still come back as a viewer."""
        if member.role == "host":
            self.close("offline")
            return None
        if member.role in ON_MIC and now < leaves_at:
            self._vacate(member.user_id, "offline")
            return leaves_at
        self.depart(member.user_id, "offline")
        return None

    def _show_away(self, user_id: str, *, away: bool) -> None:
        role = self.role_of(user_id)
        seat = self.owner if role == "host" else self.seat_of(user_id)
        if role is None or seat is None or seat.away == away:
            return
        shown = replace(seat, away=away)
        if role != "host":
            name = SEAT_OF_GENDER[seat.person.gender]
            self._sit(name, shown)
            guest: Moment = {**seat.person.face(), "role": name}
            self._say("member_away" if away else "member_back", guest)
            return
        said: Moment = {**seat.person.face(), "role": "host"}
        self.owner, self.status = shown, "paused" if away else "live"
        self.touched |= {"owner", "status"}
        pause: LivePause = {**seat.person.face()}
        self._say("member_away" if away else "member_back", said)
        self._say("live_pause" if away else "live_resume", pause)

    def _candidate(self, person: Person) -> Person:
        """Somebody here who may go on mic, with the gender by which the room knows them."""
        if not self.live:
            raise NotLive
        member = self._member(person.user_id)
        if member is None:
            raise NotInRoom
        if member.role in ON_MIC:
            raise OnMic
        if member.gender not in SEAT_OF_GENDER:
            raise NoGender
        return replace(person, gender=member.gender)

    def _admits(self, user_id: str, admission: Admission) -> bool:
        asked = self.applications.get(user_id)
        if admission == "open":
            return True
        return asked is not None and (admission == "applied" or asked.invited)

    def _visible(self, user_id: str) -> Person | None:
        if not self.live:
            return None
        shown = [self.owner, self.male, self.female, self.applications.get(user_id)]
        return next((s.person for s in shown if s and s.person.user_id == user_id), None)
