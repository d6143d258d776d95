"""The only path that changes a room: load, decide, write with the consequences, publish.

Changes of one room that arrive while an earlier one is being saved are decided together, on one
loaded room, and saved by one write. A change that finds the room idle waits for nothing.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import structlog

from core.batching import RequestBatcher
from core.clock import now_ms
from core.errors import QLiveError, TryAgain, WriteConflict
from core.retry import retry_on_conflict
from realtime.hub import Hub
from rooms.errors import HostIsLive, RemovedFromRoom, RoomNotFound
from rooms.events import LAST_EVENT_TYPE, NumberedEvent
from rooms.members import Person
from rooms.room import Room
from storage.rooms.rooms import add_room_writes
from storage.stores import Stores
from storage.write_batch import WriteBatch

log = structlog.get_logger("qlive.rooms")

C = TypeVar("C")
R = TypeVar("R")
T = TypeVar("T")

MAX_BATCH = 32
"""Changes of one room in one write."""
MAX_REMOVE_ATTEMPTS = 5
"""Attempts to remove a user who keeps entering other rooms."""


@dataclass(frozen=True, slots=True, eq=False)
class BatchData(Generic[R, C]):
    """Data that the rules of one kind read and write besides the room.

    `read` is called once for a batch, with the requests of all its changes of this kind, after the
    room has been loaded; each of their rules receives its result. `write` adds to the room's
    transaction, if one of these rules has added an event.
    """

    read: Callable[[Sequence[R]], Awaitable[C]]
    write: Callable[[C, WriteBatch], None] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """One caller's change of a room."""

    rule: Callable[[Room, Any], Any]
    """Refuses with a QLiveError, leaving the room as it was, or changes the room."""
    user_ids: tuple[str, ...]
    """Users whose memberships the rule reads."""
    batch_data: BatchData[Any, Any] | None = None
    request: Any = None


LoadedData = Mapping[BatchData[Any, Any] | None, Any]
"""What each BatchData of a batch has read; None is the key of changes without one."""


Consequence = Callable[[Room, Sequence[NumberedEvent], WriteBatch], Awaitable[None]]
"""Adds what follows from a change to its writes; see services/rooms/consequences.py."""


class ChangeFailed(Exception):
    """Some changes of a batch failed; the others are decided on a room that is loaded again."""

    def __init__(self, changes: Iterable[Change], error: Exception) -> None:
        super().__init__(error)
        self.errors = dict.fromkeys(changes, error)


class RoomListener(Protocol):
    """Receives every saved change; neither method waits or raises."""

    def publish(self, live_id: int, events: Sequence[NumberedEvent]) -> None: ...

    def mark_audience_changed(self, live_id: int) -> None:
        """Note that the number of people in the room may have changed."""


