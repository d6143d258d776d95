"""The only path that changes a room: load, decide, guarded write, publish."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from core.clock import now_ms
from core.errors import TryAgain, WriteConflict
from core.locks import NamedLocks
from rooms.errors import HostIsLive, RemovedFromRoom, RoomNotFound
from rooms.events import LAST_EVENT_TYPE, NumberedEvent
from rooms.members import Member, Person
from rooms.room import Room

T = TypeVar("T")
C = TypeVar("C")
InTransaction = Callable[[Any, C], Awaitable[None]]
"""Writes committed atomically with the room; arguments: the store's transaction, and what `prepare`
returned."""

RETRY_TIMEOUT_SECONDS = 2.0
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
        in_transaction: Callable[[Any], Awaitable[None]] | None,
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
    """Applies rules to rooms under a lock, with optimistic writes and retries."""

    def __init__(self, storage: RoomStorage, listener: RoomListener, locks: NamedLocks) -> None:
        self._storage = storage
        self._listener = listener
        self._locks = locks
        self.conflict_retries = 0
        """Number of optimistic-lock retries."""

    async def change(self, live_id: int, rule: Callable[[Room], T], *user_ids: str) -> T:
        """Apply `rule` to the room and return what it returns.

        An error raised by the rule leaves everything unchanged. `user_ids` are the users whose
        memberships the rule reads. RoomNotFound, TryAgain.
        """

        async def no_context() -> None:
            return None

        def apply(room: Room, _context: None) -> T:
            return rule(room)

        return await self.change_prepared(live_id, no_context, apply, *user_ids)

    async def change_prepared(
        self,
        live_id: int,
        prepare: Callable[[], Awaitable[C]],
        rule: Callable[[Room, C], T],
        *user_ids: str,
        in_transaction: InTransaction[C] | None = None,
    ) -> T:
        """As `change`, with data that `prepare` reads under the room's lock.

        `prepare` runs after the room has been loaded. Its result is passed to the rule and to
        `in_transaction`, which writes in the room's transaction, only if the rule has added events.
        A WriteConflict repeats everything on the new state, for at most RETRY_TIMEOUT_SECONDS.
        """
        async with self._locks.hold(f"room:{live_id}"):
            deadline = time.monotonic() + RETRY_TIMEOUT_SECONDS
            while True:
                loaded_at = now_ms()
                room = await self._load(live_id, user_ids)
                room.expire(loaded_at)
                room.read_at = room.read_at or loaded_at  # unknown without users' memberships
                context = await prepare()
                expiry_events = len(room.events)
                result = rule(room, context)
                if not room.changed:
                    self._evict(room)
                    return result
                if room.split:  # the user entered another room meanwhile: a retry would not help
                    raise TryAgain
                # `in_transaction` belongs to the rule's events; expiry alone does not run it.
                writes = in_transaction if len(room.events) > expiry_events else None
                try:
                    await self._save(room, _bind(writes, context))
                    return result
                except WriteConflict:
                    self.conflict_retries += 1
                    if time.monotonic() > deadline:
                        raise TryAgain from None
                    await asyncio.sleep(random.uniform(0.001, 0.02))

    async def load(self, live_id: int, *user_ids: str) -> Room:
        """The stored room; changes to it are not saved. RoomNotFound."""
        return await self._load(live_id, user_ids)

    async def enter(self, live_id: int, person: Person) -> Room:
        """Add a user to a live room, removing them from any other.

        Everything is checked before they leave the other room; HostIsLive if they host it.
        """
        user_id = person.user_id
        (await self.load(live_id, user_id)).enter(person, now_ms())
        member = await self._storage.membership_of(user_id)
        if member and member.live_id != live_id:
            if (await self.load(member.live_id, user_id)).role_of(user_id) == "host":
                raise HostIsLive
            await self.leave_all(user_id, but=live_id)

        def add_member(room: Room) -> Room:
            room.enter(person, now_ms())
            return room

        room = await self.change(live_id, add_member, user_id)
        if room.joined and (await self.load(live_id)).is_banned(user_id, now_ms()):
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

    async def _save(
        self, room: Room, in_transaction: Callable[[Any], Awaitable[None]] | None
    ) -> None:
        events = room.numbered(now_ms())
        await self._storage.save(room, events, in_transaction)
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


def _bind(
    in_transaction: InTransaction[C] | None, context: C
) -> Callable[[Any], Awaitable[None]] | None:
    if in_transaction is None:
        return None
    return lambda tx: in_transaction(tx, context)
