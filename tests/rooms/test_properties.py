"""Whatever people do in whatever order: what always holds of rooms and of those in them."""

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from rooms.people import SEAT_OF_GENDER, Counts, Person
from rooms.refusals import Refusal
from rooms.room import Admission, Room, Seat
from rooms.snapshot import snapshot
from storage.members import _count
from tests.examples import example_settings
from tests.rooms.cast import ANNA, BERT, CARL, DORA, HOST, KIM, NOW, PATIENCE
from tests.rooms.fold import comparable, fold
from tests.rooms.memory import Memory

MING = Person("20000000", "ming", "https://faces/ming", 1, "150000", 50)
HOSTS = {1: HOST, 2: MING}
COVERS = {1: "", 2: "https://cover"}
EVERYBODY = (HOST, MING, BERT, CARL, ANNA, DORA, KIM)
SIGNATURES = itertools.count()
ADMISSIONS: tuple[Admission, ...] = ("applied", "applied", "applied", "invited", "open", "open")
REASONS = ("left", "offline", "banned")

Rule = Callable[[Room], Any]


@dataclass(frozen=True)
class Step:
    """One thing that `who` does to `whom` in a room, `wait` ms after the one before."""

    what: str
    live_id: int
    who: Person
    whom: Person
    wait: int
    choice: int


STEPS = st.builds(
    Step,
    what=st.sampled_from(
        # What brings people on mic comes more often than what ends everything.
        ["enter"] * 4 + ["apply"] * 4 + ["invite"] * 4 + ["accept"] * 8 + ["open"] * 2
        + ["leave_micro"] * 4 + ["refuse"] * 2 + ["profile"] * 3
        + ["part"] * 4 + ["arrive"] * 3 + ["miss"] * 8 + ["put_out"] * 2
        + ["leave", "depart", "gift", "nothing", "end", "close"]
    ),
    live_id=st.sampled_from([1, 1, 1, 1, 1, 2]),
    who=st.sampled_from(EVERYBODY),
    whom=st.sampled_from(EVERYBODY),
    wait=st.sampled_from([0, 0, 1, 1_000, 1_000, 3_000, 30_000, 61_000]),
    choice=st.integers(0, 5),
)  # fmt: skip


