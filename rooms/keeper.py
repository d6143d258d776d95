"""The only path that changes a room: load, decide, guarded write, publish.

Changes of one room that arrive while an earlier one is being saved are decided together, on one
loaded room, and saved by one write. A change that finds the room idle waits for nothing.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from core.batching import QUEUE_SECONDS, RequestBatcher
from core.clock import now_ms
from core.errors import TryAgain
from core.retry import retry_on_conflict
from rooms.changes import Change, Failed, Outcome, Preparation, Unprepared, decide, groups
from rooms.errors import HostIsLive, RemovedFromRoom, RoomNotFound
from rooms.events import LAST_EVENT_TYPE, NumberedEvent
from rooms.members import Member, Person
from rooms.room import Room

T = TypeVar("T")
R = TypeVar("R")
C = TypeVar("C")
AnyChange = Change[Any, Any, Any]
AddWrites = Callable[[Any], None]
"""Adds writes that are committed atomically with the room's."""

MAX_BATCH = 32
"""Changes of one room in one write."""
MAX_REMOVE_ATTEMPTS = 5
"""Attempts to remove a user who keeps entering other rooms."""


class RoomStorage(Protocol):
    """Storage of rooms and memberships."""

    async def load(self, live_id: int, user_ids: Sequence[str] = ()) -> Room | None:
        """The room without its log, and these users' memberships of any room."""

    async def save(
        self,
        room: Room,
        events: Sequence[NumberedEvent],
        add_writes: Sequence[AddWrites] = (),
    ) -> None:
        """Write the whole change atomically, or raise WriteConflict; majority-acknowledged."""

    async def clear(self, live_id: int, epoch: str) -> None:
        """Delete the memberships of an ended live session."""

    async def membership_of(self, user_id: str) -> Member | None:
        """The user's membership, of any room."""


class RoomListener(Protocol):
    """Receives every saved change; must neither block nor raise."""

    def publish(self, live_id: int, events: Sequence[NumberedEvent]) -> None: ...

    def mark_audience_changed(self, live_id: int) -> None:
        """The number of people in the room may have changed."""

    def evict(self, live_id: int, user_id: str, number: int, *, banned_until_left: bool) -> None:
        """Close sockets up to `number`; if banned, all of them without reconnect."""


