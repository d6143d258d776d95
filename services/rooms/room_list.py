"""Lists of live rooms, and of the members of a room."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.batching import SingleFlight
from core.cache import Cache
from rooms.members import Member, MemberCounts, Role
from rooms.room import Room
from storage.rooms.members import MemberStore
from storage.rooms.rooms import RoomStore
from storage.stores import Stores

ListedRoom = tuple[Room, MemberCounts]
Session = tuple[int, str]
"""live_id and epoch."""

COUNTS_TTL_SECONDS = 1.0
"""Age from which a count is read again: the members of a room receive theirs once a second, too."""
MAX_COUNTS = 10_000
"""Live rooms whose counts are kept, about 4 MB."""
SEARCH_BATCH = 500
"""Memberships read per batch while a search filters them by nickname."""


class RoomList:
    """Live rooms with their audience counts, largest audience first.

    Every client requests the list when it starts: concurrent requests share one read of the rooms.
    Counting reads an index key of every member of all rooms, so a count is read again only when it
    is COUNTS_TTL_SECONDS old.
    """

    def __init__(self, rooms: RoomStore, members: MemberStore) -> None:
        self._rooms = rooms
        self._members = members
        self._reads = SingleFlight(self._read)
        self._cache: Cache[Session, MemberCounts] = Cache(COUNTS_TTL_SECONDS, MAX_COUNTS)

    async def get(self) -> list[ListedRoom]:
        return await self._reads.get()

    async def _read(self) -> list[ListedRoom]:
        live = await self._rooms.live()
        counts = await self._count([(room.live_id, room.epoch) for room in live])
        listed = [(room, counts[room.live_id, room.epoch]) for room in live]
        listed.sort(key=lambda row: -row[1].audience)  # stable: ties stay newest first
        return listed

    async def _count(self, sessions: Sequence[Session]) -> Mapping[Session, MemberCounts]:
        counts = {row: cached for row in sessions if (cached := self._cache.get(row))}
        if missing := [session for session in sessions if session not in counts]:
            start = self._cache.begin_read()
            found = await self._members.counts(missing)
            for session in missing:
                counts[session] = found[session[0]]
                self._cache.put(session, counts[session], start)
        return counts


@dataclass(frozen=True, slots=True)
class RoomMember:
    """A member with name and picture; `away_at` (ms) is null while the member is connected."""

    user_id: str
    nickname: str
    face_url: str
    gender: int
    role: Role
    entered_at: int
    away_at: int | None


async def find_members(
    stores: Stores, room: Room, query: str, after: str, limit: int
) -> list[RoomMember]:
    """Return members by user_id, starting after the user_id `after`.

    There are at least `limit` unless they end. `query` is the start of a user_id or part of a
    nickname in any case, "" for all members. Since nicknames are in `users`, a search scans the
    members of the room.
    """
    found: list[RoomMember] = []
    size = SEARCH_BATCH if query else limit
    while len(found) < limit:
        members = await stores.members.list_members(room.live_id, room.epoch, after, size)
        found += [row for row in await _with_faces(stores, members) if _matches(row, query)]
        if len(members) < size:
            break
        after = members[-1].user_id
    return found


async def _with_faces(stores: Stores, members: list[Member]) -> list[RoomMember]:
    """Return the members without those whose user has been deleted meanwhile."""
    users = await stores.users.find_many([member.user_id for member in members])
    faces = {user.user_id: user.person().public_profile() for user in users}
    return [
        RoomMember(
            **faces[member.user_id],
            role=member.role,
            entered_at=member.entered_at,
            away_at=member.away_at,
        )
        for member in members
        if member.user_id in faces
    ]


def _matches(row: RoomMember, query: str) -> bool:
    return row.user_id.startswith(query) or query.casefold() in row.nickname.casefold()