class World:
    """Two rooms and their people; every change is checked as it is saved."""

    def __init__(self) -> None:
        self.store = Memory()
        self.now = NOW
        self.names = 0
        for live_id, host in HOSTS.items():
            self.store.add(Room(live_id, f"qlive{live_id}", Seat(host, ""), cover=COVERS[live_id]))

    # ---- what the keeper and the handlers do, without waiting

    def take(self, step: Step) -> None:
        self.now += step.wait
        user_id = step.who.user_id
        match step.what:
            case "enter":
                self.enter(step.live_id, step.who)
            case "open":
                self.take_out(HOSTS[step.live_id].user_id, but=step.live_id)
                self.open(step.live_id)
            case "depart":
                self.take_out(user_id, REASONS[step.choice % 3])
            case "part":
                self.connect(user_id, self.now)
            case "arrive":
                self.connect(user_id, None)
            case "miss":
                self.miss(user_id, step.choice)
            case _:
                rule = self.rule(step)
                self.change(step.live_id, rule, user_id, step.whom.user_id)

    def enter(self, live_id: int, person: Person) -> None:
        user_id = person.user_id
        if self.refused(self.load(live_id, user_id), lambda room: room.enter(person, self.now)):
            return
        place = self.store.places.get(user_id)
        if place and place.live_id != live_id:
            if self.load(place.live_id, user_id).role_of(user_id) == "host":
                return
            self.take_out(user_id)
        self.change(live_id, lambda room: room.enter(person, self.now), user_id)

    def take_out(self, user_id: str, reason: str = "left", but: int | None = None) -> None:
        place = self.store.places.get(user_id)
        if place and place.live_id != but:
            self.change(place.live_id, lambda room: room.depart(user_id, reason), user_id)

    def connect(self, user_id: str, away_at: int | None) -> None:
        """A connection comes or goes, wherever this person is."""
        if (place := self.store.places.get(user_id)) and bool(place.away_at) != bool(away_at):
            self.store.places[user_id] = replace(place, away_at=away_at, v=place.v + 1)
            if away_at is None:
                self.change(place.live_id, lambda room: room.come_back(user_id), user_id)

    def miss(self, user_id: str, choice: int) -> None:
        """What comes of an absence is looked at, now and then and not always in time."""
        since, streams = (self.now - 30_000 if choice == 0 else NOW), choice % 2 == 1
        if place := self.store.places.get(user_id):
            self.change(
                place.live_id,
                lambda room: room.miss(user_id, self.now, PATIENCE, since=since, streams=streams),
                user_id,
            )

    def open(self, live_id: int) -> None:
        host, name = HOSTS[live_id], self.new_name()
        self.change(live_id, lambda room: room.open(host, name, name, self.now), host.user_id)

    def rule(self, step: Step) -> Rule:
        who, whom, stream = step.who, step.whom, self.new_name()
        admission = ADMISSIONS[step.choice]
        rules: dict[str, Rule] = {
            "apply": lambda room: room.apply(who, self.now, 120),
            "invite": lambda room: (
                room.invite(room.host_id, whom, self.now, 60)
                if step.choice
                else room.invite(who.user_id, whom, self.now, 60)
            ),
            "accept": lambda room: room.accept(who, admission, stream, play_url(stream)),
            "refuse": lambda room: room.refuse(who.user_id),
            "leave_micro": lambda room: room.leave_micro(
                room.host_id if step.choice % 2 else who.user_id,
                whom.user_id,
                (None, None, None, None, 1, 2)[step.choice],
            ),
            "leave": lambda room: room.leave(who.user_id),
            "put_out": lambda room: room.put_out(
                room.host_id if step.choice else who.user_id, whom.user_id, self.now + 60_000
            ),
            "profile": lambda room: room.update_profile(
                Person(who.user_id, stream, f"https://faces/{stream}", step.choice % 3)
            ),
            "gift": lambda room: give(room, who, whom),
            "nothing": lambda room: None,
            "end": lambda room: None if step.choice else room.end(who.user_id),
            "close": lambda room: room.close("operator") if step.choice == 0 else None,
        }
        return rules[step.what]

    def new_name(self) -> str:
        self.names += 1
        return f"name{self.names}"

    def load(self, live_id: int, *people: str) -> Room:
        room = self.store.read(live_id, people)
        assert room is not None
        return room

    # ---- one change, and what must be true of it

    def change(self, live_id: int, rule: Rule, *people: str) -> None:
        before = self.load(live_id, *people)
        room = self.load(live_id, *people)
        room.expire(self.now)
        if self.refused(room, rule):
            return
        if not room.changed:
            room.held.clear()  # a place that is held guards a write, and there is none
            assert room == before
            return
        self.store.write(room, room.numbered(self.now))
        after = self.load(live_id, *people)
        self.same_as_saved(room, after)
        self.same_as_told(before, room, after)
        assert room.dropped == streams(before) - streams(after)
        if not after.live and before.live:
            lives = {(p.live_id, p.epoch) for p in self.store.places.values()}
            assert (live_id, room.epoch) in lives
            self.clear(live_id, room.epoch)

    def refused(self, room: Room, rule: Rule) -> bool:
        before = copy.deepcopy(room)
        try:
            rule(room)
        except Refusal:
            assert room == before
            return True
        return False

    def clear(self, live_id: int, epoch: str) -> None:
        keep = {
            w: p for w, p in self.store.places.items() if (p.live_id, p.epoch) != (live_id, epoch)
        }
        self.store.places = keep

    def same_as_saved(self, room: Room, after: Room) -> None:
        names = ("owner", "epoch", "status", "started_at", "male", "female", "applications")
        for name in (*names, "blocked"):
            assert getattr(after, name) == getattr(room, name)
        assert after.version == room.version + len(room.events)
        roles = {who: member.role for who, member in after.members.items()}
        assert roles == {w: m.role for w, m in room.members.items() if w not in room.gone}

    def same_as_told(self, before: Room, room: Room, after: Room) -> None:
        if after.epoch != before.epoch:
            assert room.events == []
            return
        events = [(event.type, event.data) for event in room.events]
        shown = [snapshot(it, Counts(), play_url) for it in (before, after)]
        assert comparable(fold(shown[0], events)) == comparable(shown[1])

    def kept_log(self, live_id: int) -> None:
        kept = self.store.documents[live_id]
        assert sorted(row["seq"] for row in kept["log"].values()) == list(
            range(1, kept["version"] + 1)
        )

    # ---- what always holds

    def check(self) -> None:
        for live_id in HOSTS:
            self.check_room(self.load(live_id, *self.store.places))
            self.kept_log(live_id)
        for member in self.store.places.values():
            assert self.load(member.live_id, member.user_id).role_of(member.user_id)

    def check_room(self, room: Room) -> None:
        here = {w: m for w, m in room.members.items() if room.role_of(w)}
        shown = {"male": room.male, "female": room.female}
        guests = {name: seat.person for name, seat in shown.items() if seat}
        if not room.live:
            assert not here
            assert not guests
            assert not room.applications
            return
        for name, person in guests.items():
            assert SEAT_OF_GENDER[person.gender] == name
            assert here[person.user_id].role == name
        sitting = [person.user_id for person in guests.values()]
        assert len(set(sitting)) == len(sitting)
        assert not set(sitting) & room.applications.keys()
        assert room.host_id not in {*sitting, *room.applications}
        for user_id, asked in room.applications.items():
            assert asked.person.user_id == user_id
            assert asked.person.gender == here[user_id].gender
            assert here[user_id].role == ("viewer" if asked.applied_at is None else "applied")
            assert asked.invited or asked.applied_at is not None
        self.check_roles(room, here, sitting)
        self.check_absences(room, here)

    def check_roles(self, room: Room, here: dict[str, Any], sitting: list[str]) -> None:
        for user_id, member in here.items():
            if member.role in ("male", "female"):
                assert user_id in sitting
            if member.role == "applied":
                assert user_id in room.applications
        assert [w for w, m in here.items() if m.role == "host"] == [room.host_id]
        counts = counted(here)
        assert counts.audience == len(here)
        assert min(counts.num_list) >= 0
        assert counts.men_applying == len(room.applicants(1)) <= counts.men
        assert counts.women_applying == len(room.applicants(2)) <= counts.women

    def check_absences(self, room: Room, here: dict[str, Any]) -> None:
        assert room.owner.away == (room.status == "paused")
        for seat in (room.owner, room.male, room.female):
            if seat and seat.away:
                assert here[seat.person.user_id].away_at is not None
        assert not [user_id for user_id in here if room.keeps_out(user_id, self.now)]


