"""Decides which sockets a room has: at a join, and again while they are open."""

import asyncio
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from math import ceil
from typing import Any, TypedDict

import structlog

from core.batching import BatchLoader
from core.clock import now_ms
from core.errors import QLiveError, TryAgain
from realtime.bus import Bus
from realtime.channel import Channel
from realtime.frames import CloseCode
from realtime.hub import Hub
from realtime.resume import ResumePosition, View
from realtime.socket_writer import SocketWriter
from rooms.errors import NotAMember, NotLive, RemovedFromRoom, RoomNotFound
from rooms.members import Member, MemberSocket
from rooms.room import Room
from rooms.state import Snapshot
from services.accounts.sessions import EvictionService
from services.accounts.user_channels import UserChannelService
from services.errors import AccountBanned, NotAuthenticated
from services.rooms.presence import Lease, Presence
from storage.errors import UserNotFound, storage_error
from storage.stores import Stores
from tencent.cloud_api import StreamUrls

log = structlog.get_logger("qlive.socket")

SUPERSEDE_CHECK_SECONDS = 1.0
"""Time before its registration from which on a join checks for a newer socket of the same user."""
RECONCILE_SECONDS = 0.5
"""Between two runs of the reconciler: an eviction takes a second at most, also without the bus."""
TOKEN_ROUND_SECONDS = 240
"""Time in which every token is checked, without the time of the queries. A token may be the first
of one round and the last of the next: twice this has to be less than ten minutes, also when a run
takes a quarter of RECONCILE_SECONDS."""
QUERY_SIZE = 500
"""Tokens or memberships per query."""


class Audience(TypedDict):
    """`num_list`: men applying, men in the room, women applying, women in the room."""

    audience_count: int
    num_list: list[int]


class RoomAccess:
    """Decides who may subscribe to a room, and what a subscriber receives first."""

    def __init__(self, stores: Stores, stream_urls: StreamUrls) -> None:
        self._stores = stores
        self._stream_urls = stream_urls
        self._rooms: BatchLoader[tuple[Room, View]] = BatchLoader(self._read)

    async def authorize(self, live_id: int, user_id: str) -> View:
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

    async def load_view(self, live_id: int, user_id: str, member: Member | None) -> View:
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

    async def load_room(self, live_id: int) -> View | None:
        """Return a live room for members who are in it already; None if it is not live."""
        found = await self._rooms.get(live_id)
        return found[1] if found and found[0].live else None

    async def audiences(self, sessions: Sequence[tuple[int, str]]) -> dict[int, Audience]:
        """Return the numbers of users by live_id, of live sessions (live_id, epoch).

        They raise the peaks of the lives, in which the host does not count.
        """
        counts = await self._stores.members.counts(sessions)
        for live_id, epoch in sessions:
            self._stores.visits.note_audience(epoch, counts[live_id].audience - 1)
        return {
            live_id: {"audience_count": numbers.audience, "num_list": numbers.num_list}
            for live_id, numbers in counts.items()
        }

    async def _read(self, live_ids: Sequence[Any]) -> dict[Hashable, tuple[Room, View] | Exception]:
        """Read rooms, each with the view that all its callers of this moment share."""
        reads = [self._stores.rooms.read(live_id) for live_id in live_ids]
        rooms = await asyncio.gather(*reads, return_exceptions=True)
        found: dict[Hashable, tuple[Room, View] | Exception] = {}
        for live_id, room in zip(live_ids, rooms, strict=True):
            if isinstance(room, Room):
                read = partial(self._snapshot, room)
                found[live_id] = room, View(room.epoch, room.version, read, room.public_since)
            elif isinstance(room, Exception):
                found[live_id] = room
        return found

    async def _snapshot(self, room: Room) -> Snapshot:
        counts = await self._stores.members.count(room.live_id, room.epoch)
        return room.snapshot(counts, self._stream_urls.play)


class JoinService:
    """Joins sockets to a room or a user channel.

    The hub subscribes to the channel before the socket is registered and the channel is read. So
    whatever is decided after a read reaches the socket: a ban or a logout by the user or the token,
    a removal from the room by the subscription.
    """

    def __init__(
        self,
        stores: Stores,
        hub: Hub,
        access: RoomAccess,
        presence: Presence,
        channels: UserChannelService,
    ) -> None:
        self._stores = stores
        self._hub = hub
        self._access = access
        self._presence = presence
        self._channels = channels

    async def join_room(
        self, live_id: int, writer: SocketWriter, since: ResumePosition | None, asked_at: float
    ) -> None:
        """Send the snapshot or the missed events, then every later event without a gap.

        `asked_at`: when the client asked to join, on the monotonic clock. Raises TryAgain, or as
        RoomAccess.authorize.
        """
        async with self._hub.joining(live_id, writer, since) as resume:
            view = await self._connect(live_id, writer, asked_at)
            while (first_frames := await resume.read(view)) is None:
                view = await self._access.authorize(live_id, writer.user_id)
            self._hub.add(resume, writer, first_frames)

    async def join_user_channel(self, writer: SocketWriter, since: ResumePosition | None) -> None:
        """Send the user's snapshot or missed events, then every later event without a gap.

        Raises TryAgain, or as UserChannelService.connect.
        """
        async with self._hub.joining(writer.user_id, writer, since) as resume:
            first_frames = None
            while first_frames is None:
                first_frames = await resume.read(await self._channels.connect(writer))
            self._hub.add(resume, writer, first_frames)

    async def _connect(self, live_id: int, writer: SocketWriter, asked_at: float) -> View:
        """Register the socket of a member and return the view of the room."""
        if time.monotonic() - asked_at >= SUPERSEDE_CHECK_SECONDS:
            # An abandoned socket must not get a higher number than its successor. Sockets opened
            # earlier by up to the time of this query count, too: a needless restart is harmless.
            age_ms = await self._stores.presence.socket_age_ms(writer.user_id)
            if age_ms is not None and age_ms < (time.monotonic() - asked_at) * 1000:
                raise TryAgain
        if writer.closed:
            raise TryAgain
        member = await self._presence.connect(writer.user_id, live_id)
        if member:
            writer.member_socket = MemberSocket(
                writer.user_id, live_id, member.epoch, member.socket
            )
            writer.number = member.socket
        return await self._access.load_view(live_id, writer.user_id, member)


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


