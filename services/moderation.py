"""Removes users from a room, from all rooms, or from hosting; on every process."""

from collections.abc import Callable, Mapping
from typing import Any

from realtime.bus import TokenRevoked, UserEvicted
from realtime.bus_codec import pack, unpack
from realtime.close_codes import CloseCode
from realtime.hub import Hub
from rooms.keeper import Keeper
from rooms.room import Room
from services.outbox_worker import OutboxWorker
from services.token_cache import TokenCache
from storage.stores import Stores
from storage.users import User


class ModerationService:
    """Removes users and evicts their connections.

    An eviction reaches other processes at once over the bus, and within a second through the
    database when the bus is down.
    """

    def __init__(
        self,
        stores: Stores,
        hub: Hub,
        keeper: Keeper,
        token_cache: TokenCache,
        im_outbox: OutboxWorker,
        im_safety_outbox: OutboxWorker,
        *,
        process_id: str,
        has_im_relay: bool,
    ) -> None:
        self._stores = stores
        self._hub = hub
        self._keeper = keeper
        self._token_cache = token_cache
        self._im_outbox = im_outbox
        self._im_safety_outbox = im_safety_outbox
        self._process_id = process_id
        self._has_im_relay = has_im_relay

    async def evict(self, message: UserEvicted | TokenRevoked) -> None:
        """Close the sockets that the message names, on every process."""
        self._hub.broadcast(message)
        await self._stores.evictions.append(pack(self._process_id, message))

    async def receive_evictions(self) -> None:
        """Apply the evictions that processes have stored since the last call."""
        for packed in await self._stores.evictions.poll():
            if unpacked := unpack(packed):
                self._token_cache.on_message(unpacked[1])
                self._hub.on_message(unpacked[1])

    async def remove_user(
        self, live_id: int, user_id: str, until: int, rule: Callable[[Room], bool]
    ) -> None:
        """Remove a user from one room, and keep them out until then (unix ms).

        That includes the mic, sockets and the chat group.
        """
        on_mic = await self._keeper.remove_user(live_id, user_id, rule)
        await self.evict(UserEvicted(user_id, live_id, CloseCode.PUT_OUT))
        if self._has_im_relay and not on_mic:  # for a user on mic the relay acts on the event
            group_id = (await self._keeper.load(live_id)).group_id
            payload = {"user_id": user_id, "group_id": group_id, "n": until}
            await self._stores.outbox.add("kick_out", payload, urgent=True)
            self._im_safety_outbox.nudge()

    async def change_user(self, user_id: str, changes: Mapping[str, Any]) -> User:
        """Store an operator's changes and apply their effects; returns the changed user.

        A ban removes the user everywhere, a lifted ban clears its reason, and a user who is no
        longer a matchmaker may no longer host. Raises UserNotFound.
        """
        user = await self._stores.users.get(user_id)
        if changes:
            lifted = {"ban_reason": ""} if changes.get("banned") is False else {}
            user = await self._stores.users.update(user_id, **{**changes, **lifted})
        if changes.get("is_matchmaker") is False:
            await self.retire_matchmaker(user_id)
        if changes.get("banned"):
            await self.ban(user_id)
        return user

    async def ban(self, user_id: str) -> None:
        """Remove a banned user from every room and close the socket."""
        await self.evict(UserEvicted(user_id, None, CloseCode.PUT_OUT))
        await self._keeper.leave_all(user_id, "banned")

    async def retire_matchmaker(self, user_id: str) -> None:
        """End the live of a user who may no longer host.

        Also dissolves the room's chat group.
        """
        membership = await self._stores.members.get(user_id)
        if membership and membership.role == "host":
            await self._keeper.leave_all(user_id, "operator")
        if group_id := await self._stores.room_groups.detach(user_id):
            await self._stores.outbox.add("destroy_group", {"group_id": group_id})
            self._im_outbox.nudge()
