"""Authorizes room subscriptions, builds snapshots, maps errors to close codes."""

import asyncio
from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any

import structlog

from core.batching import BatchLoader
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
        self._rooms: BatchLoader[tuple[Room, RoomView]] = BatchLoader(self._read)

    async def reason_to_close(self, live_id: int, user_id: str) -> CloseCode | None:
        """Return the close code for a socket whose user may no longer be in the room.

        None if they may.
        """
        try:
            await self.authorize(live_id, user_id)
        except Exception as error:  # noqa: BLE001 - every error has a close code
            code = close_code_for(error)
            # A failure of the server closes no socket.
            return None if code == CloseCode.RESTART else code
        return None

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

    async def _read(
        self, live_ids: Sequence[Any]
    ) -> dict[Hashable, tuple[Room, RoomView] | Exception]:
        """Read rooms, each with the view that all its callers of this moment share."""
        reads = [self._stores.rooms.read(live_id) for live_id in live_ids]
        rooms = await asyncio.gather(*reads, return_exceptions=True)
        found: dict[Hashable, tuple[Room, RoomView] | Exception] = {}
        for live_id, room in zip(live_ids, rooms, strict=True):
            if isinstance(room, Room):
                view = RoomView(room.epoch, room.version, partial(self._snapshot, room))
                found[live_id] = room, view
            elif isinstance(room, Exception):
                found[live_id] = room
        return found

    async def _snapshot(self, room: Room) -> Snapshot:
        counts = await self._stores.members.count(room.live_id, room.epoch)
        return room.snapshot(counts, self._play_url)

    def _play_url(self, stream: str) -> str:
        return self._stream_urls.play(stream, now_ms() // 1000)


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
