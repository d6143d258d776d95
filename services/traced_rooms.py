"""Spans of a room's changes: the keeper, the commit, the publication of each event.

The rules and the keeper know nothing of them. Changes of one room are decided together in a task of
the keeper, outside of the requests' contexts; so each change brings its span with its rule, and the
task notes which events the rule added.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

from opentelemetry.trace import INVALID_SPAN, Span

from rooms.changes import Preparation
from rooms.events import NumberedEvent
from rooms.keeper import AddWrites, Keeper, RoomListener, RoomStorage
from rooms.members import Member
from rooms.room import Room
from telemetry.traces import Traces, Values

T = TypeVar("T")
R = TypeVar("R")
C = TypeVar("C")


class Applied(NamedTuple):
    """A change that was decided and not refused, and the events that it added: from, to."""

    span: Span
    first: int
    end: int


_applied: ContextVar[tuple[Applied, ...]] = ContextVar("applied_changes", default=())
"""Changes of the room that this task has loaded last."""


class TracedKeeper(Keeper):
    """A keeper with a span for each change, from the request to the answer."""

    def __init__(self, storage: RoomStorage, listener: RoomListener, traces: Traces) -> None:
        super().__init__(TracedStorage(storage, traces), TracedListener(listener, traces))
        self._traces = traces

    async def change(
        self, live_id: int, rule: Callable[[Room], T], *user_ids: str, alone: bool = False
    ) -> T:
        with self._traces.span("keeper.change", {"qlive.live_id": live_id}) as span:
            noted = _noting(span, rule)
            return await super().change(live_id, noted, *user_ids, alone=alone)

    async def change_prepared(
        self,
        live_id: int,
        preparation: Preparation[R, C],
        request: R,
        rule: Callable[[Room, C], T],
        *user_ids: str,
    ) -> T:
        with self._traces.span("keeper.change", {"qlive.live_id": live_id}) as span:
            noted = _noting(span, rule)
            return await super().change_prepared(live_id, preparation, request, noted, *user_ids)


class TracedStorage:
    """A room storage whose saves have a span, linked with those of all changes in it."""

    def __init__(self, storage: RoomStorage, traces: Traces) -> None:
        self._storage = storage
        self._traces = traces

    async def load(self, live_id: int, user_ids: Sequence[str] = ()) -> Room | None:
        _applied.set(())
        return await self._storage.load(live_id, user_ids)

    async def save(
        self,
        room: Room,
        events: Sequence[NumberedEvent],
        add_writes: Sequence[AddWrites] = (),
    ) -> None:
        with self._traces.joint("room.commit", [it.span for it in _applied.get()]):
            await self._storage.save(room, events, add_writes)

    async def clear(self, live_id: int, epoch: str) -> None:
        await self._storage.clear(live_id, epoch)

    async def membership_of(self, user_id: str) -> Member | None:
        return await self._storage.membership_of(user_id)


class TracedListener:
    """Publishes each event in a span below the change that added it."""

    def __init__(self, listener: RoomListener, traces: Traces) -> None:
        self._listener = listener
        self._traces = traces

    def publish(self, live_id: int, events: Sequence[NumberedEvent]) -> None:
        for index, event in enumerate(events):
            cause = next((it.span for it in _applied.get() if it.first <= index < it.end), None)
            fields: Values = {"qlive.event": event.type, "qlive.seq": event.seq}
            with self._traces.span("event.publish", fields, cause or INVALID_SPAN):
                self._listener.publish(live_id, [event])

    def mark_audience_changed(self, live_id: int) -> None:
        self._listener.mark_audience_changed(live_id)

    def evict(self, live_id: int, user_id: str, number: int, *, banned_until_left: bool) -> None:
        self._listener.evict(live_id, user_id, number, banned_until_left=banned_until_left)


def _noting(span: Span, rule: Callable[..., T]) -> Callable[..., T]:
    """The rule, which notes its span in the task that applies it."""

    def apply(room: Room, *context: Any) -> T:
        first = len(room.events)
        result = rule(room, *context)
        _applied.set((*_applied.get(), Applied(span, first, len(room.events))))
        return result

    return apply
