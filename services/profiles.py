"""Updates a user's profile, and publishes it to the room and to IM."""

from typing import Any

from realtime.hub import Hub
from rooms.keeper import Keeper
from rooms.members import Person
from rooms.room import Room
from services.outbox_worker import OutboxWorker
from storage.stores import Stores
from storage.users import User


class ProfileService:
    """Changes the profiles of users, where they are stored and where they are shown."""

    def __init__(self, stores: Stores, keeper: Keeper, hub: Hub, im_outbox: OutboxWorker) -> None:
        self._stores = stores
        self._keeper = keeper
        self._hub = hub
        self._im_outbox = im_outbox

    async def update(self, old: User, **changes: Any) -> User:
        """Store the changes, then update the user's room and, if the face changed, IM."""
        user = await self._stores.users.update_profile(old.user_id, **changes)
        if membership := await self._stores.members.get(user.user_id):
            await self._update_room(membership.live_id, user.user_id)
            self._hub.mark_audience_changed(membership.live_id)
        if user.person().face() != old.person().face():
            payload = {"user_id": user.user_id}
            await self._stores.outbox.add("portrait_set", payload, key=user.user_id)
            self._im_outbox.nudge()
        return user

    async def _update_room(self, live_id: int, user_id: str) -> None:
        """Reads the profile under the room's lock, so that the latest one wins."""

        async def prepare() -> Person:
            return (await self._stores.users.get(user_id)).person()

        def apply(room: Room, person: Person) -> None:
            room.update_profile(person)

        await self._keeper.change_prepared(live_id, prepare, apply, user_id)
