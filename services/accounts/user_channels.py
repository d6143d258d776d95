"""A user channel: its snapshot, its transient frames, and sockets without a room."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TypedDict

from core.errors import TryAgain
from people.user_events import Invitation
from realtime.bus import Bus, ConnectionOpened
from realtime.resume import View
from realtime.socket_writer import SocketWriter
from rooms.events import NumberedEvent
from rooms.room import Room
from services.errors import AccountBanned
from storage.accounts.users import User
from storage.errors import UserNotFound
from storage.stores import Stores
from storage.user_channels import UserChannel, UserChannelStore
from storage.write_batch import WriteBatch


class Balances(TypedDict):
    gold: int
    income: int


class Where(TypedDict):
    """The live that the user is in; null if there is none."""

    live_id: int | None


class UserSnapshot(Balances):
    """A user's own state when the socket opens; only the invitations follow from the events."""

    in_room: int | None
    invitations: list[Invitation]


async def add_user_events(
    channels: UserChannelStore, room: Room, _events: Sequence[NumberedEvent], batch: WriteBatch
) -> None:
    """Add the events of users, and show them which live they are in if that has changed."""
    for user_id, event in room.user_events:
        channels.add_to(batch, user_id, event)
    if room.members is not room.loaded.members:
        before, after = (
            {(member.user_id, member.epoch) for member in members.values()}
            for members in (room.loaded.members, room.members)
        )
        for user_id in {user_id for user_id, _ in before ^ after}:
            batch.after_commit.append(partial(channels.changed, user_id, "where"))


class UserChannelService:
    def __init__(self, stores: Stores, bus: Bus, process_id: str) -> None:
        self._stores = stores
        self._bus = bus
        self._process_id = process_id
        self._closed: list[tuple[str, int]] = []

    # ---- sockets

    async def connect(self, writer: SocketWriter) -> View:
        """Register a socket that has only the user channel, and return what it is shown.

        The oldest of more than MAX_SOCKETS is replaced. Raises as `authorize`, which reads the user
        afterwards: a ban that is stored later closes the socket by its number.
        """
        user_id, channel = writer.user_id, None
        if not writer.number:  # else the user was evicted, or the channel changed, meanwhile
            if writer.closed:  # it must not take the place of another socket
                raise TryAgain
            channel = await self._stores.user_channels.open_socket(user_id, self._process_id)
            writer.number, oldest = channel.sockets[-1], channel.sockets[0]
            self._bus.publish(ConnectionOpened(user_id, channel.epoch, user_id, oldest))
        return await self.authorize(user_id, channel)

    async def authorize(self, user_id: str, channel: UserChannel | None = None) -> View:
        """Return what a socket of the user is shown. Raises UserNotFound or AccountBanned."""
        user = await self._stores.users.get(user_id)
        if user.banned:
            raise AccountBanned
        channel = channel or await self._stores.user_channels.read(user_id)
        return View(channel.epoch, channel.version, partial(self._snapshot, channel, user))

    async def load(self, user_id: str) -> View | None:
        """Return the channel of a user for sockets that have it; None if the user is deleted."""
        with suppress(UserNotFound, AccountBanned):
            return await self.authorize(user_id)
        return None

    def disconnect(self, writer: SocketWriter) -> None:
        """Record a closed socket in memory; `flush` stores it."""
        if writer.number and not writer.member_socket:
            self._closed.append((writer.user_id, writer.number))

    async def flush(self) -> None:
        """Store closed sockets, so that they count no longer."""
        if closed := [*self._closed]:
            await self._stores.user_channels.close_sockets(closed)
            del self._closed[: len(closed)]

    # ---- transient frames

    async def balances(self, channels: Sequence[tuple[str, str]]) -> dict[str, Balances]:
        """Return the balances by user_id, of channels (user_id, epoch)."""
        users = await self._stores.users.find_many([user_id for user_id, _ in channels])
        return {user.user_id: {"gold": user.gold, "income": user.income} for user in users}

    async def places(self, channels: Sequence[tuple[str, str]]) -> dict[str, Where]:
        """Return the live that each user is in, by user_id, of channels (user_id, epoch)."""
        found: dict[str, Where] = {user_id: {"live_id": None} for user_id, _ in channels}
        members = await self._stores.members.get_many([*found])
        live_ids = {member.live_id for member in members if member}
        reads = [self._stores.rooms.read(live_id) for live_id in live_ids]
        rooms = dict(zip(live_ids, await asyncio.gather(*reads), strict=True))
        for member in filter(None, members):
            room = rooms[member.live_id]
            if room and room.role_in(member):
                found[member.user_id] = {"live_id": member.live_id}
        return found

    async def _snapshot(self, channel: UserChannel, user: User) -> UserSnapshot:
        where = (await self.places([(channel.user_id, channel.epoch)]))[channel.user_id]
        invitations = sorted(channel.invitations.values(), key=lambda row: row["expires_at"])
        return {
            "gold": user.gold,
            "income": user.income,
            "in_room": where["live_id"],
            "invitations": invitations,
        }
