"""Delivery of one room's or user's events in this process, and the fan-out of frames to sockets.

Slices let other tasks run in between in a large room. In a busy room several frames leave in one
send, since a send costs the same for one frame as for ten.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import structlog

from people.user_events import USER_LOG_SIZE
from realtime.bus import EventPublished
from realtime.frames import CloseCode, Key
from realtime.socket_writer import SocketWriter

log = structlog.get_logger("qlive.hub")

RECENT_FRAMES = 256
"""Frames kept in memory for resuming clients."""
SLICE_SIZE = 256
"""Sockets that are sent to before other tasks run."""
GATHER_SECONDS = 0.005
"""Time for which a busy room collects frames into one send."""
BUSY_SECONDS = 0.05
"""A room is busy for this long after an event: its next event waits to be batched."""
ROOM_TRANSIENTS, USER_TRANSIENTS = frozenset({"audience"}), frozenset({"balance", "where"})
"""Types of frames that are not numbered, since only the latest one counts."""


@dataclass(slots=True)
class Batch:
    """Joined frames, or a close, for the sockets present when the batch was queued."""

    writers: Sequence[SocketWriter]
    due: float = 0.0
    """Earliest time to send, on the monotonic clock; 0 for at once."""
    frames: list[bytes] = field(default_factory=list)
    saved_at: list[float] = field(default_factory=list)
    seq: int = 0
    close: Callable[[SocketWriter], None] | None = None

    @property
    def data(self) -> bytes:
        return b"".join(self.frames)


@dataclass(eq=False, slots=True)
class Fanout:
    """The sockets of a channel, and the batches queued for them.

    Without a batch in progress a small room is sent to synchronously. Otherwise frames join the
    queued batch. A socket that is added meanwhile has its frames from the snapshot or replay, and
    receives later ones directly.
    """

    on_delivered: Callable[[float], None] = lambda _seconds: None
    """Receives the seconds between saving an event and sending it to the last socket here."""
    slice_size: int = SLICE_SIZE
    gather_seconds: float = GATHER_SECONDS
    sockets: dict[Any, SocketWriter] = field(default_factory=dict)
    """By `Channel.slot_of`."""
    sent: int = 0
    """Every socket has been handed all events up to this sequence number."""
    _busy_until: float = 0.0
    _batches: list[Batch] = field(default_factory=list)
    _late_joiners: list[SocketWriter] = field(default_factory=list)
    _task: asyncio.Task[None] | None = None
    _current: Batch | None = None
    _current_sent: int = 0
    """Number of sockets in the current batch that already have it."""

    @property
    def busy(self) -> bool:
        return self._task is not None

    def add(self, slot: object, writer: SocketWriter) -> None:
        self.sockets[slot] = writer
        if self._batches:
            self._late_joiners.append(writer)

    def remove(self, slot: object) -> None:
        """Remove a socket, sending it first the frames that are queued for it."""
        writer = self.sockets.pop(slot)
        if self._current and writer in self._current.writers[self._current_sent :]:
            writer.send(self._current.data)
        for batch in self._batches:
            if writer in batch.writers:
                writer.send(batch.data)

    def send(self, frame: bytes, seq: int, saved_at: float = 0.0) -> None:
        """Send a frame to every socket, in order: at once or in a batch.

        `seq` is the last event that the sockets have then. `saved_at`: in Unix seconds, 0 for a
        frame that is no event.
        """
        batched = self._should_batch(saved_at)
        if not (self.busy or batched) and len(self.sockets) <= self.slice_size:
            _send_all(list(self.sockets.values()), frame)
            self._mark_sent(seq, (saved_at,))
            return
        if self._batches:
            for writer in self._late_joiners:
                writer.send(frame)
        else:
            due = time.monotonic() + self.gather_seconds if batched else 0.0
            self._enqueue(Batch(list(self.sockets.values()), due))
        self._batches[-1].frames.append(frame)
        self._batches[-1].saved_at.append(saved_at)
        self._batches[-1].seq = seq

    def close_all(self, bye: Callable[[SocketWriter], None]) -> None:
        """Remove every socket, calling `bye` on each after its queued frames are sent."""
        writers, self.sockets = list(self.sockets.values()), {}
        if self.busy or len(writers) > self.slice_size:
            self._enqueue(Batch(writers, close=bye))
            return
        _for_each(writers, bye)

    def _should_batch(self, saved_at: float) -> bool:
        """Return whether this is an event in a busy room; each event prolongs the busy time."""
        if not (self.gather_seconds and saved_at):
            return False
        now = time.monotonic()
        was_busy, self._busy_until = now < self._busy_until, now + BUSY_SECONDS
        return was_busy

    def _enqueue(self, batch: Batch) -> None:
        self._batches.append(batch)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run_batches())

    async def _run_batches(self) -> None:
        try:
            while self._batches:
                if (wait := self._batches[0].due - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                # Takes no more frames from here on; sockets added later are in the next batch.
                self._current = self._batches.pop(0)
                self._late_joiners.clear()
                try:
                    await self._send_batch(self._current)
                except Exception:  # an unexpected error must not stop the room's fan-out
                    log.exception("fanout_batch_failed")
                self._current = None
        finally:
            self._task = self._current = None

    async def _send_batch(self, batch: Batch) -> None:
        data = batch.data
        for start in range(0, len(batch.writers), self.slice_size):
            if start:
                self._current_sent = start
                await asyncio.sleep(0)
            writers = batch.writers[start : start + self.slice_size]
            if batch.close:
                _for_each(writers, batch.close)
            else:
                _send_all(writers, data)
        self._mark_sent(batch.seq, batch.saved_at)

    def _mark_sent(self, seq: int, saved_at: Iterable[float]) -> None:
        self.sent, now = seq, time.time()
        for saved in filter(None, saved_at):
            self.on_delivered(max(0.0, now - saved))


@dataclass(eq=False, slots=True)
class Joins:
    """Joins of a channel that are in progress, and what happens meanwhile to their users."""

    count: int = 0
    evictions: Counter[str] = field(default_factory=Counter)
    """Evictions per user; a join that read the room before the latest one must read it again."""
    newest: dict[str, int] = field(default_factory=dict)
    """Highest socket number announced per user."""


@dataclass(eq=False, slots=True)
class Channel:
    """Delivers each event of one epoch, a live of a room or the life of a user, once and in order.

    Until `begin` sets the epoch, events are buffered: none is lost between subscribing to the bus
    and reading the room. So are events beyond a gap, until the missing ones have been read.
    """

    key: Key
    new_fanout: Callable[[], Fanout] = Fanout
    epoch: str | None = None
    last_seq: int = 0
    """Sequence number of the last event passed to the fan-out."""
    ended: bool = False
    behind: bool = False
    """There may be stored events that the channel does not have."""
    stale: frozenset[str] = frozenset()
    """Types of transient frames whose content may have changed since they were last sent."""
    latest: dict[str, tuple[Any, ...]] | None = None
    """Content of the transient frames that every socket here was sent last, by type; None before
    the first."""
    joins: Joins | None = None
    """None unless a join is in progress."""
    _recent: dict[int, bytes] | None = None
    """Frames by sequence number, in order; None before the first event."""
    _buffered: tuple[EventPublished, ...] = ()
    _fanout: Fanout = field(init=False)

    def __post_init__(self) -> None:
        self._fanout = self.new_fanout()

    @property
    def is_user_channel(self) -> bool:
        """Whether it is a user channel, else it is a room's, with one socket of each user.

        The user channel also has the room's socket of its user, which belongs to the room.
        """
        return isinstance(self.key, str)

    @property
    def over(self) -> CloseCode:
        """Close code when the epoch ends. A user's lasts for ever, so those clients reconnect."""
        return CloseCode.RESTART if self.is_user_channel else CloseCode.ENDED

    @property
    def sockets(self) -> dict[Any, SocketWriter]:
        return self._fanout.sockets

    def slot_of(self, writer: SocketWriter) -> object:
        """Return the key of a socket in `sockets`."""
        return writer if self.is_user_channel else writer.user_id

    def of_user(self, user_id: str) -> list[SocketWriter]:
        if self.is_user_channel:
            return [*self.sockets.values()] if user_id == self.key else []
        writer = self.sockets.get(user_id)
        return [writer] if writer else []

    @property
    def sent(self) -> int:
        """Last event handed to every socket here; heartbeats must not name a later one."""
        return self._fanout.sent

    @property
    def has_gap(self) -> bool:
        """Whether events before those received last are missing."""
        return self.epoch is not None and bool(self._buffered)

    @property
    def idle(self) -> bool:
        return not self.sockets and not self.joins

    def begin(self, epoch: str, version: int) -> None:
        """Start from a room read at `version`; only later events are delivered."""
        self.epoch, self.last_seq, self.ended = epoch, version, False
        self._fanout.sent = version
        self.latest = None
        self._recent = None
        self.receive_buffered()

    def receive_buffered(self) -> None:
        """Deliver the buffered events; those beyond a gap stay buffered."""
        buffered = sorted(self._buffered, key=attrgetter("seq"))
        self._buffered = ()
        for message in buffered:
            self.receive(message)

    def receive(self, message: EventPublished) -> bool:
        """Deliver the next event, ignore duplicates; return False on a gap or another epoch."""
        if self.epoch is None:
            self._buffer(message)
            return True
        if message.epoch != self.epoch:
            return False
        if message.seq <= self.last_seq:
            return True
        if message.seq > self.last_seq + 1:
            self._buffer(message)
            return False
        self.last_seq = message.seq
        recent = self._recent = self._recent or {}
        recent[message.seq] = message.frame
        if len(recent) > (USER_LOG_SIZE if self.is_user_channel else RECENT_FRAMES):
            del recent[next(iter(recent))]
        self._fanout.send(message.frame, message.seq, message.saved_at)
        if message.last:
            self.ended = True
            self.close_all(CloseCode.ENDED)
        return True

    def _buffer(self, message: EventPublished) -> None:
        self._buffered = (*self._buffered, message)[-RECENT_FRAMES:]

    def since(self, seq: int) -> list[bytes] | None:
        """Return frames after `seq` up to `last_seq`; None if some are no longer in memory."""
        if seq == self.last_seq:
            return []
        frames = [frame for number, frame in (self._recent or {}).items() if number > seq]
        return frames if 0 <= self.last_seq - seq == len(frames) else None

    def remember(self, seq: int, frames: Iterable[bytes]) -> None:
        """Keep frames of the log, from `seq` + 1 to `last_seq`, for others that resume."""
        known = dict(enumerate(frames, seq + 1)) | (self._recent or {})
        self._recent = dict(sorted(known.items())[-RECENT_FRAMES:])

    def skip_to(self, version: int, snapshot: bytes) -> None:
        """Send every socket a snapshot at `version`: events before it are lost."""
        self.last_seq = version
        self._recent = None
        self.send(snapshot)
        self.refresh()  # what the snapshot shows of them may be older than what was sent last

    def refresh(self, *, again: bool = True) -> None:
        """Have the transient frames read again; send them also if they are the same (`again`)."""
        self.stale = USER_TRANSIENTS if self.is_user_channel else ROOM_TRANSIENTS
        if again:
            self.latest = None

    def send(self, frame: bytes) -> None:
        self._fanout.send(frame, self.last_seq)

    def add(self, writer: SocketWriter) -> None:
        """Add a socket that was already sent everything up to `last_seq`."""
        self._fanout.add(self.slot_of(writer), writer)

    def close_all(
        self, code: CloseCode, retry_ms: Callable[[SocketWriter], int] | None = None
    ) -> None:
        self._fanout.close_all(lambda writer: writer.close(code, retry_ms and retry_ms(writer)))

    def reset(self, code: CloseCode) -> None:
        """Abandon an epoch that cannot be continued: close every socket and reset."""
        self.close_all(code)
        self._fanout = self.new_fanout()
        self.epoch, self.last_seq = None, 0
        self._recent = None
        self._buffered = ()

    def evict(self, user_id: str, code: CloseCode, number: int) -> None:
        """Close a user's sockets whose number is not higher."""
        if self.joins:
            self.joins.evictions[user_id] += 1
        for writer in self.of_user(user_id):
            if writer.number <= number:
                self.close(writer, code)

    def close(self, writer: SocketWriter, code: CloseCode) -> None:
        """Close this socket only, not another one of the same user."""
        if self.sockets.get(self.slot_of(writer)) is writer:
            if self.joins:
                self.joins.evictions[writer.user_id] += 1
            self._fanout.remove(self.slot_of(writer))
            writer.close(code)

    def on_connection_opened(self, epoch: str, user_id: str, number: int) -> None:
        """Close the user's sockets here that a newer one, on any process, replaces."""
        if self.epoch not in (None, epoch):
            return
        if self.joins:
            self.joins.newest[user_id] = max(number, self.joins.newest.get(user_id, 0))
        for writer in self.of_user(user_id):
            belongs_here = not (self.is_user_channel and writer.member_socket)
            if belongs_here and writer.number < number:
                del self.sockets[self.slot_of(writer)]
                writer.close(CloseCode.REPLACED)


def _send_all(writers: Sequence[SocketWriter], data: bytes) -> None:
    """Send to all in a hot loop: one call per socket, its own `send` while it has no backlog."""
    size = len(data)
    for writer in writers:
        try:
            if (sent := writer.push(data)) != size:
                writer.start_backlog(data[sent:])
        except OSError:  # buffer full or connection gone: no byte was accepted
            _for_each((writer,), lambda writer: writer.send(data))
        except Exception:  # an unexpected error must not stop the room's fan-out
            log.exception("socket_send_failed", user_id=writer.user_id)


def _for_each(writers: Sequence[SocketWriter], act: Callable[[SocketWriter], None]) -> None:
    """Act on each; an unexpected error of one must not keep the others from it."""
    for writer in writers:
        try:
            act(writer)
        except Exception:
            log.exception("socket_send_failed", user_id=writer.user_id)
