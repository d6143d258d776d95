"""Removes users from a room, from all rooms, or from hosting; blocks between users; mutes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

from core.clock import now_ms
from realtime.bus import UserEvicted
from realtime.frames import CloseCode
from rooms.changing_room import differing
from rooms.errors import NotInRoom
from rooms.events import NewEvent, NumberedEvent
from rooms.members import Person
from rooms.room import Room
from services.accounts.matches import MatchService
from services.accounts.sessions import EvictionService, SessionService
from services.chat.groups import GroupService
from services.room_changes import RoomChanges
from storage.accounts.users import User
from storage.database import Session
from storage.jobs.outbox import OutboxStore
from storage.stores import Stores
from storage.webhooks.payloads import UserBannedPayload
from storage.write_batch import WriteBatch


async def mute_in_chat(
    outbox: OutboxStore, room: Room, _events: Sequence[NumberedEvent], batch: WriteBatch
) -> None:
    """Have IM mute and unmute the users whose ban or mute has changed, or all of them."""
    before = room.loaded
    if room.epoch != before.epoch:
        return  # bans that have ended by themselves
    users = {*differing(before.bans, room.bans), *differing(before.muted, room.muted)}
    everybody: list[dict[str, str]] = [{}] if room.mute_all != before.mute_all else []
    for target in [*({"user_id": user_id} for user_id in sorted(users)), *everybody]:
        outbox.add_to(batch, "mute", {**target, "live_id": room.live_id}, urgent=True)


@dataclass
class RemovalService:
    """Removes and bans users: in the database first, then their sockets, then at Tencent."""

    _stores: Stores
    _room_changes: RoomChanges
    _evictions: EvictionService
    _sessions: SessionService
    _groups: GroupService
    _matches: MatchService
    _: KW_ONLY
    has_im_relay: bool

    async def ban_from_room(
        self, live_id: int, user_id: str, minutes: int, actor: Person | None = None
    ) -> None:
        """Remove a user from one room, and keep them out, for its host, a deputy or an operator.

        That includes the mic, sockets and the chat group, in which the room's change mutes them.
        `actor` is None for an operator. Raises UserNotFound, or as Room.ban.
        """
        person = (await self._stores.users.get(user_id)).person()
        until = now_ms() + minutes * 60_000
        on_mic = await self._room_changes.ban(live_id, person, until, actor)
        removed_at = await self._stores.evictions.now_ms()
        await self._evictions.evict(UserEvicted(user_id, live_id, CloseCode.PUT_OUT, removed_at))
        if self.has_im_relay and not on_mic:  # for a user on mic the relay acts on the event
            group_id = (await self._room_changes.load(live_id)).group_id
            payload = {"user_id": user_id, "group_id": group_id, "n": until}
            await self._stores.outbox.add("kick_out", payload, urgent=True)

    async def block(self, user: User, other_id: str) -> None:
        """Block a user, which ends follows, matches, invitations and deputyships between the two.

        Raises UserNotFound or TooManyBlocks.
        """
        other, user_id = await self._stores.users.get(other_id), user.user_id
        await self._stores.user_blocks.put(user_id, other_id)
        await self._matches.end(user_id, other_id)
        await self._room_changes.separate(user.person(), other.person())
        await self._stores.follows.drop(user_id, other_id)
        await self._stores.follows.drop(other_id, user_id)

    async def change(self, live_id: int, rule: Callable[[Room], None], *user_ids: str) -> None:
        """Lift a ban, or set or lift a mute, by a rule; the room's change orders it at IM."""
        await self._room_changes.change(live_id, rule, *user_ids)

    async def mute(self, live_id: int, actor: Person, user_id: str, until: int) -> None:
        """Mute a member, or a user who has been in the present live, or lift a mute.

        Raises as Room.mute.
        """
        users = actor.user_id, user_id
        try:
            await self.change(live_id, lambda room: room.mute(actor, user_id, until), *users)
        except NotInRoom:  # most are members: they need no read of the visits
            epoch = (await self._room_changes.load(live_id)).epoch
            if not await self._stores.visits.has(epoch, user_id):
                raise
            await self.change(live_id, lambda room: room.mute(actor, user_id, until, epoch), *users)

    async def change_user(self, user_id: str, changes: Mapping[str, Any]) -> User:
        """Store an operator's changes and apply their effects; return the changed user.

        A ban removes the user everywhere, a lifted ban clears its reason, and a user who is no
        longer a matchmaker may no longer host. Raises UserNotFound.
        """
        user = await self._stores.users.get(user_id)
        match changes.get("banned"):
            case True:
                user = await self._ban(user_id, changes)
            case False:
                user = await self._lift_ban(user_id, changes)
            case None if changes:
                user = await self._stores.users.update(user_id, **changes)
        if changes.get("is_matchmaker") is False:
            await self._groups.retire_host(user_id)
        return user

    async def _ban(self, user_id: str, changes: Mapping[str, Any]) -> User:
        """Store the ban, end all sessions, and remove the user from every room.

        The outbox repeats all that follows the storing, in case that this process dies before.
        The user keeps no way to chat: IM ends their UserSigs, and mutes them in the group of the
        room in which they are. If the user is in no room, the room of an earlier ban
        stays muted.
        """
        if member := await self._stores.members.get(user_id):
            changes = {**changes, "muted_in": member.live_id}

        async def enqueue(session: Session, user: User) -> None:
            add, payload = self._stores.outbox.add, {"user_id": user_id}
            await add("ban", payload, session, urgent=True, key=user_id)  # `enforce_ban`
            await add("kick", {**payload, "even_if_signed_in": False}, session, urgent=True)
            await self._enqueue_mute(user_id, user.muted_in, session)
            banned = NewEvent("user.banned", UserBannedPayload(user_id=user_id))
            await self._stores.webhooks.add(session, banned)

        user = await self._stores.users.update_with(user_id, enqueue, **changes)
        await self.enforce_ban(user_id)  # at once, although the outbox repeats it
        return user

    async def enforce_ban(self, user_id: str) -> None:
        """End a banned user's sessions, deputyships and matches, and remove them from every room.

        Safe to repeat. Does nothing for a user whose ban was lifted meanwhile, and spares what the
        user has begun since: sessions and sockets are read before the ban.
        """
        seen_at = await self._stores.evictions.now_ms()
        sessions = await self._stores.tokens.sessions(user_id)
        if not await self._banned_user(user_id):
            return
        # Before the tokens: sockets are to close with the code of a ban.
        await self._evictions.evict(UserEvicted(user_id, None, CloseCode.PUT_OUT, seen_at))
        for session in sessions:
            await self._sessions.revoke(user_id, session.id)
        if user := await self._banned_user(user_id):
            await self._room_changes.remove(user_id, "banned")
            await self._room_changes.end_deputy(user.person())
            await self._matches.end_all(user_id)

    async def _banned_user(self, user_id: str) -> User | None:
        user = await self._stores.users.find(user_id)
        return user if user and user.banned else None

    async def _lift_ban(self, user_id: str, changes: Mapping[str, Any]) -> User:
        """Store the end of the ban and undo its mute; the user has to log in again."""

        async def unmute(session: Session, user: User) -> None:
            await self._enqueue_mute(user_id, user.muted_in, session)
            await self._stores.users.update(user_id, session, muted_in=0)

        changes = {**changes, "ban_reason": ""}
        user = await self._stores.users.update_with(user_id, unmute, **changes)
        return replace(user, muted_in=0)

    async def _enqueue_mute(self, user_id: str, live_id: int, session: Session) -> None:
        """Mute or unmute, as the database has it by the time of the delivery."""
        if live_id:
            payload = {"user_id": user_id, "live_id": live_id}
            await self._stores.outbox.add("mute", payload, session, urgent=True)
