"""Concurrent changes of two rooms through `RoomChanges` have the effect of some order one by one.

Among them are refusals, bugs, starts of lives, users who enter from the other room, and changes by
other processes.
"""

import asyncio
import copy
import itertools
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple
from unittest.mock import patch

from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from core.errors import QLiveError, TryAgain
from rooms.events import LAST_EVENT_TYPE
from rooms.room import Room
from services import room_changes as room_changes_module
from services.room_changes import RoomChanges
from tests.rooms.test_properties import HOSTS, MING, RoomModel, Step
from tests.support.hypothesis_profiles import example_settings
from tests.support.room_builders import ANNA, BERT, CARL, HOST
from tests.support.room_changes import RecordingListener
from tests.support.rooms_in_memory import MemoryRoomStore

MAX_BATCH = 4
MAX_TRIALS = 2_000
"""Changes that the search for an order makes."""
LIVE_IDS = (1, 1, 2)
PEOPLE = (HOST, BERT, CARL, ANNA, MING)
"""Few people, so that one batch has several changes by the same user."""
ACTIONS = (
    ["enter"] * 6 + ["leave"] * 4 + ["apply"] * 4 + ["accept"] * 4 + ["invite"] * 2
    + ["refuse", "leave_micro", "remove", "profile", "gift", "visibility", "nothing", "end"]
    + ["close"]
)  # fmt: skip
"""Changes of one room that begin no live session."""


@dataclass(frozen=True)
class Call:
    """A call that is sent after `turns` turns of the event loop."""

    step: Step
    turns: int
    has_bug: bool


class Change(NamedTuple):
    rule: Callable[[Room], Any]
    user_ids: tuple[str, ...]


@dataclass(eq=False)
class RoomChange:
    """A change of a room, made between the times `began` and `ended`."""

    live_id: int
    change: Change
    began: int
    decided: int = 0
    """The last time that it was decided."""
    ended: int = 0
    by_rival: bool = False
    """Whether another process made it."""
    outcome: Any = None
    """Value that the change returned, or error that it raised."""

    @property
    def has_effect(self) -> bool:
        """Whether it may have changed the room, or refused on account of it."""
        return not isinstance(self.outcome, ZeroDivisionError | TryAgain)


class RecordingRoomChanges(RoomChanges):
    """Records the changes that each call consists of."""

    model: "ConcurrentModel"

    async def change(self, live_id: int, rule: Callable[[Room], Any], *user_ids: str) -> Any:
        return await self._record(super().change, live_id, rule, *user_ids)

    async def begin(self, live_id: int, rule: Callable[[Room], Any], *user_ids: str) -> Any:
        return await self._record(super().begin, live_id, rule, *user_ids)

    async def _record(
        self,
        change: Callable[..., Awaitable[Any]],
        live_id: int,
        rule: Callable[[Room], Any],
        *user_ids: str,
    ) -> Any:
        made, clock = self.model.begin(live_id, Change(rule, user_ids)), self.model.clock

        def decide(room: Room) -> Any:
            made.decided = next(clock)
            return rule(room)

        try:
            made.outcome = await change(live_id, decide, *user_ids)
        except Exception as error:
            made.outcome = error
            raise
        finally:
            made.ended = next(clock)
        return made.outcome


