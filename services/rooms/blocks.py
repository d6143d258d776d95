"""Blocks between users, and what they end."""

from dataclasses import dataclass

from services.room_changes import RoomChanges
from storage.accounts.users import User
from storage.stores import Stores


@dataclass
class BlockService:
    """Blocks users, and ends what connects the two."""

    _stores: Stores
    _room_changes: RoomChanges

    async def block(self, user: User, other_id: str) -> None:
        """Block a user, which ends follows, matches, invitations and deputyships between the two.

        Raises UserNotFound or TooManyBlocks.
        """
        other, user_id = await self._stores.users.get(other_id), user.user_id
        await self._stores.user_blocks.put(user_id, other_id)
        await self._stores.pairs.end(user_id, other_id)
        await self._room_changes.separate(user.person(), other.person())
        await self._stores.follows.drop(user_id, other_id)
        await self._stores.follows.drop(other_id, user_id)
