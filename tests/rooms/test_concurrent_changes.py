"""Concurrent changes through the keeper have the effect of the same changes one by one.

Among them are refusals, bugs, gifts that spend gold, and changes by other processes.
"""

import asyncio
import copy
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from core.errors import QLiveError, WriteConflict
from rooms import keeper as keeper_module
from rooms.changes import Change, Outcome, Preparation
from rooms.errors import QueueFull
from rooms.events import NumberedEvent
from rooms.keeper import AddWrites, Keeper
from rooms.room import Room
from tests.rooms.test_batches import ACTIONS, LIVE_ID, BatchModel, shown, steps_of
from tests.rooms.test_properties import Step
from tests.support.hypothesis_profiles import example_settings
from tests.support.keeper import RecordingListener
from tests.support.room_builders import ANNA, BERT
from tests.support.rooms_in_memory import MemoryRoomStore

GOLD = 3
MAX_BATCH = 4


@dataclass
class Purse:
    """Gold that all gifts of a batch share, as it was read."""

    before: int
    gold: int


@dataclass(frozen=True)
class Call:
    """A change that is sent after `turns` of the event loop."""

    step: Step
    turns: int
    has_bug: bool


class RacingStore(MemoryRoomStore):
    """Before each write, another process may change the room and add gold."""

    def __init__(self) -> None:
        super().__init__()
        self.gold = GOLD
        self.rivals: Iterator[Callable[[], None] | None] = iter(())
        self.saved: list[tuple[int, str]] = []
        """Number and type of the events of the keeper's writes."""

    async def save(
        self, room: Room, events: Sequence[NumberedEvent], add_writes: Sequence[AddWrites] = ()
    ) -> None:
        await asyncio.sleep(0)
        if rival := next(self.rivals, None):
            rival()
        purses: list[Purse] = []
        for add in add_writes:
            add(purses)
        if any(purse.before != self.gold for purse in purses):
            raise WriteConflict
        self.write(room, events)
        for purse in purses:
            self.gold = purse.gold
        self.saved += [(event.seq, event.type) for event in events]


class ConcurrentModel(BatchModel):
    """Sends changes to a keeper, or makes them one by one in the order in which it decided them."""

    def __init__(self) -> None:
        super().__init__()
        self.racing = RacingStore()
        self.racing.documents = self.store.documents
        self.store = self.racing
        self.preparation: Preparation[None, Purse] = Preparation(self._read, list.append)
        self.decided: list[Any] = []
        """Changes and rivals, each time that they were decided."""

    def give(self, change: Change[None, None, Any]) -> Callable[[Room, Purse], int]:
        """A gift that costs a piece of gold; returns what is left."""

        def rule(room: Room, purse: Purse) -> int:
            if not purse.gold:
                raise QueueFull
            before = len(room.events)
            change.rule(room, None)
            purse.gold -= len(room.events) - before
            return purse.gold

        return rule

    def changes_of(self, calls: Sequence[Call]) -> list[Change[Any, Any, Any]]:
        return [self._change_of(call) for call in calls]

    def rival(self, change: Change[None, None, Any]) -> None:
        """A change by another process."""
        self.decided.append(change)
        self.save_together([change])
        self.racing.gold += 1

    async def send(
        self, calls: Sequence[Call], changes: Sequence[Change[Any, Any, Any]]
    ) -> tuple[list[Any], RecordingListener]:
        listener = RecordingListener()
        keeper = Keeper(self.racing, listener, max_batch=MAX_BATCH)
        sent = (self._send(keeper, *it) for it in zip(calls, changes, strict=True))
        return await asyncio.gather(*sent), listener

    def make_one_by_one(self, changes: Sequence[Change[Any, Any, Any]]) -> list[Outcome]:
        """In the order of `decided`, in which each counts the last time."""
        order = [*reversed(dict.fromkeys(reversed(self.decided)))]
        outcomes: dict[Any, Outcome] = {}
        for change in order:
            if change not in changes:
                self.rival(change)
                continue
            outcomes[change] = self._make(change)
        return [outcomes[change] for change in changes]

    def _make(self, change: Change[Any, Any, Any]) -> Outcome:
        room = self.load(LIVE_ID, *change.user_ids)
        room.expire(self.now)
        purse = Purse(self.racing.gold, self.racing.gold)
        try:
            outcome = Outcome(change.rule(room, purse))
        except QLiveError as refusal:
            outcome = Outcome(error=refusal)
        except ZeroDivisionError as bug:
            return Outcome(error=bug)
        self.save(room)
        self.racing.gold = purse.gold
        return outcome

    def _change_of(self, call: Call) -> Change[Any, Any, Any]:
        change = self.make_change(call.step)
        is_gift = call.step.action == "gift"
        decide = self.give(change) if is_gift else change.rule

        def rule(room: Room, purse: Any) -> Any:
            result = decide(room, purse)
            if call.has_bug:
                raise ZeroDivisionError
            return result

        return Change(rule, change.user_ids, self.preparation if is_gift else None)

    async def _send(self, keeper: Keeper, call: Call, change: Change[Any, Any, Any]) -> Outcome:
        for _ in range(call.turns):
            await asyncio.sleep(0)

        def rule(room: Room, purse: Any = None) -> Any:
            self.decided.append(change)
            return change.rule(room, purse)

        if change.preparation is None:
            sent = keeper.change(LIVE_ID, rule, *change.user_ids)
        else:
            sent = keeper.change_prepared(LIVE_ID, change.preparation, None, rule, *change.user_ids)
        try:
            return Outcome(await sent)
        except Exception as error:  # noqa: BLE001 - compared
            return Outcome(error=error)

    async def _read(self, _requests: Sequence[None]) -> Purse:
        await asyncio.sleep(0)
        return Purse(self.racing.gold, self.racing.gold)


CALLS = st.builds(
    Call,
    step=steps_of([*ACTIONS, *["gift"] * 6]),
    turns=st.integers(0, 8),
    has_bug=st.sampled_from([False] * 7 + [True]),
)
RIVALS = st.none() | steps_of([*ACTIONS, *["nothing"] * 3])


@example_settings(150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(CALLS, min_size=2, max_size=12), st.lists(RIVALS, max_size=6))
def test_concurrent_changes_have_the_effect_of_some_order_one_by_one(
    calls: list[Call], rivals: list[Step | None]
) -> None:
    model = ConcurrentModel()
    model.open(LIVE_ID)
    for person in (BERT, ANNA):
        model.enter(LIVE_ID, person)
    changes = model.changes_of(calls)
    others = [model.make_change(step) if step else None for step in rivals]
    one_by_one = copy.copy(model)
    one_by_one.racing = one_by_one.store = copy.deepcopy(model.racing)
    model.racing.rivals = iter([(lambda it=it: model.rival(it)) if it else None for it in others])
    with (
        patch.object(keeper_module, "now_ms", lambda: model.now),
        patch.object(random, "uniform", lambda _low, _high: 0),
    ):
        outcomes, listener = asyncio.run(model.send(calls, changes))
    expected = one_by_one.make_one_by_one(changes)
    assert [shown(it) for it in outcomes] == [shown(it) for it in expected]
    assert model.state() == one_by_one.state()
    assert model.racing.gold == one_by_one.racing.gold
    published = [event for call in listener.calls if call[0] == "publish" for event in call[2:]]
    assert published == model.racing.saved
    model.check_log(LIVE_ID)
