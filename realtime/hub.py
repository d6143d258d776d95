"""Routes room events to this process's sockets, each once and in order."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from realtime import frames
from realtime.bus import (
    AudienceChanged,
    Bus,
    BusMessage,
    ConnectionOpened,
    EventPublished,
    TokenRevoked,
    UserEvicted,
)
from realtime.channel import Channel, Fanout
from realtime.frames import CloseCode
from realtime.resume import EventLog, LoadRoom, Resume, ResumePosition, RoomView, backfill
from realtime.socket_writer import SocketWriter
from rooms.events import LAST_EVENT_TYPE, NumberedEvent
from rooms.members import MemberCounts, MemberSocket

log = structlog.get_logger("qlive.hub")

BACKFILL_CONCURRENCY = 16
"""Rooms backfilled concurrently."""


@dataclass(eq=False)
class Hub:
    """Connects room changes and bus messages with the sockets of this process."""

    _event_log: EventLog
    _load_room: LoadRoom
    """Reads a room whose missed events `_event_log` no longer has."""
    _bus: Bus
    _new_fanout: Callable[[], Fanout] = Fanout
    _open: set[SocketWriter] = field(default_factory=set)
    _channels: dict[int, Channel] = field(default_factory=dict)
    _filling: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    events_delivered: int = 0
    events_backfilled: int = 0

    def __post_init__(self) -> None:
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
        self._bus.publish(AudienceChanged(live_id))

    def evict(
        self, live_id: int, user_id: str, number: int, *, may_not_reconnect: bool = False
    ) -> None:
        """Close a user's socket in a room, unless it has a higher number."""
        code = CloseCode.PUT_OUT if may_not_reconnect else CloseCode.NOT_A_MEMBER
        self._bus.publish(UserEvicted(user_id, live_id, code, number))

    def on_message(self, message: BusMessage) -> None:
        match message:
            case ConnectionOpened():
                if channel := self._channels.get(message.live_id):
                    channel.on_connection_opened(message.epoch, message.user_id, message.number)
            case TokenRevoked():
                self.end_sessions({message.token_id: CloseCode.TOKEN})
            case EventPublished():
                self._on_event_published(message)
            case AudienceChanged():
                if channel := self._channels.get(message.live_id):
                    channel.audience_changed = True
            case UserEvicted():
                self._on_user_evicted(message)

    # ---- sockets

    def connect(self, writer: SocketWriter) -> None:
        """Register an open connection, which may never join a room."""
        self._open.add(writer)

    async def join(
        self,
        live_id: int,
        writer: SocketWriter,
        since: ResumePosition | None,
        load_view: Callable[[], Awaitable[RoomView]],
    ) -> None:
        """Send the snapshot or the missed events, then every later event without a gap.

        `load_view`, called after the subscription, reads the room, may set the number of `writer`,
        and raises if the user may not listen. An older socket of the user in this room is replaced.
        """
        channel = self._channels.get(live_id)
        if channel is None:
            channel = self._channels[live_id] = Channel(live_id, self._new_fanout)
        channel.joining += 1
        try:
            # Before the read, or events in between are lost.
            await self._bus.subscribe_room(live_id)
            resume = Resume(channel, self._event_log, self._load_room, writer.user_id, since)
            first_frames = await resume.read(load_view)
            # No await from here on: the frames lead to the channel's present position.
            older = channel.sockets.get(writer.user_id)
            newest = max(channel.newest.get(writer.user_id, 0), older.number if older else 0)
            if channel.ended:
                writer.close(CloseCode.ENDED)
            elif newest > writer.number:  # the user opened a newer socket during the join
                writer.close(CloseCode.REPLACED)
            elif not writer.closed:
                if older:
                    older.close(CloseCode.REPLACED)
                channel.add(writer)
                writer.begin(b"".join(first_frames))
                # The new client's count may be stale.
                channel.audience_changed, channel.audience = True, b""
                epoch, number = channel.epoch or "", writer.number
                self._bus.publish(ConnectionOpened(live_id, epoch, writer.user_id, number))
        finally:
            channel.joining -= 1
            if not channel.joining:
                channel.evictions.clear()
                channel.newest.clear()
            self.drop_if_idle(channel)

    def disconnect(self, live_id: int, writer: SocketWriter) -> None:
        """Unregister a closed socket; a newer one of the same user stays."""
        self._open.discard(writer)
        channel = self._channels.get(live_id)
        if channel and channel.sockets.get(writer.user_id) is writer:
            del channel.sockets[writer.user_id]
            self.drop_if_idle(channel)

    def end_sessions(self, codes: Mapping[str, CloseCode]) -> None:
        """Close the sockets of these token ids, joining ones included, with their codes.

        One whose token is being looked up loses its token id: its join finds the reason.
        """
        for channel, writer in self.members:
            if code := codes.get(writer.token_id):
                channel.evict(writer.user_id, code)
                self.drop_if_idle(channel)
        for writer in self.with_token:
            code = codes.get(writer.token_id)
            if code and writer.user_id:
                writer.close(code)
            elif code:
                writer.token_id = ""

    @property
    def socket_count(self) -> int:
        return sum(len(channel.sockets) for channel in self._channels.values())

    @property
    def open_count(self) -> int:
        """Number of connections: joined, joining or closing."""
        return len(self._open)

    @property
    def slow_count(self) -> int:
        """Open connections with unsent data."""
        return sum(writer.has_backlog for writer in self._open)

    @property
    def behind_count(self) -> int:
        """Rooms whose missed events are being read, after a gap."""
        return len(self._filling)

    @property
    def members(self) -> list[tuple[Channel, SocketWriter]]:
        """Every joined socket, with its channel."""
        return [(c, writer) for c in self.channels for writer in c.sockets.values()]

    @property
    def member_sockets(self) -> list[MemberSocket]:
        """Open member sockets, joining ones included."""
        return [o.member_socket for o in self._open if o.member_socket and not o.closed]

    @property
    def with_token(self) -> list[SocketWriter]:
        """Open connections that have sent a token; it may be invalid."""
        return [writer for writer in self._open if writer.token_id]

    @property
    def channels(self) -> list[Channel]:
        return list(self._channels.values())

    # ---- periodic jobs

    async def check(self) -> None:
        """Backfill the channels that are behind their stored rooms; close those of an ended epoch.

        A lost bus message thus costs a delay, not an event.
        """
        local = {c.live_id: (c, c.epoch) for c in self.channels if c.epoch is not None}
        behind: list[Channel] = []
        versions = await self._event_log.versions(list(local)) if local else {}
        for live_id, (epoch, version) in versions.items():
            channel, known_epoch = local[live_id]
            if channel.epoch != known_epoch:
                continue  # restarted meanwhile, from a newer read than this
            if epoch != known_epoch:
                channel.reset(CloseCode.ENDED)
                self.drop_if_idle(channel)
            elif version > channel.last_seq:
                behind.append(channel)
        for start in range(0, len(behind), BACKFILL_CONCURRENCY):
            batch = behind[start : start + BACKFILL_CONCURRENCY]
            await asyncio.gather(*(self.backfill(channel) for channel in batch))

    async def send_audience_counts(
        self, count: Callable[[Iterable[tuple[int, str]]], Awaitable[dict[int, MemberCounts]]]
    ) -> None:
        """Send the current counts to rooms whose audience may have changed."""
        changed = {c: c.epoch for c in self.channels if c.audience_changed and c.epoch is not None}
        if not changed:
            return
        for channel in changed:
            channel.audience_changed = False
        try:
            counts = await count((channel.live_id, epoch) for channel, epoch in changed.items())
        except Exception:
            for channel in changed:
                channel.audience_changed = True  # not sent; retry in the next run
            raise
        for channel, epoch in changed.items():
            room_counts = counts[channel.live_id]
            frame = frames.audience(channel.live_id, room_counts.audience, room_counts.num_list)
            if frame != channel.audience and channel.epoch == epoch:
                channel.audience = frame
                channel.send(frame)
                # While clients reconnect, all rooms change: 10,000 sends block for 80 ms.
                await asyncio.sleep(0)

    def mark_all_audiences_changed(self) -> None:
        """Count every room again, since bus messages may have been missed."""
        for channel in self.channels:
            channel.audience_changed = True

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
            frame = frames.heartbeat(channel.sent)
            for writer in list(channel.sockets.values()):
                if now - writer.received_at > silent:
                    del channel.sockets[writer.user_id]
                    writer.close(CloseCode.SILENT)
                elif now >= writer.next_heartbeat:
                    if writer.next_heartbeat:  # a new socket was just sent its position
                        writer.send(frame)
                    writer.next_heartbeat = now + every * random.uniform(0.8, 1.2)
            self.drop_if_idle(channel)

    def close_all(self, retry_ms: Callable[[str], int]) -> None:
        """Close every connection for a restart; `retry_ms(user_id)` is the reconnect delay."""
        joining = self._open - {writer for _, writer in self.members}
        for channel in self.channels:
            channel.close_all(CloseCode.RESTART, lambda writer: retry_ms(writer.user_id))
        for writer in joining:
            writer.close(CloseCode.RESTART, retry_ms(writer.user_id))
        self._channels.clear()

    # ---- internals

    def _on_event_published(self, message: EventPublished) -> None:
        channel = self._channels.get(message.live_id)
        if channel is None:
            return
        before = channel.last_seq
        if channel.receive(message):
            self.events_delivered += channel.last_seq > before
        elif channel.epoch == message.epoch and message.live_id not in self._filling:
            task = asyncio.get_running_loop().create_task(self._fill(channel))
            self._filling[message.live_id] = task
        self.drop_if_idle(channel)

    def _on_user_evicted(self, message: UserEvicted) -> None:
        for channel in self.channels:
            if message.live_id in (None, channel.live_id):
                channel.evict(message.user_id, message.code, message.number)
                self.drop_if_idle(channel)
        if message.live_id is None:
            for writer in self.with_token:  # joining ones, too, which have no number yet
                if writer.user_id == message.user_id and writer.number <= message.number:
                    writer.close(message.code)

    async def _fill(self, channel: Channel) -> None:
        """Backfill until nothing is missing: the bus may lose another event during a read."""
        try:
            while await self.backfill(channel) and channel.has_gap:
                pass
        finally:
            del self._filling[channel.live_id]

    async def backfill(self, channel: Channel) -> bool:
        """Deliver missed events, or a snapshot of the room; return whether the channel advanced.

        Resets a channel whose epoch cannot be continued. Logs errors; the next check tries again.
        """
        before = channel.last_seq
        try:
            filled = await backfill(channel, self._event_log, self._load_room)
        except Exception as error:  # noqa: BLE001 - background reads must survive errors
            log.warning("backfill_failed", live_id=channel.live_id, error=type(error).__name__)
            return False
        self.events_backfilled += filled
        # The AudienceChanged of a missed event was lost as well.
        channel.audience_changed = channel.audience_changed or filled > 0
        self.events_delivered += filled
        self.drop_if_idle(channel)
        return channel.last_seq > before

    def drop_if_idle(self, channel: Channel) -> None:
        if channel.idle and self._channels.get(channel.live_id) is channel:
            del self._channels[channel.live_id]
            self._bus.unsubscribe_room(channel.live_id)