class ConcurrentModel(RoomModel):
    """Sends calls to a room_changes, or makes their changes one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[RoomChange] = []
        self.clock = itertools.count()

    def begin(self, live_id: int, change: Change) -> RoomChange:
        self.changes.append(RoomChange(live_id, change, next(self.clock)))
        return self.changes[-1]

    def copy(self) -> "ConcurrentModel":
        other = copy.copy(self)
        other.store = MemoryRoomStore()
        other.store.documents = copy.deepcopy(self.store.documents)
        other.store.members = dict(self.store.members)
        return other

    def state(self) -> Any:
        """All that is stored, but for the number of writes to each membership."""
        members = {user: replace(member, version=0) for user, member in self.store.members.items()}
        return self.store.documents, members

    def make_change(self, step: Step) -> Change:
        user_id = step.actor.user_id
        if step.action == "enter":
            return change_of(lambda room: room.enter(step.actor, self.now), user_id)
        if step.action == "open":
            host, name = HOSTS[step.live_id], self.new_name()
            return change_of(lambda room: room.open(host, name, name, self.now), host.user_id)
        if step.action == "accept":
            stream = self.new_name()
            return change_of(lambda room: room.accept(step.actor, "open", stream, stream), user_id)
        return change_of(self.rule(step), user_id, step.target.user_id)

    # ---- through `RoomChanges`

    def rival(self, step: Step) -> Callable[[], None]:
        """A change by another process."""
        change = self.make_change(step)

        def make() -> None:
            made = self.begin(step.live_id, change)
            made.by_rival, made.decided, made.ended = True, made.began, made.began
            self.make(made)

        return make

    async def send(self, calls: Sequence[Call]) -> RecordingListener:
        listener = RecordingListener(self.store)
        room_changes = RecordingRoomChanges(self.store.stores, [self.store.follow], listener)
        room_changes.model = self
        await asyncio.gather(*(self._send(room_changes, call) for call in calls))
        return listener

    async def _send(self, room_changes: RoomChanges, call: Call) -> None:
        step, change = call.step, self.make_change(call.step)
        for _ in range(call.turns):
            await asyncio.sleep(0)

        def rule(room: Room) -> Any:
            result = change.rule(room)
            if call.has_bug:
                raise ZeroDivisionError
            return result

        with suppress(QLiveError, ZeroDivisionError):  # recorded with the change
            if step.action == "enter":
                await room_changes.enter(step.live_id, step.actor)
            else:
                begins = step.action == "open"
                if begins:
                    await room_changes.remove(*change.user_ids, but=step.live_id)
                make = room_changes.begin if begins else room_changes.change
                await make(step.live_id, rule, *change.user_ids)

    # ---- one by one

    def make(self, made: RoomChange) -> bool:
        """Whether the change has the same answer, or another process made it."""
        room = self.load_expired(made.live_id, *made.change.user_ids)
        try:
            outcome = made.change.rule(room)
        except QLiveError as error:
            outcome = error
        if room.joins_from_elsewhere or not (
            made.by_rival or shown(outcome) == shown(made.outcome)
        ):
            return made.by_rival
        self.store.write(room, room.numbered(self.now))
        if any(event.type == LAST_EVENT_TYPE for event in room.events):
            over = room.live_id, room.epoch
            members = self.store.members.items()
            self.store.members = {id_: m for id_, m in members if (m.live_id, m.epoch) != over}
        return True


def change_of(rule: Callable[[Room], Any], *user_ids: str) -> Change:
    """A change whose refusals must leave the room as it was within the batch; `shown` raises the
    AssertionError otherwise."""

    def apply(room: Room) -> Any:
        before = asdict(room)
        try:
            return rule(room)
        except QLiveError:
            assert asdict(room) == before
            raise

    return Change(apply, user_ids)


def shown(outcome: Any) -> Any:
    """The outcome as it is compared; errors and rooms by their types, since later changes of the
    batch share them."""
    if isinstance(outcome, AssertionError):
        raise outcome
    return type(outcome) if isinstance(outcome, Room | tuple | Exception) else outcome


class OrderSearch:
    """Looks for an order of changes with the same answers, and with `state` at the end.

    A change that had ended before another began comes before it.
    """

    def __init__(self, state: Any) -> None:
        self._state = state
        self._trials = 0

    def finds(self, model: ConcurrentModel, changes: Sequence[RoomChange]) -> bool:
        """`changes` are in the order in which they were decided, which is nearly always one."""
        if not changes:
            return bool(model.state() == self._state)
        first_end = min(made.ended for made in changes)
        for n, made in enumerate(changes):
            if made.began > first_end:
                continue
            self._trials += 1
            assert self._trials < MAX_TRIALS
            trial = model.copy()
            if trial.make(made) and self.finds(trial, [*changes[:n], *changes[n + 1 :]]):
                return True
        return False


def steps_of(actions: Sequence[str]) -> st.SearchStrategy[Step]:
    return st.builds(
        Step,
        action=st.sampled_from(actions),
        live_id=st.sampled_from(LIVE_IDS),
        actor=st.sampled_from(PEOPLE),
        target=st.sampled_from(PEOPLE),
        wait=st.sampled_from([0, 1_000, 61_000]),
        choice=st.integers(0, 5),
    )


CALLS = st.builds(
    Call,
    step=steps_of([*ACTIONS, *["enter"] * 4, *["open", "close"] * 4]),
    turns=st.integers(0, 12),
    has_bug=st.sampled_from([False] * 7 + [True]),
)
RIVALS = st.none() | steps_of([*ACTIONS, *["nothing"] * 3, "open"])


@example_settings(80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.booleans(), st.lists(CALLS, min_size=2, max_size=12), st.lists(RIVALS, max_size=6))
def test_concurrent_changes_have_the_effect_of_some_order_one_by_one(
    both_live: bool, calls: list[Call], rivals: list[Step | None]
) -> None:
    model = ConcurrentModel()
    for live_id in (1, 2) if both_live else (1,):
        model.open(live_id)
    for person in (BERT, ANNA):
        model.enter(1, person)
    model.enter(2, CARL)
    start = model.copy()
    model.store.before_save = iter([model.rival(step) if step else None for step in rivals])
    with (
        patch.object(room_changes_module, "now_ms", lambda: model.now),
        patch.object(room_changes_module, "MAX_BATCH", MAX_BATCH),
        patch.object(random, "uniform", lambda _low, _high: 0),
    ):
        listener = asyncio.run(model.send(calls))
        changes = [made for made in model.changes if made.has_effect]
        changes.sort(key=lambda made: made.decided)
        assert OrderSearch(model.state()).finds(start, changes)
    saved = [call[1:] for call in listener.calls if call[0] == "save"]
    published = [
        (call[1], *(seq for seq, _type in call[2:]))
        for call in listener.calls
        if call[0] == "publish"
    ]
    assert published == saved
    for live_id in HOSTS:
        model.check_log(live_id)
