"""Routes the events of rooms and of users to this process's sockets, each once and in order."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

from realtime import frames
from realtime.backfills import READ_SIZE, Backfills
from realtime.bus import (
    Bus,
    BusMessage,
    ChannelChanged,
    ConnectionOpened,
    EventPublished,
    TokenRevoked,
    UserEvicted,
)
from realtime.channel import Channel, Fanout, Joins
from realtime.frames import CloseCode, Key
from realtime.resume import Resume, ResumePosition, Source
from realtime.socket_writer import SocketWriter
from rooms.events import LAST_EVENT_TYPE, NumberedEvent
from rooms.members import MemberSocket

log = structlog.get_logger("qlive.hub")

ReadTransient = Callable[[Sequence[tuple[Any, str]]], Awaitable[Mapping[Any, Mapping[str, Any]]]]
"""Receives (key, epoch) of channels, and returns the data of a transient frame by key."""
ChooseUsers = Callable[[Set[str]], Awaitable[Set[str]]]
"""Receives user_ids, and returns those of them who are to receive a frame."""


@dataclass(eq=False)
class Hub:
    """Connects changes and bus messages with the sockets of this process."""

    _rooms: Source
    _users: Source
    _bus: Bus
    _new_fanout: Callable[[], Fanout] = Fanout
    _open: set[SocketWriter] = field(default_factory=set)
    _channels: dict[Key, Channel] = field(default_factory=dict)
    _events_received: int = 0
    backfills: Backfills = field(init=False)

    def __post_init__(self) -> None:
        sources = self._rooms, self._users
        self.backfills = Backfills(*sources, self._bus, self._channels, self.drop_if_idle)
        self._bus.subscribe(self.on_message)

    # ---- publishing and bus messages

    def publish(self, live_id: int, events: Sequence[NumberedEvent]) -> None:
        """Encode each event once and publish it to every process; never blocks, never raises."""
        now = time.time()
        for event in events:
            self._bus.publish(EventPublished.of(live_id, event, now))
            if event.type == LAST_EVENT_TYPE:
                reason = event.data.get("reason")
                log.info("live_ended", live_id=live_id, reason=reason, seq=event.seq)

    def mark_audience_changed(self, live_id: int) -> None:
        self._bus.publish(ChannelChanged(live_id, "audience"))

    def evict(
        self, live_id: int, user_id: str, number: int, *, may_not_reconnect: bool = False
    ) -> None:
        """Close a user's socket in a room, unless its number is above `number`: it is newer."""
        code = CloseCode.PUT_OUT if may_not_reconnect else CloseCode.NOT_A_MEMBER
        self._bus.publish(UserEvicted(user_id, live_id, code, number))

    def on_message(self, message: BusMessage) -> None:
        match message:
            case ConnectionOpened():
                if channel := self._channels.get(message.key):
                    channel.on_connection_opened(message.epoch, message.user_id, message.number)
                    self.drop_if_idle(channel)
            case TokenRevoked():
                self.end_sessions({message.token_id: CloseCode.TOKEN})
            case EventPublished():
                self._on_event_published(message)
            case ChannelChanged():
                self._on_channel_changed(message)
            case UserEvicted():
                self._on_user_evicted(message)

    # ---- sockets

    def connect(self, writer: SocketWriter) -> None:
        """Register an open connection, which may never join a room."""
        self._open.add(writer)

    @asynccontextmanager
    async def joining(
        self, key: Key, writer: SocketWriter, since: ResumePosition | None
    ) -> AsyncIterator[Resume]:
        """Subscribe to the channel while a user joins it, who is authorized within.

        The Resume makes the first frames of what is read within; `add` sends them.
        """
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = Channel(key, self._new_fanout)
        joins = channel.joins = channel.joins or Joins()
        joins.count += 1
        try:
            # Before the read, or events in between are lost.
            await self._bus.open_channel(key)
            yield Resume(channel, self.backfills.source_of(channel), writer.user_id, since)
        finally:
            joins.count -= 1
            if not joins.count:
                channel.joins = None
            self.drop_if_idle(channel)

    def add(self, resume: Resume, writer: SocketWriter, first_frames: bytes) -> None:
        """Send the frames that `resume` has just read, and from now on every event.

        Call it without an await after `resume.read`. A room's older socket of the user is replaced;
        if a newer one is known, this one is closed.
        """
        channel = resume.channel
        belongs_here = not (channel.is_user_channel and writer.member_socket)
        older = channel.sockets.get(channel.slot_of(writer))
        announced = channel.joins.newest.get(writer.user_id, 0) if channel.joins else 0
        newest = max(announced, older.number if older else 0)
        if channel.ended:
            writer.close(CloseCode.ENDED)
        elif belongs_here and newest > writer.number:  # replaced during the join
            writer.close(CloseCode.REPLACED)
        elif not writer.closed:
            if older:
                older.close(CloseCode.REPLACED)
            channel.add(writer)
            writer.begin(first_frames)
            if not channel.is_user_channel or resume.since or channel.latest:
                channel.refresh()  # what the first frame shows of it may be stale
            if channel.behind:
                self.backfills.start(channel)
            if not channel.is_user_channel:
                opened = channel.epoch or "", writer.user_id, writer.number
                self._bus.publish(ConnectionOpened(channel.key, *opened))

    def disconnect(self, writer: SocketWriter, *keys: Key) -> None:
        """Unregister a closed socket from these channels; a newer one of the same user stays."""
        self._open.discard(writer)
        for channel in filter(None, map(self._channels.get, keys)):
            slot = channel.slot_of(writer)
            if channel.sockets.get(slot) is writer:
                del channel.sockets[slot]
                self.drop_if_idle(channel)

    def end_sessions(self, codes: Mapping[str, CloseCode]) -> None:
        """Close the sockets of these token ids, joining ones included, with their codes.

        One whose token is being looked up loses its token id: its join finds the reason.
        """
        for channel, writer in self._joined:
            if code := codes.get(writer.token_id):
                channel.close(writer, code)
                self.drop_if_idle(channel)
        for writer in self.sockets_with_token:
            code = codes.get(writer.token_id)
            if code and writer.user_id:
                writer.close(code)
            elif code:
                writer.token_id = ""

    @property
    def socket_count(self) -> int:
        """Number of joined sockets."""
        return len({writer for _, writer in self._joined})

    @property
    def open_count(self) -> int:
        """Number of connections: joined, joining or closing."""
        return len(self._open)

    @property
    def slow_count(self) -> int:
        """Open connections with unsent data."""
        return sum(writer.has_backlog for writer in self._open)

    @property
    def events_delivered(self) -> int:
        """Events of rooms and of users that the bus has brought, and those that were read."""
        return self._events_received + self.backfills.events

    @property
    def room_count(self) -> int:
        """Rooms with a socket."""
        return sum(not channel.is_user_channel for channel in self._channels.values())

    @property
    def members(self) -> list[tuple[Channel, SocketWriter]]:
        """Every socket that has joined a room, with the channel of the room."""
        return [
            (channel, writer) for channel, writer in self._joined if not channel.is_user_channel
        ]

    @property
    def member_sockets(self) -> list[MemberSocket]:
        """Open member sockets, joining ones included."""
        return [o.member_socket for o in self._open if o.member_socket and not o.closed]

    @property
    def sockets_with_token(self) -> list[SocketWriter]:
        """Open connections that have sent a token; it may be invalid."""
        return [writer for writer in self._open if writer.token_id]

    @property
    def channels(self) -> list[Channel]:
        return list(self._channels.values())

    # ---- periodic jobs

    async def send_transient(self, type_: str, read: ReadTransient) -> None:
        """Send the present data of a type to the channels for which it may have changed."""
        stale = [c for c in self.channels if type_ in c.stale and c.epoch is not None]
        for start in range(0, len(stale), READ_SIZE):
            await self._send_transient(type_, read, stale[start : start + READ_SIZE])

    async def _send_transient(
        self, type_: str, read: ReadTransient, channels: Sequence[Channel]
    ) -> None:
        changed = {c: c.epoch for c in channels if c.epoch is not None}
        for channel in changed:
            channel.stale -= {type_}
        try:
            data = await read([(channel.key, epoch) for channel, epoch in changed.items()])
        except Exception:
            for channel in changed:
                channel.stale |= {type_}  # not sent; retry in the next run
            raise
        for channel, epoch in changed.items():
            content = data.get(channel.key)
            if content is None or channel.epoch != epoch:
                continue
            sent, latest = channel.latest or {}, tuple(content.values())
            if sent.get(type_) != latest:
                channel.latest = {**sent, type_: latest}
                channel.send(frames.transient(type_, channel.key, content))
                # While clients reconnect, all rooms change: 10,000 sends block for 80 ms.
                await asyncio.sleep(0)

    async def send_to_users(self, type_: str, data: Mapping[str, Any], choose: ChooseUsers) -> None:
        """Send a transient frame, once, to each joined socket of the users whom `choose` picks."""
        writers = [*{writer for _, writer in self._joined}]
        for start in range(0, len(writers), READ_SIZE):
            some = writers[start : start + READ_SIZE]
            chosen = await choose({writer.user_id for writer in some})
            for writer in some:
                if writer.user_id in chosen and not writer.closed:
                    writer.send(frames.transient(type_, writer.user_id, data))
                    await asyncio.sleep(0)  # as in `_send_transient`

    def refresh_all(self) -> None:
        """Read all transient frames again, since bus messages may have been missed."""
        for channel in self.channels:
            channel.refresh(again=False)

    def disconnect_slow(self, now: float, seconds: float) -> None:
        """Disconnect clients that leave data unread for `seconds`, without waiting for a close."""
        for writer in list(self._open):
            if writer.is_stalled(now, seconds):
                writer.disconnect_slow(at_once=True)

    def send_heartbeats(self, now: float, every: float, silent: float) -> None:
        """Send due heartbeats; close connections silent for more than `silent` seconds.

        `every`: mean interval of a socket's heartbeats in seconds, jittered by 20 %.
        """
        for channel in self.channels:
            frame = b""
            for writer in list(channel.sockets.values()):
                if channel.is_user_channel and writer.member_socket:
                    continue  # its room sends them
                if now - writer.received_at > silent:
                    del channel.sockets[channel.slot_of(writer)]
                    writer.close(CloseCode.SILENT)
                elif now >= writer.next_heartbeat:
                    if writer.next_heartbeat:  # a new socket was just sent its position
                        frame = frame or frames.heartbeat(channel.sent)
                        writer.send(self._heartbeat_of_both(channel, writer) or frame)
                    writer.next_heartbeat = now + every * random.uniform(0.8, 1.2)
            self.drop_if_idle(channel)

    def _heartbeat_of_both(self, channel: Channel, writer: SocketWriter) -> bytes:
        """Return the heartbeat of a room's socket that has the user channel, too; else b""."""
        own = self._channels.get(writer.user_id)
        if own is None or own is channel or writer not in own.sockets:
            return b""
        return frames.heartbeat(channel.sent, own.sent)

    def close_all(self, retry_ms: Callable[[str], int]) -> None:
        """Close every connection for a restart; `retry_ms(user_id)` is the reconnect delay."""
        joining = self._open - {writer for _, writer in self._joined}
        for channel in self.channels:
            channel.close_all(CloseCode.RESTART, lambda writer: retry_ms(writer.user_id))
        for writer in joining:
            writer.close(CloseCode.RESTART, retry_ms(writer.user_id))
        self._channels.clear()

    # ---- internals

    @property
    def _joined(self) -> list[tuple[Channel, SocketWriter]]:
        """Every joined socket, with each of its channels."""
        return [(c, writer) for c in self.channels for writer in c.sockets.values()]

    def _on_event_published(self, message: EventPublished) -> None:
        if message.last:
            self._on_live_ended(message.key)
        channel = self._channels.get(message.key)
        if channel is None:
            return
        before = channel.last_seq
        if channel.receive(message):
            self._events_received += channel.last_seq > before
        elif channel.epoch == message.epoch:
            self.backfills.start(channel)
        self.drop_if_idle(channel)

    def _on_channel_changed(self, message: ChannelChanged) -> None:
        channel = self._channels.get(message.key)
        if channel is None:
            return
        if message.part == "events":
            channel.behind = True  # also during a read, which may have begun before the change
            self.backfills.start(channel)
        else:
            channel.stale |= {message.part}

    def _on_live_ended(self, live_id: Key) -> None:
        """Have `where` read again for users who may have been in this live."""
        for channel in self._channels.values():
            where = channel.latest and channel.latest.get("where")
            if channel.is_user_channel and where in (None, (live_id,)):
                channel.stale |= {"where"}

    def _on_user_evicted(self, message: UserEvicted) -> None:
        found = self._channels.get(message.live_id or 0)
        for channel in self.channels if message.live_id is None else filter(None, [found]):
            channel.evict(message.user_id, message.code, message.number)
            self.drop_if_idle(channel)
        if message.live_id is None:
            for writer in self.sockets_with_token:  # joining ones, too, which have no number yet
                if writer.user_id == message.user_id and writer.number <= message.number:
                    writer.close(message.code)

    def drop_if_idle(self, channel: Channel) -> None:
        if channel.idle and self._channels.get(channel.key) is channel:
            del self._channels[channel.key]
            self._bus.close_channel(channel.key)
