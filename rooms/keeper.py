"""The one path by which a room changes: load, decide, save with a guard, then tell."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from rooms.events import LAST, Numbered
from rooms.locks import Locks
from rooms.people import Member, Person
from rooms.refusals import HostIsLive, NoSuchRoom, PutOut, TryAgain
from rooms.room import Room

T = TypeVar("T")
Also = Callable[[Any, Room], Awaitable[None]]
"""Writes that must happen with the room's or not at all: (the store's transaction, the room)."""

PATIENCE_SECONDS = 2.0
TAKE_OUTS = 5
"""How often somebody is taken out who keeps coming in somewhere else."""


class Raced(Exception):
    """Somebody else saved before us: load and decide again."""


class Store(Protocol):
    """Where rooms and the places in them are kept."""

    async def load(self, live_id: int, people: Sequence[str] = ()) -> Room | None:
        """The room without its log, with the places of `people`, wherever these are."""

    async def save(self, room: Room, told: Sequence[Numbered], also: Also | None) -> None:
        """Write all that the change did, or raise Raced; acknowledged by the majority."""

    async def clear(self, live_id: int, epoch: str) -> None:
        """Forget the places in a life of a room that has ended."""

    async def place_of(self, user_id: str) -> Member | None:
        """Where somebody is."""


class Ears(Protocol):
    """Who is told after a change was saved; never waits, never raises."""

    def tell(self, live_id: int, told: Sequence[Numbered]) -> None: ...

    def stir(self, live_id: int) -> None:
        """The number of people in the room may have changed."""

    def show_out(self, live_id: int, user_id: str, number: int, *, barred: bool) -> None:
        """This person is no longer in that room, with any socket up to this number; `barred`: with
        any at all, and is not to come back."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Keeper:
    """Rooms are changed by `change`, seen by `look`, and left for another by `take_out`."""

    def __init__(self, store: Store, ears: Ears, locks: Locks) -> None:
        self._store = store
        self._ears = ears
        self._locks = locks
        self.races = 0
        """How often a change was decided again, since somebody else had been first."""

    async def change(
        self,
        live_id: int,
        rule: Callable[[Room], T],
        *people: str,
        also: Also | None = None,
        learn: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """Apply `rule` to the room; a Refusal it raises leaves everything as it was.

        `also` is written together with what the rule says, and not when it says nothing.
        `learn` reads what else the rule goes by, once the room is read: of two who bring news of
        one thing, the one who was late brings the later news or none.
        `people` are those whose places the rule looks at. Whoever loses the race against
        another process decides again on the new state, for at most PATIENCE_SECONDS.
        """
        async with self._locks.hold(f"room:{live_id}"):
            deadline = time.monotonic() + PATIENCE_SECONDS
            while True:
                seen_at = now_ms()
                room = await self._load(live_id, people)
                room.expire(seen_at)
                if learn:
                    await learn()
                expired = len(room.events)
                answer = rule(room)
                if not room.changed:
                    self._show_out(room, seen_at)
                    return answer
                if room.split:  # they came into another room meanwhile: no decision heals that
                    raise TryAgain
                try:
                    # What only expired here is not what `also` belongs to.
                    await self._save(room, also if len(room.events) > expired else None, seen_at)
                    return answer
                except Raced:
                    self.races += 1
                    if time.monotonic() > deadline:
                        raise TryAgain from None
                    await asyncio.sleep(random.uniform(0.001, 0.02))

    async def look(self, live_id: int, *people: str) -> Room:
        """The room as it is; NoSuchRoom."""
        return await self._load(live_id, people)

    async def enter(self, live_id: int, person: Person) -> Room:
        """Bring somebody into a live room, out of wherever else they are.

        Everything is checked before they leave the other room; HostIsLive when they host it.
        """
        user_id = person.user_id
        (await self.look(live_id, user_id)).enter(person, now_ms())
        place = await self._store.place_of(user_id)
        if place and place.live_id != live_id:
            if (await self.look(place.live_id, user_id)).role_of(user_id) == "host":
                raise HostIsLive
            await self.take_out(user_id, but=live_id)

        def come_in(room: Room) -> Room:
            room.enter(person, now_ms())
            return room

        room = await self.change(live_id, come_in, user_id)
        if room.joined and (await self.look(live_id)).keeps_out(user_id, now_ms()):
            # Put out while they came in; nothing of the room itself was written that could clash.
            await self.change(live_id, lambda room: room.bar(user_id), user_id)
            raise PutOut
        return room

    async def put_out(self, live_id: int, user_id: str, rule: Callable[[Room], bool]) -> bool:
        """Somebody is put out by `rule`, even if they are just coming in. What the rule says:
        whether they were on mic."""
        on_mic = await self.change(live_id, rule, user_id)
        place = await self._store.place_of(user_id)
        if place and place.live_id == live_id:
            await self.change(live_id, lambda room: room.bar(user_id), user_id)
        return on_mic

    async def take_out(self, user_id: str, reason: str = "left", but: int | None = None) -> None:
        """Take somebody out of wherever they are, with the events that belong to it.

        `but` names the room in which they may stay.
        """
        for _ in range(TAKE_OUTS):
            place = await self._store.place_of(user_id)
            if place is None or place.live_id == but:
                return
            await self.change(place.live_id, lambda room: room.depart(user_id, reason), user_id)
        raise TryAgain

    async def _load(self, live_id: int, people: Sequence[str]) -> Room:
        room = await self._store.load(live_id, people)
        if room is None:
            raise NoSuchRoom
        return room

    async def _save(self, room: Room, also: Also | None, seen_at: int) -> None:
        told = room.numbered(now_ms())
        await self._store.save(room, told, also)
        self._ears.tell(room.live_id, told)
        if room.joined or room.gone or room.roles:
            self._ears.stir(room.live_id)
        self._show_out(room, seen_at)
        if told and told[-1].type == LAST:
            await self._store.clear(room.live_id, room.epoch)

    def _show_out(self, room: Room, seen_at: int) -> None:
        for user_id in room.gone | room.absent:
            place = room.seen.get(user_id) if user_id in room.gone else None
            # Sockets are numbered by the time in ms: whoever was not here may be back since.
            number = place.socket if place else seen_at
            barred = user_id in room.barred
            self._ears.show_out(room.live_id, user_id, number, barred=barred)