class RoomChanges:
    """Applies rules to rooms, a batch at a time, with optimistic writes and retries."""

    def __init__(
        self,
        stores: Stores,
        consequences: Sequence[Consequence],
        hub: Hub,
        im_relay: RoomListener | None = None,
    ) -> None:
        self._stores = stores
        self._rooms, self._members = stores.rooms, stores.members
        self._consequences = consequences
        self._hub = hub
        self._listeners: list[RoomListener] = [hub, im_relay] if im_relay else [hub]
        self._member_numbers: BatchData[int, Mapping[str, int]] = BatchData(
            lambda live_ids: self._members.numbers(live_ids[0])
        )
        self._batcher: RequestBatcher[Change, Any] = RequestBatcher(self._change_batch, MAX_BATCH)
        self.conflict_retries = 0
        """Number of optimistic-lock retries."""

    async def change(self, live_id: int, rule: Callable[[Room], T], *user_ids: str) -> T:
        """Apply `rule` to the room and return what it returns.

        An error raised by the rule leaves everything unchanged. `user_ids` are the users whose
        memberships the rule reads. Raises RoomNotFound or TryAgain.
        """
        result: T = await self._batcher.submit(live_id, _without_data(rule, user_ids))
        return result

    async def begin(self, live_id: int, rule: Callable[[Room], T], *user_ids: str) -> T:
        """Change the room as `change`, for a rule that begins a live session.

        It is saved alone, since it empties the log of events.
        """
        (result,) = await self._change_batch(live_id, [_without_data(rule, user_ids)])
        if isinstance(result, Exception):
            raise result
        return result  # type: ignore[no-any-return]

    async def change_with(
        self,
        live_id: int,
        batch_data: BatchData[R, C],
        request: R,
        rule: Callable[[Room, C], T],
        *user_ids: str,
    ) -> T:
        """Change as `change`, with data that `batch_data` reads for the requests of a whole batch.

        A WriteConflict repeats everything on the new state, as `retry_on_conflict` does.
        """
        change = Change(rule, user_ids, batch_data, request)
        result: T = await self._batcher.submit(live_id, change)
        return result

    async def load(self, live_id: int, *user_ids: str) -> Room:
        """Return the stored room; changes to it are not saved. Raises RoomNotFound."""
        room = await self._rooms.load(live_id, user_ids)
        if room is None:
            raise RoomNotFound
        return room

    async def enter(
        self,
        live_id: int,
        person: Person,
        ticket_id: str = "",
        max_members: int = 0,
        *,
        follows: bool = False,
    ) -> Room:
        """Add a user to a live room, removing them from any other.

        With a ticket, also to a private live, which has `max_members` at most; with a ticket or if
        the user `follows` the host, also to a followers' live. Everything is checked before they
        leave the other room. Raises HostIsLive if they host it, or as Room.enter.
        """
        user_id = person.user_id

        def enter(room: Room, numbers: Mapping[str, int]) -> tuple[Room, bool]:
            is_new = room.role_of(user_id) is None
            places = max_members - numbers.get(room.epoch, 0)
            room.enter(person, now_ms(), ticket_id, places, follows=follows)
            return room, is_new

        member = await self._members.get(user_id)
        if member and member.live_id != live_id:
            room = await self.load(live_id, user_id)
            enter(room, await self._members.numbers(live_id) if ticket_id else {})
            if (await self.load(member.live_id, user_id)).role_of(user_id) == "host":
                raise HostIsLive
            await self.remove(user_id, but=live_id)
        if ticket_id:
            room, joined = await self.change_with(
                live_id, self._member_numbers, live_id, enter, user_id
            )
        else:
            room, joined = await self.change(live_id, lambda room: enter(room, {}), user_id)
        if not joined:
            return room
        # Entering a live that is not private writes the membership only, so that neither a
        # concurrent ban nor a change to a stricter visibility is a WriteConflict.
        latest = await self.load(live_id)
        if latest.is_banned(user_id, now_ms()):
            await self.change(live_id, _remove_banned(user_id), user_id)
            raise RemovedFromRoom
        if latest.visibility != "public" and room.visibility not in ("private", latest.visibility):
            await self.change(live_id, lambda room: room.remove(user_id, "left"), user_id)
            return await self.enter(live_id, person, ticket_id, max_members, follows=follows)
        return room

    async def ban(
        self, live_id: int, person: Person, until: int, actor: Person | None = None
    ) -> bool:
        """Ban a user and return as `Room.ban`, even while they are entering."""
        user_id = person.user_id
        user_ids = [user_id, actor.user_id] if actor else [user_id]
        on_mic = await self.change(live_id, lambda room: room.ban(person, until, actor), *user_ids)
        member = await self._members.get(user_id)
        if member and member.live_id == live_id:
            await self.change(live_id, _remove_banned(user_id), user_id)
        return on_mic

    async def remove(self, user_id: str, reason: str = "left", but: int | None = None) -> None:
        """Remove a user from the room they are in, publishing the events.

        `but` is a room in which they may stay, `reason` a key of DEPARTURE_REASONS. Raises TryAgain
        if they keep entering rooms.
        """
        for _ in range(MAX_REMOVE_ATTEMPTS):
            member = await self._members.get(user_id)
            if member is None or member.live_id == but:
                return
            await self.change(member.live_id, lambda room: room.remove(user_id, reason), user_id)
        raise TryAgain

    async def end_deputy(self, person: Person) -> None:
        """End a user's service as deputy in all rooms."""
        for live_id in await self._rooms.staffed_by(person.user_id):
            await self.change(live_id, lambda room: room.end_deputy(person))

    async def separate(self, person: Person, other: Person) -> None:
        """End deputyships and invitations between two users after a block, in the rooms of both."""
        for live_id in await self._rooms.staffed_by(person.user_id, other.user_id):
            await self.change(live_id, lambda room: room.separate(person, other))

    async def _change_batch(self, live_id: int, changes: Sequence[Change]) -> list[Any]:
        """Decide and save changes together; all of them again after a WriteConflict.

        Return what each rule returned, or the error for its caller.
        """
        failed: dict[Change, Exception] = {}

        async def change_others() -> Mapping[Change, Any]:
            while pending := [change for change in changes if change not in failed]:
                try:
                    return await self._decide_and_save(live_id, pending)
                except ChangeFailed as failure:
                    failed.update(failure.errors)
                except WriteConflict:
                    self.conflict_retries += 1
                    raise
            return {}

        outcomes = {**await retry_on_conflict(change_others), **failed}
        return [outcomes[change] for change in changes]

    async def _decide_and_save(
        self, live_id: int, changes: Sequence[Change]
    ) -> Mapping[Change, Any]:
        user_ids = dict.fromkeys(user_id for change in changes for user_id in change.user_ids)
        room = await self.load(live_id, *user_ids)
        room.expire(now_ms())
        loaded = await _read_data(changes)
        outcomes, writing = decide(room, changes, loaded)
        if room.changed:
            write = [partial(data.write, loaded[data]) for data in writing if data.write]
            await self._save(room, write)
        # The sockets of users who are no members any more.
        for user_id, may_not_reconnect in room.sockets_to_close.items():
            member = room.loaded.members.get(user_id)
            # Socket numbers are at least their opening time in ms: sockets opened since are spared.
            of_room = member if member and member.live_id == room.live_id else None
            number = of_room.socket if of_room else room.read_at
            self._hub.evict(live_id, user_id, number, may_not_reconnect=may_not_reconnect)
        return outcomes

    async def _save(self, room: Room, add_writes: Iterable[Callable[[WriteBatch], None]]) -> None:
        """Commit the change with all that follows from it, then publish its events."""
        batch, events = WriteBatch(), room.numbered(now_ms())
        add_room_writes(room, events, batch)
        for add in add_writes:
            add(batch)
        for add_consequence in self._consequences:
            await add_consequence(room, events, batch)
        if len(batch):
            await self._rooms.commit(batch)
        for listener in self._listeners:
            listener.publish(room.live_id, events)
            if room.audience_changed:
                listener.mark_audience_changed(room.live_id)
        if events and events[-1].type == LAST_EVENT_TYPE:
            await self._close(room.live_id, room.epoch)

    async def _close(self, live_id: int, epoch: str) -> None:
        """Complete the summary of a live that has ended, and delete its memberships.

        A failure is only logged: they are invalid since their epoch has ended, and the first reader
        of the summary completes it.
        """
        try:
            await self._stores.summaries.complete(live_id, epoch)
            await self._members.clear(live_id, epoch)
        except Exception as error:  # noqa: BLE001 - see above
            log.warning("memberships_cleanup_failed", live_id=live_id, error=type(error).__name__)


