"""Actions of the outbox that end a user's access, here and to Tencent IM.

All are safe to repeat.
"""

from collections.abc import Awaitable, Callable
from math import ceil, inf

from core.clock import now_ms
from rooms.room import Room
from services.group_repairs import MUTE_AGAIN, GroupRepairs
from services.outbox_actions import Action, Payload
from storage.rooms import RoomStore
from storage.tokens import TokenStore
from storage.users import User, UserStore
from tencent.errors import ImGroupMissing
from tencent.im import MUTED_FOR_EVER, ImClient


def sanction_actions(
    im: ImClient,
    users: UserStore,
    rooms: RoomStore,
    tokens: TokenStore,
    enforce_ban: Callable[[str], Awaitable[None]],
    repairs: GroupRepairs,
) -> dict[str, Action]:
    """Bans and sessions are read when the message is delivered, not when it was queued: a later
    change may have overtaken it."""

    async def kick(payload: Payload) -> None:
        """Ends the UserSigs of a user who is banned or has no session, or in any case."""
        user_id = payload["user_id"]
        user = await users.find(user_id)
        banned = user is not None and user.banned
        if payload["even_if_signed_in"] or banned or not await tokens.sessions(user_id):
            await im.kick(user_id)

    async def mute(payload: Payload) -> None:
        """Mutes or unmutes a user in a room's group; again if that has changed meanwhile, since
        the message of the change may have been delivered first."""
        sent: tuple[str, float] | None = None
        while True:
            user, room = await users.find(payload["user_id"]), await rooms.read(payload["live_id"])
            if user is None or room is None:
                return
            until = muted_until(user, room, now_ms())
            if sent == (room.group_id, until):
                return
            try:
                await im.forbid_send_msg(room.group_id, [user.user_id], _seconds_to(until))
            except ImGroupMissing:
                await _replace_group(repairs, room)
                return
            sent = room.group_id, until

    return {
        "ban": lambda payload: enforce_ban(payload["user_id"]),
        "kick": kick,
        "mute": mute,
        MUTE_AGAIN: mute,
    }


async def _replace_group(repairs: GroupRepairs, room: Room) -> None:
    """Order a new group for one that IM has dissolved; GroupService orders the mutes for it.

    A room that is not live gets its group, and the mutes with it, when its next live starts.
    """
    if room.live:
        await repairs.replace(room.live_id, room.group_id)


def muted_until(user: User, room: Room, now: int) -> float:
    """When the user may chat in the room's group again: ms, 0 for now, infinite under a ban."""
    if user.banned and user.muted_in == room.live_id:
        return inf
    return room.blocked[user.user_id] if room.is_banned(user.user_id, now) else 0


def _seconds_to(until: float) -> int:
    return MUTED_FOR_EVER if until == inf else max(0, ceil((until - now_ms()) / 1000))