@dataclass
class SocketReconciler:
    """Closes sockets that the database no longer permits; `run` is called every RECONCILE_SECONDS.

    - Evictions that processes have stored are applied in every run.
    - Memberships are compared in both directions: when the bus may have lost a message or the lease
      has lapsed, and otherwise once per lease, or every third of a lease while the bus is down.
    - Tokens are checked again in equal shares. A revocation closes sockets at once; this finds
      those that it has missed, and tokens that end without one.
    """

    _bus: Bus
    _hub: Hub
    _lease: Lease
    _stores: Stores
    _evictions: EvictionService
    _room_access: RoomAccess
    _: KW_ONLY
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._checked_at = self._compared_at = self.clock()
        self._gaps = 0, 0
        self._missing: set[MemberSocket] = set()
        self._unchecked: list[str] = []
        self._share = 0

    async def run(self) -> None:
        await self._evictions.receive()  # first: they carry the more specific close code
        await self._check_tokens()  # an error with a single member must not keep it from its turn
        await self._check_memberships()

    async def _check_memberships(self) -> None:
        """Compare sockets and stored memberships, and correct either, if that is due."""
        now, seconds = self.clock(), self._lease.seconds
        # While its lease had lapsed, other processes may have marked the members served here away.
        gaps = self._bus.gaps, self._lease.lapses
        interval = seconds if self._bus.healthy else seconds / 3
        if gaps == self._gaps and now - self._checked_at < interval:
            return
        self._hub.refresh_all()
        joined = self._hub.members
        for start in range(0, len(joined), QUERY_SIZE):
            await self._compare_joined(joined[start : start + QUERY_SIZE])
        self._gaps, self._checked_at = gaps, now
        if now - self._compared_at >= seconds:
            await self._compare_stored()
            self._compared_at = now

    async def _compare_joined(self, joined: Sequence[tuple[Channel, SocketWriter]]) -> None:
        """Close sockets that disagree with the memberships; store the others as served here."""
        await self._evictions.receive()  # again: thousands of sockets take a while
        members = await self._stores.members.get_many([writer.user_id for _, writer in joined])
        misattributed: list[SocketWriter] = []
        for (channel, writer), member in zip(joined, members, strict=True):
            if member and (member.live_id, member.epoch) == (channel.key, channel.epoch):
                if member.socket != writer.number:
                    was_replaced = member.socket > writer.number and member.process
                    # RESTART allows a reconnect: the newer socket is gone, or the user left and
                    # re-entered.
                    channel.close(writer, CloseCode.REPLACED if was_replaced else CloseCode.RESTART)
                elif member.process != self._lease.process:
                    misattributed.append(writer)
            elif not writer.closed:
                await self._close_unauthorized(channel, writer)
            self._hub.drop_if_idle(channel)
        served = [writer for writer in misattributed if not writer.closed]
        sockets = [writer.member_socket for writer in served if writer.member_socket]
        await self._stores.presence.claim_members(sockets, self._lease.process, now_ms())

    async def _close_unauthorized(self, channel: Channel, writer: SocketWriter) -> None:
        """Close the socket of a user without a membership here, unless access is valid again."""
        try:
            await self._room_access.authorize(int(channel.key), writer.user_id)
        except Exception as error:  # noqa: BLE001 - every error has a close code
            code = close_code_for(error)
            if code == CloseCode.ENDED:
                await self._hub.backfills.backfill(channel)  # delivers `live_end` before the close
            elif code != CloseCode.RESTART:  # a failure of the server closes no socket
                channel.close(writer, code)

    async def _compare_stored(self) -> None:
        """Mark members away whose stored socket is missing here twice in a row.

        Such entries remain when a connect or disconnect was interrupted before its result was
        stored. A socket that is missing once may be joining.
        """
        here = {(socket.user_id, socket.number) for socket in self._hub.member_sockets}
        served = await self._stores.presence.served(self._lease.process)
        missing = {socket for socket in served if (socket.user_id, socket.number) not in here}
        closed = [replace(socket, at=now_ms()) for socket in missing & self._missing]
        await self._stores.presence.mark_disconnected(closed)
        self._missing = missing

    async def _check_tokens(self) -> None:
        """Check the next share of tokens; after a failure the same one again."""
        if not self._unchecked:
            self._unchecked = list({writer.token_id for writer in self._hub.sockets_with_token})
            self._share = ceil(len(self._unchecked) * RECONCILE_SECONDS / TOKEN_ROUND_SECONDS)
        share = self._unchecked[: self._share]
        for start in range(0, len(share), QUERY_SIZE):
            invalid = await self._stores.tokens.invalid(share[start : start + QUERY_SIZE])
            owners = [owner for owner in invalid.values() if owner]
            users = await self._stores.users.find_many(owners)
            banned = {user.user_id for user in users if user.banned}
            self._hub.end_sessions(
                {
                    token_id: CloseCode.PUT_OUT if owner in banned else CloseCode.TOKEN
                    for token_id, owner in invalid.items()
                }
            )
        del self._unchecked[: self._share]