class Keeper:
    """Applies rules to rooms, a batch at a time, with optimistic writes and retries."""

    def __init__(
        self,
        storage: RoomStorage,
        listener: RoomListener,
        *,
        max_batch: int = MAX_BATCH,
        queue_seconds: float = QUEUE_SECONDS,
    ) -> None:
        """`queue_seconds`: longest wait for the batches before."""
        self._storage = storage
        self._listener = listener
        self._batcher: RequestBatcher[AnyChange, Outcome] = RequestBatcher(
            self._change_batch, max_batch, queue_seconds
        )
        self.conflict_retries = 0
        """Number of optimistic-lock retries."""

    async def change(
        self, live_id: int, rule: Callable[[Room], T], *user_ids: str, alone: bool = False
    ) -> T:
        """Apply `rule` to the room and return what it returns.

        An error raised by the rule leaves everything unchanged. `user_ids` are the users whose
        memberships the rule reads; `alone` keeps the change out of batches. RoomNotFound, TryAgain.
        """

        def apply(room: Room, _context: None) -> T:
            return rule(room)

        change: Change[None, None, T] = Change(apply, user_ids, alone=alone)
        result: T = (await self._batcher.submit(live_id, change)).get()
        return result

    async def change_prepared(
        self,
        live_id: int,
        preparation: Preparation[R, C],
        request: R,
        rule: Callable[[Room, C], T],
        *user_ids: str,
    ) -> T:
        """As `change`, with data that `preparation` reads for the requests of a whole batch.

        A WriteConflict repeats everything on the new state, as `retry_on_conflict` does.
        """
        change = Change(rule, user_ids, preparation, request)
        result: T = (await self._batcher.submit(live_id, change)).get()
        return result

    async def load(self, live_id: int, *user_ids: str) -> Room:
        """The stored room; changes to it are not saved. RoomNotFound."""
        return await self._load(live_id, user_ids)

    async def enter(self, live_id: int, person: Person) -> Room:
        """Add a user to a live room, removing them from any other.

        Everything is checked before they leave the other room; HostIsLive if they host it.
        """
        user_id = person.user_id
        member = await self._storage.membership_of(user_id)
        if member and member.live_id != live_id:
            (await self.load(live_id, user_id)).enter(person, now_ms())
            if (await self.load(member.live_id, user_id)).role_of(user_id) == "host":
                raise HostIsLive
            await self.leave_all(user_id, but=live_id)

        def add_member(room: Room) -> tuple[Room, bool]:
            room.enter(person, now_ms())
            return room, user_id in room.joined

        room, joined = await self.change(live_id, add_member, user_id)
        if joined and (await self.load(live_id)).is_banned(user_id, now_ms()):
            # Entering writes the membership only, so a concurrent ban is no WriteConflict.
            await self.change(live_id, lambda room: room.remove_banned(user_id), user_id)
            raise RemovedFromRoom
        return room

    async def remove_user(self, live_id: int, user_id: str, rule: Callable[[Room], bool]) -> bool:
        """Remove a user by `rule`, even while they are entering.

        Returns the rule's result: whether they were on mic.
        """
        on_mic = await self.change(live_id, rule, user_id)
        member = await self._storage.membership_of(user_id)
        if member and member.live_id == live_id:
            await self.change(live_id, lambda room: room.remove_banned(user_id), user_id)
        return on_mic

    async def leave_all(self, user_id: str, reason: str = "left", but: int | None = None) -> None:
        """Remove a user from whichever room they are in, publishing the events.

        `but` is a room in which they may stay, `reason` a key of DEPARTURE_REASONS. TryAgain.
        """
        for _ in range(MAX_REMOVE_ATTEMPTS):
            member = await self._storage.membership_of(user_id)
            if member is None or member.live_id == but:
                return
            await self.change(
                member.live_id, lambda room: room.remove_member(user_id, reason), user_id
            )
        raise TryAgain

    async def _load(self, live_id: int, user_ids: Sequence[str]) -> Room:
        room = await self._storage.load(live_id, user_ids)
        if room is None:
            raise RoomNotFound
        return room

    async def _change_batch(self, live_id: int, changes: Sequence[AnyChange]) -> list[Outcome]:
        outcomes: dict[AnyChange, Outcome] = {}
        for group in groups(changes):
            try:
                outcomes |= await self._change_group(live_id, group)
            except Exception as error:  # noqa: BLE001 - raised to the callers of this group
                outcomes |= dict.fromkeys(group, Outcome(error=error))
        return [outcomes[change] for change in changes]

    async def _change_group(
        self, live_id: int, changes: list[AnyChange]
    ) -> dict[AnyChange, Outcome]:
        """Decide and save changes together; all of them again after a WriteConflict."""
        failed: dict[AnyChange, Outcome] = {}

        async def change_others() -> dict[AnyChange, Outcome]:
            while pending := [change for change in changes if change not in failed]:
                decided = await self._decide_and_save(live_id, pending)
                if not isinstance(decided, Failed):
                    return decided | failed
                failed[decided.change] = Outcome(error=decided.error)
            return failed

        return await retry_on_conflict(change_others, self._count_conflict)

    def _count_conflict(self) -> None:
        self.conflict_retries += 1

    async def _decide_and_save(
        self, live_id: int, changes: list[AnyChange]
    ) -> dict[AnyChange, Outcome] | Failed:
        loaded_at = now_ms()
        user_ids = dict.fromkeys(user_id for change in changes for user_id in change.user_ids)
        room = await self._load(live_id, tuple(user_ids))
        room.expire(loaded_at)
        room.read_at = room.read_at or loaded_at  # unknown in a store without a clock
        contexts = await _prepare(changes)
        decided = decide(room, changes, contexts)
        if isinstance(decided, Failed):
            return decided
        outcomes, writing = decided
        if room.changed:
            await self._save(room, [_bound(it, contexts[it]) for it in writing])
        else:
            self._evict(room)
        return outcomes

    async def _save(self, room: Room, add_writes: Sequence[AddWrites]) -> None:
        events = room.numbered(now_ms())
        await self._storage.save(room, events, add_writes)
        self._listener.publish(room.live_id, events)
        if room.joined or room.gone or room.roles:
            self._listener.mark_audience_changed(room.live_id)
        self._evict(room)
        if events and events[-1].type == LAST_EVENT_TYPE:
            await self._storage.clear(room.live_id, room.epoch)

    def _evict(self, room: Room) -> None:
        for user_id in room.gone | room.not_present:
            member = room.seen.get(user_id) if user_id in room.gone else None
            # Socket numbers are at least their opening time in ms: sockets opened since are spared.
            number = member.socket if member else room.read_at
            banned_until_left = user_id in room.banned_until_left
            self._listener.evict(room.live_id, user_id, number, banned_until_left=banned_until_left)


async def _prepare(changes: Sequence[AnyChange]) -> dict[Preparation[Any, Any], Any]:
    """What the preparations of these changes read, each asked once for all its requests.

    Unprepared if that fails, which does not concern the other changes.
    """
    requests: dict[Preparation[Any, Any], list[Any]] = {}
    for change in changes:
        if change.preparation:
            requests.setdefault(change.preparation, []).append(change.request)
    contexts: dict[Preparation[Any, Any], Any] = {}
    for preparation, asked in requests.items():
        try:
            contexts[preparation] = await preparation.read(asked)
        except Exception as error:  # noqa: BLE001 - raised to the callers
            contexts[preparation] = Unprepared(error)
    return contexts


def _bound(preparation: Preparation[Any, C], context: C) -> AddWrites:
    def add(batch: Any) -> None:
        if preparation.write:
            preparation.write(batch, context)

    return add
