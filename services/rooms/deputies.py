"""Deputies, who keep order in the lives of a host."""

from dataclasses import dataclass

from core.clock import now_ms
from rooms.errors import NotHost
from rooms.room import Room
from services.errors import Blocked
from services.moderation.user_safety import UserSafetyService
from services.room_changes import RoomChanges
from storage.accounts.users import User
from storage.stores import Stores


@dataclass
class DeputyService:
    """Names deputies, and ends their service."""

    _stores: Stores
    _room_changes: RoomChanges
    _user_safety: UserSafetyService

    async def name(self, host: User, user_id: str, live_id: int | None) -> None:
        """Make a member, or a follower of the host whom the room does not ban, a deputy.

        Raises UserNotFound, Blocked, or as Room.name_deputy.
        """
        person = (await self._stores.users.get(user_id)).person()
        await self._user_safety.check_pair(host, user_id)
        live_id = live_id or await self._room_of(host)
        follows = await self._stores.follows.has(user_id, host.user_id)

        def name(room: Room) -> None:
            may_be_outside = follows and not room.is_banned(user_id, now_ms())
            room.name_deputy(host.user_id, person, follows=may_be_outside)

        await self._room_changes.change(live_id, name, user_id)
        # A block since the check above has found no deputy to end.
        if await self._stores.user_blocks.among(host.user_id, [user_id]):
            await self._room_changes.separate(person, host.person())
            raise Blocked

    async def end(self, actor: User, user_id: str, live_id: int | None) -> None:
        """End a user's service, as the host, or resign: in one room, or without it in all.

        Raises UserNotFound, or as Room.end_deputy.
        """
        person, actor_id = (await self._stores.users.get(user_id)).person(), actor.user_id
        if user_id == actor_id and live_id is None:
            await self._room_changes.end_deputy(person)
            return
        live_id = live_id or await self._room_of(actor)
        await self._room_changes.change(live_id, lambda room: room.end_deputy(person, actor_id))

    async def _room_of(self, host: User) -> int:
        room = await self._stores.rooms.of_host(host.user_id)
        if room is None:
            raise NotHost
        return room.live_id
