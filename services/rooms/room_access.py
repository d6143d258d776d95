"""Authorizes room subscriptions, builds snapshots, maps errors to close codes."""

import asyncio
from functools import partial

import structlog

from core.batching import SingleFlight
from core.clock import now_ms
from core.errors import QLiveError
from realtime.frames import CloseCode
from realtime.resume import RoomView
from rooms.errors import NotAMember, NotLive, RemovedFromRoom, RoomNotFound
from rooms.members import Member
from rooms.room import Room
from rooms.state import Snapshot
from services.errors import AccountBanned, NotAuthenticated
from storage.errors import UserNotFound, storage_error
from storage.stores import Stores
from tencent.cloud_api import StreamUrls

log = structlog.get_logger("qlive.socket")


class RoomAccess:
    """Decides who may subscribe to a room, and what a subscriber receives first."""

    def __init__(self, stores: Stores, stream_urls: StreamUrls) -> None:
        self._stores = stores
        self._stream_urls = stream_urls
        self._rooms = SingleFlight(self._read)

    async def authorize(self, live_id: int, user_id: str) -> RoomView:
        """Return the room, if the user may subscribe to it.

        Raises UserNotFound, AccountBanned, or as `load_view`.
        """
        stores = self._stores
        user, member = await asyncio.gather(stores.users.find(user_id), stores.members.get(user_id))
        if user is None:
            raise UserNotFound
        if user.banned:
            raise AccountBanned
        return await self.load_view(live_id, user_id, member)

    async def load_view(self, live_id: int, user_id: str, member: Member | None) -> RoomView:
        """Return the room, if the user may subscribe to it with this membership.

        Raises RoomNotFound, RemovedFromRoom, NotLive or NotAMember. The room is read after the
        membership: a user removed in between is already banned in the room.
        """
        found = await self._rooms.get(live_id)
        if found is None:
            raise RoomNotFound
        room, view = found
        if room.is_banned(user_id, now_ms()):
            raise RemovedFromRoom
        if not room.live:
            raise NotLive
        if member is None or room.role_in(member) is None:
            raise NotAMember
        return view

    async def load_room(self, live_id: int) -> RoomView | None:
        """Return a live room for members who are in it already; None if it is not live."""
        found = await self._rooms.get(live_id)
        return found[1] if found and found[0].live else None

    async def _read(self, live_id: int) -> tuple[Room, RoomView] | None:
        """Read a room, with the view that all its callers of this moment share."""
        room = await self._stores.rooms.read(live_id)
        if room is None:
            return None
        return room, RoomView(room.epoch, room.version, partial(self._snapshot, room))

    async def _snapshot(self, room: Room) -> Snapshot:
        counts = await self._stores.members.count(room.live_id, room.epoch)
        now = now_ms() // 1000
        return room.snapshot(counts, lambda stream: self._stream_urls.play(stream, now))


def close_code_for(error: Exception) -> CloseCode:
    """Return the close code for an error; RESTART (reconnect) when the client is not at fault."""
    refusal = error if isinstance(error, QLiveError) else storage_error(error)
    match refusal:
        case NotAuthenticated():
            return CloseCode.TOKEN
        case AccountBanned() | RemovedFromRoom():
            return CloseCode.PUT_OUT
        case NotLive():
            return CloseCode.ENDED
        case NotAMember() | RoomNotFound() | UserNotFound():
            return CloseCode.NOT_A_MEMBER
        case None:
            log.error("request_failed", exc_info=error)
    return CloseCode.RESTART
