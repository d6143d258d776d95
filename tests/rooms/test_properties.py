"""Invariants of rooms and memberships under random sequences of actions."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from core.errors import QLiveError
from rooms.events import EVENT_PAYLOADS, NumberedEvent, Visibility
from rooms.inviting_room import MAX_DEPUTIES
from rooms.members import SEAT_OF_GENDER, MemberCounts, Person
from rooms.room import Room
from rooms.seating_room import Admission
from rooms.state import Seat
from rooms.tickets import Ticket
from tests.support.hypothesis_profiles import FEW_EXAMPLES, example_settings
from tests.support.room_builders import (
    ANNA,
    BERT,
    CARL,
    DORA,
    GRACE,
    HOST,
    KIM,
    NOW,
    STORED,
)
from tests.support.room_screen import comparable, dates_of, fold
from tests.support.rooms_in_memory import MemoryRoomStore

MING = Person("20000000", "ming", "https://faces/ming", 1, "150000", 50)
HOSTS = {1: HOST, 2: MING}
COVERS = {1: "", 2: "https://cover"}
PERSONS = (HOST, MING, BERT, CARL, ANNA, DORA, KIM)
SIGNATURES = itertools.count()
QUEUE_SIZE = MAX_MUTES = 2
TICKET, MAX_MEMBERS = "ticket", 5
ADMISSIONS: tuple[Admission, ...] = ("applied", "applied", "applied", "invited", "open", "open")
INCOME = 5
REASONS = ("left", "offline", "banned")

Rule = Callable[[Room], Any]


@pytest.fixture(autouse=True, scope="module")
def short_queues() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rooms.seating_room.QUEUE_SIZE", QUEUE_SIZE)
        for module in ("rooms.room", "rooms.seating_room"):
            patch.setattr(f"{module}.MAX_MARKS", MAX_MUTES)
        patch.setattr("rooms.inviting_room.MAX_MUTES", MAX_MUTES)
        patch.setattr("rooms.seating_room.APPLICATION_SECONDS", 120)
        yield


@dataclass(frozen=True)
class Step:
    """An action of `actor` on `target` in a room, `wait` ms after the one before."""

    action: str
    live_id: int
    actor: Person
    target: Person
    wait: int
    choice: int


FIELDS: dict[str, Sequence[Any]] = {
    # Steps towards the mic are more frequent than those that end the live.
    "action": ["enter"] * 4 + ["apply"] * 4 + ["invite"] * 5 + ["accept"] * 8 + ["open"] * 2
    + ["leave_micro"] * 4 + ["refuse"] * 2 + ["profile"] * 3 + ["info"] * 2 + ["admit"] * 2
    + ["disconnect"] * 4 + ["connect"] * 3 + ["absence"] * 8 + ["remove"] * 2
    + ["clear_mic"] * 5 + ["mute"] * 3 + ["mute_all"] * 3 + ["visibility"] * 3 + ["issue"] * 2
    + ["deputy"] * 3
    + ["let_in", "leave", "remove_all", "gift", "gift", "group", "nothing", "end", "close"],
    "live_id": [1, 1, 1, 1, 1, 2],
    "actor": PERSONS,
    "target": PERSONS,
    "wait": [0, 0, 1, 1_000, 1_000, 3_000, 30_000, 61_000],
    "choice": range(6),
}  # fmt: skip
"""The values of the fields of a step, as often as they occur."""
STEPS = st.builds(Step, **{name: st.sampled_from(values) for name, values in FIELDS.items()})


class RoomModel:
    """Two rooms in memory; every change is checked as it is saved."""

    published: ClassVar[set[str]] = set()
    """Types of events in all runs, and whether guests were removed from the mic, or deputies
    acted."""

    def __init__(self) -> None:
        self.store = MemoryRoomStore()
        self.now = NOW
        self.names = 0
        self.log: defaultdict[str, list[NumberedEvent]] = defaultdict(list)
        """All events of a live, by its epoch."""
        for live_id, host in HOSTS.items():
            self.store.add(Room(live_id, f"qlive{live_id}", Seat(host, ""), cover=COVERS[live_id]))

    # ---- synchronous equivalents of room_changes and handlers

    def run(self, step: Step) -> None:
        self.now += step.wait
        user_id = step.actor.user_id
        match step.action:
            case "enter":
                self.enter(step.live_id, step.actor, f"{TICKET}{step.choice % 2}")
            case "open":
                self.remove(HOSTS[step.live_id].user_id, but=step.live_id)
                self.open(step.live_id)
            case "remove_all":
                self.remove(user_id, REASONS[step.choice % 3])
            case "disconnect":
                self.connect(user_id, self.now)
            case "connect":
                self.connect(self.away_user(step), None)
            case "absence":
                self.apply_absence(self.away_user(step), step.choice)
            case _:
                rule = self.rule(step)
                self.change(step.live_id, rule, user_id, step.target.user_id)

    def enter(self, live_id: int, person: Person, ticket: str = "") -> None:
        user_id = person.user_id
        inside = [member.live_id for member in self.store.members.values()].count(live_id)
        places = MAX_MEMBERS - inside

        def rule(room: Room) -> None:
            follows = self.now % 2 == 0
            room.enter(person, self.now, ticket if room.tickets else "", places, follows=follows)

        if self.refused(self.load_expired(live_id, user_id), rule, user_id):
            return
        member = self.store.members.get(user_id)
        if member and member.live_id != live_id:
            if self.load(member.live_id, user_id).role_of(user_id) == "host":
                return
            self.remove(user_id)
        self.change(live_id, rule, user_id)

    def remove(self, user_id: str, reason: str = "left", but: int | None = None) -> None:
        member = self.store.members.get(user_id)
        if member and member.live_id != but:
            self.change(member.live_id, lambda room: room.remove(user_id, reason), user_id)

    def away_user(self, step: Step) -> str:
        """One of those who are away, or the actor if there are none."""
        away = [user_id for user_id, member in self.store.members.items() if member.away_at]
        return away[step.choice % len(away)] if away else step.actor.user_id

    def connect(self, user_id: str, away_at: int | None) -> None:
        """Connect the user (`away_at` is None) or disconnect them, in any room."""
        if (member := self.store.members.get(user_id)) and bool(member.away_at) != bool(away_at):
            self.store.members[user_id] = replace(
                member, away_at=away_at, version=member.version + 1
            )
            if away_at is None:
                self.change(member.live_id, lambda room: room.mark_connected(user_id), user_id)

    def apply_absence(self, user_id: str, choice: int) -> None:
        """Check for an absence, sometimes late."""
        since, streams = (self.now - 30_000 if choice == 0 else NOW), choice % 2 == 1
        if member := self.store.members.get(user_id):
            self.change(
                member.live_id,
                lambda room: room.apply_absence(
                    user_id, self.now, GRACE, since=since, streams=streams
                ),
                user_id,
            )

    def open(self, live_id: int) -> None:
        host, name = HOSTS[live_id], self.new_name()
        others: dict[int, Visibility] = {0: "private", 1: "followers"}
        visibility = others.get(self.names % 6, "public")
        self.change(
            live_id,
            lambda room: room.open(host, name, name, self.now, visibility, f"group-{name}"),
            host.user_id,
        )

    def rule(self, step: Step) -> Rule:
        actor, target, stream = step.actor, step.target, self.new_name()
        admission = ADMISSIONS[step.choice]
        rules: dict[str, Rule] = {
            "apply": lambda room: room.apply(actor, self.now),
            "invite": lambda room: room.invite(
                room.host_id if step.choice else actor.user_id, target, self.now
            ),
            "accept": lambda room: room.accept(actor, admission, stream, play_url(stream)),
            "refuse": lambda room: room.refuse(actor.user_id),
            "leave_micro": lambda room: room.leave_mic(
                room.owner.person if step.choice % 2 else actor,
                target.user_id,
                (None, None, None, None, 1, 2)[step.choice],
                removed_until=self.now + 40_000 if step.choice > 2 else 0,
            ),
            "clear_mic": lambda room: [
                room.leave_mic(
                    room.owner.person, seat.person.user_id, removed_until=self.now + 40_000
                )
                for seat in (room.male, room.female)
                if seat
            ],
            "leave": lambda room: room.leave(actor.user_id),
            "remove": lambda room: room.ban(target, self.now + 60_000, moderator(room, step)),
            "mute": lambda room: room.mute(
                moderator(room, step),
                target.user_id,
                self.now + 40_000 if step.choice % 3 else 0,
                room.epoch if step.choice > 2 else "",
            ),
            "mute_all": lambda room: room.set_mute_all(
                room.host_id if step.choice else actor.user_id, on=step.choice > 2
            ),
            "deputy": lambda room: (
                room.name_deputy(room.host_id if step.choice % 3 else actor.user_id, target)
                if step.choice < 4
                else room.end_deputy(target, room.host_id if step.choice == 4 else actor.user_id)
            ),
            "let_in": lambda room: room.lift_ban(target.user_id, self.now, actor.user_id),
            "profile": lambda room: room.update_profile(
                Person(actor.user_id, stream, f"https://faces/{stream}", step.choice % 3)
            ),
            "info": lambda room: room.update_info(
                room.host_id if step.choice else actor.user_id,
                (stream, "", None)[step.choice % 3],
                (None, f"https://covers/{stream}", "")[step.choice // 2],
            ),
            "admit": lambda room: room.note_invitation(
                room.host_id if step.choice else actor.user_id, target.user_id, self.now + 60_000
            ),
            "visibility": lambda room: room.set_visibility(
                room.host_id if step.choice else actor.user_id,
                ("public", "private", "followers")[step.choice % 3],
                f"group-{stream}",
                lambda user_id: f"{user_id}_{stream}",
                lambda name: play_url(name).partition("?")[0],
            ),
            "issue": lambda room: room.issue_ticket(
                Ticket(
                    f"{TICKET}{step.choice % 2}",
                    "link",
                    room.host_id if step.choice else actor.user_id,
                    self.now + 45_000,
                    1,
                    uses=2,
                )
            ),
            "gift": lambda room: add_gift(room, actor, target),
            "group": lambda room: room.change_group(
                room.group_id if step.choice else "another", f"group-{stream}"
            ),
            "nothing": lambda room: None,
            "end": lambda room: None if step.choice else room.end(actor.user_id),
            "close": lambda room: room.close("operator") if step.choice == 0 else None,
        }
        return rules[step.action]

    def new_name(self) -> str:
        self.names += 1
        return f"name{self.names}"

    def load(self, live_id: int, *people: str) -> Room:
        room = self.store.read(live_id, people)
        assert room is not None
        return room

    def load_expired(self, live_id: int, *people: str) -> Room:
        room = self.load(live_id, *people)
        room.expire(self.now)
        return room

    # ---- a change and its postconditions

    def change(self, live_id: int, rule: Rule, *people: str) -> None:
        before = self.load(live_id, *people)
        room = self.load_expired(live_id, *people)
        assert all(
            until > self.now
            for until in [
                *room.needs_invitation_until.values(),
                *room.invited_by_message_until.values(),
            ]
        )
        invited = {user_id for user_id, found in room.applications.items() if found.invited}
        unwelcome = (
            room.needs_invitation_until.keys() - invited - room.invited_by_message_until.keys()
        )
        if self.refused(room, rule, *people):
            return
        if not room.changed:
            assert room == before
            return
        events = room.numbered(self.now)
        self.store.write(room, events)
        self.log[room.epoch] += events
        after = self.load(live_id, *people)
        self.check_saved(room, after)
        self.published |= {"removed from the mic"} if after.needs_invitation_until else set()
        self.check_events(before, room, after)
        seated = {seat.person.user_id for seat in (after.male, after.female) if seat}
        assert not seated & (unwelcome | after.needs_invitation_until.keys())
        assert room.streams_to_drop.keys() == streams(before) - streams(after)
        if not after.live and before.live:
            lives = {(p.live_id, p.epoch) for p in self.store.members.values()}
            assert (live_id, room.epoch) in lives
            self.store.members = {
                user_id: member
                for user_id, member in self.store.members.items()
                if (member.live_id, member.epoch) != (live_id, room.epoch)
            }

    def refused(self, room: Room, rule: Rule, *people: str) -> bool:
        try:
            rule(room)
        except QLiveError:
            assert room == self.load_expired(room.live_id, *people)
            return True
        return False

    def check_saved(self, room: Room, after: Room) -> None:
        for name in STORED - {"version", "members"}:
            assert getattr(after, name) == getattr(room, name), name
        assert after.version == room.version + len(room.events)
        roles = {user_id: member.role for user_id, member in after.members.items()}
        assert roles == {user_id: member.role for user_id, member in room.members.items()}

    def check_events(self, before: Room, room: Room, after: Room) -> None:
        if after.epoch != before.epoch or not before.live:
            assert room.events == []
            return
        events = [(event.type, event.data) for event in room.events]
        self.published.update(event_type for event_type, _ in events)
        self.published |= {"by a deputy"} if any("by" in data for _, data in events) else set()
        views = [state.snapshot(MemberCounts(), play_url) for state in (before, after)]
        assert fold(views[0], events) == comparable(views[1])

    def check_log(self, live_id: int) -> None:
        stored = self.store.documents[live_id]
        assert sorted(row["seq"] for row in stored["log"].values()) == list(
            range(1, stored["version"] + 1)
        )

    def check_counts(self, room: Room) -> None:
        """The counts and the stored dates are what the whole log of the live tells."""
        log = self.log[room.epoch]
        tips = [event.data["to"] for event in log if event.type == "gift"]
        assert room.application_count == [event.type for event in log].count("micro_apply")
        assert room.income == INCOME * [face["user_id"] for face in tips].count(room.host_id)
        assert self.store.documents[room.live_id]["dates"] == dates_of(log)
        assert room.date_count == len(dates_of(log))

    # ---- invariants

    def check(self) -> None:
        for live_id in HOSTS:
            self.check_room(self.load(live_id, *self.store.members))
            self.check_log(live_id)
            self.check_counts(self.load(live_id))
        for member in self.store.members.values():
            assert self.load(member.live_id, member.user_id).role_of(member.user_id)

    def check_room(self, room: Room) -> None:
        members = {
            user_id: member for user_id, member in room.members.items() if room.role_of(user_id)
        }
        assert len({*room.deputies}) == len(room.deputies) <= MAX_DEPUTIES
        assert room.host_id not in room.deputies
        assert not [user_id for user_id in room.deputies if room.is_banned(user_id, self.now)]
        assert room.deputy_mutes.items() <= room.muted.items()
        seats = {"male": room.male, "female": room.female}
        guests = {name: seat.person for name, seat in seats.items() if seat}
        if not room.live:
            assert not members
            assert not guests
            assert not room.applications
            assert not room.muted
            assert not room.mute_all
            return
        for name, person in guests.items():
            assert SEAT_OF_GENDER[person.gender] == name
            assert members[person.user_id].role == name
        seated_ids = [person.user_id for person in guests.values()]
        assert len(set(seated_ids)) == len(seated_ids)
        assert not set(seated_ids) & room.applications.keys()
        assert room.host_id not in {*seated_ids, *room.applications}
        for gender in SEAT_OF_GENDER:
            assert len(room.applicants(gender)) <= QUEUE_SIZE
            invited = [a for a in room.applications.values() if a.invited]
            assert sum(a.person.gender == gender for a in invited) <= QUEUE_SIZE
        for user_id, application in room.applications.items():
            assert application.person.user_id == user_id
            assert application.person.gender == members[user_id].gender
            assert members[user_id].role == (
                "viewer" if application.applied_at is None else "applied"
            )
            assert application.invited or application.applied_at is not None
        self.check_roles(room, members, seated_ids)
        self.check_absences(room, members)

    def check_roles(self, room: Room, members: dict[str, Any], seated_ids: list[str]) -> None:
        for user_id, member in members.items():
            if member.role in ("male", "female"):
                assert user_id in seated_ids
            if member.role == "applied":
                assert user_id in room.applications
        assert [w for w, m in members.items() if m.role == "host"] == [room.host_id]
        counts = member_counts(members)
        assert counts.audience == len(members)
        assert min(counts.num_list) >= 0
        assert counts.men_applying == len(room.applicants(1)) <= counts.men
        assert counts.women_applying == len(room.applicants(2)) <= counts.women

    def check_absences(self, room: Room, members: dict[str, Any]) -> None:
        assert room.owner.away == (room.status == "paused")
        for seat in (room.owner, room.male, room.female):
            if seat and seat.away:
                assert members[seat.person.user_id].away_at is not None
        assert not [user_id for user_id in members if room.is_banned(user_id, self.now)]


def moderator(room: Room, step: Step) -> Person:
    """The host, a deputy, or the actor, who may be either or none."""
    deputies = [person for person in PERSONS if person.user_id in room.deputies]
    if step.choice % 2 and deputies:
        return deputies[0]
    return room.owner.person if step.choice else step.actor


def streams(room: Room) -> set[str]:
    """Streams that may be pushed in this room."""
    seats = (room.owner, room.male, room.female) if room.live else ()
    return {seat.stream for seat in seats if seat}


def member_counts(members: dict[str, Any]) -> MemberCounts:
    counted = Counter((m.gender, m.role == "applied") for m in members.values() if m.role != "host")

    def total(gender: int) -> int:
        return counted[gender, True] + counted[gender, False]

    return MemberCounts(counted[1, True], total(1), counted[2, True], total(2), total(0))


def play_url(stream: str) -> str:
    return f"rtmp://play/{stream}?sign={next(SIGNATURES)}"


def add_gift(room: Room, sender: Person, receiver: Person) -> None:
    if room.has(sender.user_id, receiver.user_id):
        room.add_gift(gift_event(sender, receiver), INCOME)


def gift_event(sender: Person, receiver: Person) -> Any:
    gift = {"id": 1, "name": "rose", "image": "i", "effect": "e"}
    faces = {"from": sender.public_profile(), "to": receiver.public_profile()}
    return {**faces, "gift": gift, "num": 1, "gold": 10, "request_id": ""}


@example_settings(80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(STEPS, min_size=15, max_size=50))
def check_random_actions(steps: list[Step]) -> None:
    model = RoomModel()
    for live_id in HOSTS:
        model.open(live_id)
    for person in (BERT, CARL, ANNA, DORA, KIM):
        model.enter(1, person)
    model.change(1, lambda room: room.name_deputy(HOST.user_id, CARL), CARL.user_id)
    model.connect(HOST.user_id, model.now)
    model.now += GRACE.shown
    model.apply_absence(HOST.user_id, choice=1)  # the live begins paused
    for step in steps:
        model.run(step)
        model.check()


def test_invariants_hold_after_random_actions() -> None:
    """They are worth little if the actions never change a room, so every event has to occur."""
    RoomModel.published = set()
    check_random_actions()
    if not FEW_EXAMPLES:
        assert RoomModel.published == {
            *EVENT_PAYLOADS,
            "by a deputy",
            "removed from the mic",
        }
