"""Lists and searches the members of a room together with their names and pictures."""

from typing import NamedTuple

from rooms.members import Face, Member
from rooms.room import Room
from storage.stores import Stores

SEARCH_BATCH = 500
"""Memberships read per batch while a search filters them by nickname."""


class RoomMember(NamedTuple):
    member: Member
    face: Face


async def find_members(
    stores: Stores, room: Room, query: str, after: str, limit: int
) -> list[RoomMember]:
    """Members by user_id, starting after the user_id `after`; at least `limit` unless they end.

    `query` is the start of a user_id or part of a nickname in any case, "" for all members. Since
    nicknames are in `users`, a search scans the members of the room.
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
    """Members whose user has been deleted meanwhile are left out."""
    users = await stores.users.find_many([member.user_id for member in members])
    faces = {user.user_id: user.person().face() for user in users}
    return [
        RoomMember(member, faces[member.user_id]) for member in members if member.user_id in faces
    ]


def _matches(row: RoomMember, query: str) -> bool:
    return row.member.user_id.startswith(query) or (
        query.casefold() in row.face["nickname"].casefold()
    )