def streams(room: Room) -> set[str]:
    """What may be pushed in this room."""
    seats = (room.owner, room.male, room.female) if room.live else ()
    return {seat.stream for seat in seats if seat}


def counted(here: dict[str, Any]) -> Counts:
    numbers: dict[str, int] = {}
    for member in here.values():
        _count(numbers, {"role": member.role, "gender": member.gender}, 1)
    return Counts(**numbers)


def play_url(stream: str) -> str:
    return f"rtmp://play/{stream}?sign={next(SIGNATURES)}"


def give(room: Room, sender: Person, receiver: Person) -> None:
    if room.has(sender.user_id, receiver.user_id):
        room.hear_gift(a_gift(sender, receiver))


def a_gift(sender: Person, receiver: Person) -> Any:
    shown = {"id": 1, "name": "rose", "image": "i", "effect": "e"}
    faces = {"from": sender.face(), "to": receiver.face()}
    return {**faces, "gift": shown, "num": 1, "gold": 10, "request_id": ""}


@example_settings(80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(STEPS, min_size=15, max_size=50))
def test_rooms_are_sound_after_whatever_happens(steps: list[Step]) -> None:
    world = World()
    for live_id in HOSTS:
        world.open(live_id)
    for person in (BERT, CARL, ANNA, DORA, KIM):
        world.enter(1, person)
    for step in steps:
        world.take(step)
        world.check()


WORDS = ["apply", "invite", "accept", "refuse", "leave_micro", "gift", "miss", "arrive", "put_out"]


@pytest.mark.parametrize("what", WORDS)
def test_the_world_of_these_tests_gets_people_that_far(what: str) -> None:
    """A property of rooms in which nothing ever happens would always hold."""
    world = World()
    world.open(1)
    for person in (BERT, CARL):
        world.enter(1, person)
    ways = [("apply", BERT), ("invite", BERT), ("accept", BERT), ("leave_micro", BERT)]
    ways += [("apply", CARL), ("refuse", CARL), ("gift", BERT), ("part", HOST), ("miss", HOST)]
    ways += [("arrive", HOST), ("accept", BERT), ("put_out", BERT)]
    for name, who in ways:
        version = world.load(1).version
        wait = 3_000 if name == "miss" else 0
        choice = 5 if name == "accept" else 1
        world.take(Step(name, 1, who, CARL if name == "gift" else who, wait, choice))
        if name == what:
            assert world.load(1).version == version + (2 if who is HOST else 1)
            return
    raise AssertionError(what)
