"""Actions of the outbox by message kind. All are safe to repeat."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import ceil, inf

from core.clock import now_ms
from rooms.room import Room
from services.chat.groups import GroupService, queue_group_message
from services.chat.im_messages import kickout_message
from services.jobs.outbox_jobs import Actions, Payload
from storage.accounts.users import User
from storage.jobs.outbox import ENSURE_GROUP, MUTE_AGAIN, REPLACE_GROUP
from storage.stores import Stores
from tencent.cloud_api import LiveStreamingClient
from tencent.errors import ImGroupMissing
from tencent.im import MUTED_FOR_EVER, ImClient


@dataclass
class ImActions:
    """Calls of IM, with profiles, bans and sessions as they are at the delivery.

    A message may have been queued before a later change, and delivered after it.
    """

    _im: ImClient
    _stores: Stores
    _groups: GroupService
    _show_in_room: Callable[[str], Awaitable[None]]
    """Repeats an update of a user's room that may have been cut short."""
    _enforce_ban: Callable[[str], Awaitable[None]]

    @property
    def by_kind(self) -> Actions:
        return {
            "account_import": self._import_account,
            "account_delete": self._delete_account,
            "portrait_set": self._set_portrait,
            "destroy_group": lambda payload: self._im.destroy_group(payload["group_id"]),
            "kick_out": self._kick_out,
            ENSURE_GROUP: lambda payload: self._groups.ensure(
                payload["live_id"], payload["group_id"]
            ),
            REPLACE_GROUP: lambda payload: self._groups.replace(
                payload["live_id"], payload["group_id"]
            ),
            "ban": lambda payload: self._enforce_ban(payload["user_id"]),
            "kick": self._kick,
            "mute": self._mute,
            MUTE_AGAIN: self._mute,
            "friendship": self._set_friendship,
        }

    async def _import_account(self, payload: Payload) -> None:
        if user := await self._present(payload["user_id"]):
            await self._im.account_import(user.user_id, user.nickname, user.face_url)

    async def _delete_account(self, payload: Payload) -> None:
        # IM permits the deletion of some accounts only.
        if not await self._im.account_delete(payload["user_id"]):
            await self._im.portrait_set(payload["user_id"], "", "", 0)

    async def _set_portrait(self, payload: Payload) -> None:
        if await self._present(payload["user_id"]):
            await self._show_in_room(payload["user_id"])
        if user := await self._present(payload["user_id"]):
            await self._im.portrait_set(user.user_id, user.nickname, user.face_url, user.gender)

    async def _present(self, user_id: str) -> User | None:
        """Return the user, unless deleted: so is their account at IM, which must not return."""
        user = await self._stores.users.find(user_id)
        return user if user and user.deleted_at is None else None

    async def _kick_out(self, payload: Payload) -> None:
        if now_ms() > payload["n"]:
            return  # the ban is over, and the user may be back
        message = kickout_message(payload["user_id"], payload["group_id"], payload["n"])
        await self._im.send_text(message.to, message.text, message.random, message.seconds)

    async def _kick(self, payload: Payload) -> None:
        """End the UserSigs of a user who is banned or has no session, or in any case."""
        user_id = payload["user_id"]
        user = await self._stores.users.find(user_id)
        banned = user is not None and user.banned
        must_end = payload["even_if_signed_in"] or banned
        if must_end or not await self._stores.tokens.sessions(user_id):
            await self._im.kick(user_id)

    async def _mute(self, payload: Payload) -> None:
        """Mute or unmute a user, or without `user_id` all users, in a room's group.

        Repeats it if that has changed, since the message of the change may have come first.
        """
        user_id, sent = payload.get("user_id"), None
        while room := await self._stores.rooms.read(payload["live_id"]):
            user = await self._present(user_id) if user_id else None
            if user_id and user is None:
                return
            until = _muted_until(user, room, now_ms())
            if sent == (room.group_id, until):
                return
            try:
                if user_id:
                    left = max(0, until - now_ms()) / 1000
                    seconds = MUTED_FOR_EVER if left == inf else ceil(left)
                    await self._im.forbid_send_msg(room.group_id, user_id, seconds)
                else:
                    await self._im.mute_group(room.group_id, on=until > 0)
            except ImGroupMissing:
                # GroupService orders the mutes for the new group. A room that is not live gets its
                # group, and the mutes with it, when its next live starts.
                if room.live:
                    await queue_group_message(
                        self._stores.outbox, REPLACE_GROUP, room.live_id, room.group_id
                    )
                return
            sent = room.group_id, until

    async def _set_friendship(self, payload: Payload) -> None:
        """Make two users friends while they are matched; repeat it if that has changed."""
        users, sent = payload["users"], None
        while sent != (is_matched := (await self._stores.matches.of(*users)).is_matched):
            change = self._im.add_friends if is_matched else self._im.delete_friends
            await change(*users)
            sent = is_matched


def live_streaming_actions(live_streaming: LiveStreamingClient) -> Actions:
    """Return the kinds of message that are sent to CSS; all others go to IM."""

    async def drop_stream(payload: Payload) -> None:
        # Newest first: it may still be pushed.
        for stream in reversed(payload["streams"]):
            await live_streaming.drop(stream)

    return {
        "drop_stream": drop_stream,
        "forbid_stream": lambda payload: live_streaming.forbid(payload["stream"], payload["until"]),
    }


def _muted_until(user: User | None, room: Room, now: int) -> float:
    """Return in ms until when the user, or (None) all users, may not write; may be infinite."""
    if user is None:
        return inf if room.mute_all else 0
    if user.banned and user.muted_in == room.live_id:
        return inf
    until = max(room.bans.get(user.user_id, 0), room.muted.get(user.user_id, 0))
    return until if until > now else 0