def decide(
    room: Room, changes: Iterable[Change], loaded: LoadedData
) -> tuple[dict[Change, Any], set[BatchData[Any, Any]]]:
    """Apply the rules in order.

    Return what each rule returned or its refusal, which leaves the room as it was, and the batch
    data with something to write. Raises ChangeFailed after any other error, since the room may be
    half changed.
    """
    outcomes: dict[Change, Any] = {}
    writing: set[BatchData[Any, Any]] = set()
    for change in changes:
        before = len(room.events)
        try:
            outcomes[change] = change.rule(room, loaded[change.batch_data])
        except QLiveError as refusal:
            outcomes[change] = refusal
            continue
        except Exception as error:
            raise ChangeFailed([change], error) from error
        if room.joins_from_elsewhere:  # the user is in another room by now: a retry would not help
            raise ChangeFailed([change], TryAgain())
        if change.batch_data and len(room.events) > before:
            writing.add(change.batch_data)
    return outcomes, writing


async def _read_data(changes: Sequence[Change]) -> LoadedData:
    """Read the data that the rules need: once for all requests that share a BatchData."""
    loaded: dict[BatchData[Any, Any] | None, Any] = {None: None}
    groups: dict[BatchData[Any, Any], list[Change]] = {}
    for change in changes:
        if change.batch_data:
            groups.setdefault(change.batch_data, []).append(change)
    for batch_data, group in groups.items():
        try:
            loaded[batch_data] = await batch_data.read([change.request for change in group])
        except Exception as error:
            raise ChangeFailed(group, error) from error
    return loaded


def _without_data(rule: Callable[[Room], Any], user_ids: tuple[str, ...]) -> Change:
    return Change(lambda room, _data: rule(room), user_ids)


def _remove_banned(user_id: str) -> Callable[[Room], None]:
    return lambda room: room.remove(user_id, "host", may_reconnect=False)
