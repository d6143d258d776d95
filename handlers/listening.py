"""Who may listen in a room, what they see first, and with which code the others are closed."""

import asyncio

import structlog

from handlers.base import failure_of
from handlers.parts import Parts
from handlers.places import play_url
from realtime.codes import Code
from realtime.opening import Look
from rooms.keeper import now_ms
from rooms.refusals import (
    Banned,
    NoSuchRoom,
    NotLive,
    NotSignedIn,
    NotYourRoom,
    PutOut,
    Refusal,
)
from rooms.room import Room
from rooms.snapshot import snapshot
from storage.database import as_refusal

log = structlog.get_logger("qlive.socket")


async def may_listen(parts: Parts, live_id: int, user_id: str) -> Room:
    """The room for a member who may listen: NotYourRoom, NotLive, Banned, PutOut, NoSuchRoom."""
    user, place = await asyncio.gather(parts.users.get(user_id), parts.members.get(user_id))
    if user.banned:
        raise Banned
    # After the place: whoever is put out of it meanwhile stands in the room as put out.
    room = await parts.rooms.read(live_id)
    if room is None:
        raise NoSuchRoom
    if room.keeps_out(user_id, now_ms()):
        raise PutOut
    if not room.live:
        raise NotLive
    if place is None or room.role_in(place) is None:
        raise NotYourRoom
    return room


async def why_not(parts: Parts, live_id: int, user_id: str) -> Code | None:
    """With which code a socket of this person in this room is to be closed, if it is."""
    failure = await failure_of(may_listen(parts, live_id, user_id))
    if failure is None:
        return None
    code = code_of(failure)
    return None if code == Code.RESTART else code  # not theirs, but our trouble


async def see(parts: Parts, live_id: int, user_id: str) -> Look:
    """The room as a member's socket begins with it; refused like `may_listen`."""
    room = await may_listen(parts, live_id, user_id)
    counts = await parts.members.count(live_id, room.epoch)
    data = snapshot(room, counts, lambda stream: play_url(parts, stream))
    return Look(room.epoch, room.version, data)


def code_of(error: Exception) -> Code:
    """The closing code for what went wrong; RESTART for what is not the caller's fault."""
    refusal = error if isinstance(error, Refusal) else as_refusal(error)
    match refusal:
        case NotSignedIn():
            return Code.TOKEN
        case Banned() | PutOut():
            return Code.PUT_OUT
        case NotLive():
            return Code.ENDED
        case NotYourRoom() | NoSuchRoom():
            return Code.NOT_A_MEMBER
        case None:
            log.error("failed", exc_info=error)
    return Code.RESTART
