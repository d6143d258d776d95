"""Follows between users, and the frame that announces a live to followers."""

import asyncio
from collections.abc import Set
from contextvars import Context

import structlog

from core.clock import now_ms
from people.user_events import InvitationHost, LiveStart
from realtime.bus import Bus, LiveStarted
from realtime.hub import Hub
from services.errors import Blocked
from services.moderation.user_safety import UserSafetyService
from storage.accounts.users import User
from storage.stores import Stores

log = structlog.get_logger("qlive.accounts")


class FollowService:
    """Changes and lists follows, and announces lives to followers connected to this process."""

    def __init__(self, stores: Stores, bus: Bus, hub: Hub, user_safety: UserSafetyService) -> None:
        self._stores = stores
        self._hub = hub
        self._user_safety = user_safety
        self._announcing: set[asyncio.Task[None]] = set()
        bus.subscribe(self._on_live_started, LiveStarted)

    async def change(self, user: User, other_id: str, *, on: bool) -> int:
        """Follow or unfollow a user; return the number of their followers.

        Raises UserNotFound, Blocked or TooManyFollows.
        """
        stores, follows, user_id = self._stores, self._stores.follows, user.user_id
        _, room = await asyncio.gather(stores.users.get(other_id), stores.rooms.of_host(other_id))
        if not on:  # also after a block whose process was killed before it ended the follow
            await follows.drop(user_id, other_id)
            return await follows.count(other_id)
        await self._user_safety.check_pair(user, other_id)
        await follows.put(user_id, other_id, room.epoch if room and room.live else "")
        # A block since the check above has found no follow to end.
        if await stores.user_blocks.among(user_id, [other_id]):
            await follows.drop(user_id, other_id)
            raise Blocked
        return await follows.count(other_id)

    async def page(self, user_id: str, offset: int, size: int) -> list[tuple[User, int | None]]:
        """Return users whom a user follows, each with the live_id of their live, if there is one.

        Those with a live come first, the latest first, then the newest follows. A private live is
        left out.
        """
        followed = await self._stores.follows.followed_by(user_id)
        lives = await self._stores.rooms.hosted_by(followed)
        ordered = [*lives, *(other for other in followed if other not in lives)]
        users = await self._stores.users.find_many(ordered[offset : offset + size])
        return [
            (user, None if user.banned else lives.get(user.user_id))
            for user in users
            if user.deleted_at is None
        ]

    async def announce(self, live_id: int) -> None:
        """Send `live_started` to the followers who are connected to this process."""
        room = await self._stores.rooms.read(live_id)
        if room is None or not room.live or room.visibility == "private":
            return
        host = room.owner.person

        async def followers(user_ids: Set[str]) -> Set[str]:
            found = await self._stores.follows.followers_among(host.user_id, user_ids)
            return {user_id for user_id in found if not room.is_banned(user_id, now_ms())}

        shown = InvitationHost(user_id=host.user_id, nickname=host.nickname, face_url=host.face_url)
        data = LiveStart(host=shown, live_id=live_id, room_name=room.name)
        await self._hub.send_to_users("live_started", data, followers)

    def _on_live_started(self, message: LiveStarted) -> None:
        """Announce the live in a task: neither the bus nor the host waits for it."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._try_to_announce(message.live_id), context=Context())
        self._announcing.add(task)
        task.add_done_callback(self._announcing.discard)

    async def _try_to_announce(self, live_id: int) -> None:
        try:
            await self.announce(live_id)
        except Exception as error:  # noqa: BLE001 - the frame is sent once or not at all
            log.warning("live_not_announced", live_id=live_id, error=type(error).__name__)
