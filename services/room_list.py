"""Live rooms with their audience counts, largest audience first."""

import time
from collections.abc import Callable, Sequence

from core.batching import SingleFlight
from rooms.members import MemberCounts
from rooms.room import Room
from storage.members import MemberStore
from storage.rooms import RoomStore

ListedRoom = tuple[Room, MemberCounts]
Session = tuple[int, str]
"""live_id and epoch."""

COUNTS_TTL_SECONDS = 1.0
"""Age from which a count is read again: the members of a room receive theirs once a second, too."""


class RoomList:
    """Single-flight read of the list, which every client requests when it starts.

    The rooms are read each time. Counting reads an index key of every member of all rooms, so a
    count is read again only when it is COUNTS_TTL_SECONDS old.
    """

    def __init__(
        self,
        rooms: RoomStore,
        members: MemberStore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rooms = rooms
        self._members = members
        self._clock = clock
        self._reads = SingleFlight(self._read)
        self._counts: dict[Session, tuple[MemberCounts, float]] = {}
        """With the start of the read."""

    async def get(self) -> list[ListedRoom]:
        return await self._reads.get()

    async def _read(self) -> list[ListedRoom]:
        live = await self._rooms.live()
        await self._update_counts([(room.live_id, room.epoch) for room in live])
        listed = [(room, self._counts[room.live_id, room.epoch][0]) for room in live]
        listed.sort(key=lambda it: -it[1].audience)  # stable: ties stay newest first
        return listed

    async def _update_counts(self, sessions: Sequence[Session]) -> None:
        """Keep the counts of these live sessions only, and read those that are new or too old."""
        now = self._clock()
        kept = {
            session: counted
            for session in sessions
            if (counted := self._counts.get(session)) and now - counted[1] < COUNTS_TTL_SECONDS
        }
        if missing := [session for session in sessions if session not in kept]:
            counts = await self._members.counts(missing)
            kept |= {session: (counts[session[0]], now) for session in missing}
        self._counts = kept
