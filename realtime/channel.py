"""One room's delivery state in this process: sockets, position, recent frames."""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from operator import attrgetter

from realtime.bus import EventPublished
from realtime.close_codes import CloseCode
from realtime.fanout import Fanout
from realtime.outbox import Outbox

RECENT_FRAMES = 256
"""Frames kept in memory for resuming clients."""


class Channel:
    """Delivers each event of one epoch (live session) once and in order.

    Until `begin` sets the epoch, events are buffered: none is lost between subscribing to the bus
    and reading the room. So are events beyond a gap, until the missing ones have been read.
    """

    def __init__(self, live_id: int, new_fanout: Callable[[], Fanout] = Fanout) -> None:
        self.live_id = live_id
        self.epoch: str | None = None
        self.last_seq = 0
        """Sequence number of the last event passed to the fan-out."""
        self.ended = False
        self.audience_changed = False
        """The audience count may have changed since it was last sent."""
        self.audience = b""
        self.joining = 0
        """Number of joins in progress."""
        self.evictions: Counter[str] = Counter()
        """Evictions per user while a join is in progress; a join that read the room before the
        latest one must read it again."""
        self.newest: dict[str, int] = {}
        """Highest socket number per user announced while a join is in progress."""
        self._new_fanout = new_fanout
        self._fanout = new_fanout()
        self._recent: deque[tuple[int, bytes]] = deque(maxlen=RECENT_FRAMES)
        self._buffered: deque[EventPublished] = deque(maxlen=RECENT_FRAMES)

    @property
    def sockets(self) -> dict[str, Outbox]:
        return self._fanout.sockets

    @property
    def sent(self) -> int:
        """Last event handed to every socket here; heartbeats must not name a later one."""
        return self._fanout.sent

    @property
    def has_gap(self) -> bool:
        """Whether events before those that were received last are missing."""
        return self.epoch is not None and bool(self._buffered)

    @property
    def idle(self) -> bool:
        return not self.sockets and not self.joining

    def begin(self, epoch: str, version: int) -> None:
        """Start from a room read at `version`; only later events are delivered."""
        self.epoch, self.last_seq, self.ended = epoch, version, False
        self._fanout.sent = version
        self.audience = b""
        self._recent.clear()
        self.receive_buffered()

    def receive_buffered(self) -> None:
        """Deliver the buffered events; those beyond a gap stay buffered."""
        buffered = sorted(self._buffered, key=attrgetter("seq"))
        self._buffered.clear()
        for message in buffered:
            self.receive(message)

    def receive(self, message: EventPublished) -> bool:
        """Deliver the next event, ignore duplicates; False on a gap or another epoch."""
        if self.epoch is None:
            self._buffered.append(message)
            return True
        if message.epoch != self.epoch:
            return False
        if message.seq <= self.last_seq:
            return True
        if message.seq > self.last_seq + 1:
            self._buffered.append(message)
            return False
        self._deliver(message)
        return True

    def since(self, seq: int) -> list[bytes] | None:
        """Frames after `seq` up to `last_seq`; None if some are no longer in memory."""
        if seq == self.last_seq:
            return []
        frames = [frame for number, frame in self._recent if number > seq]
        return frames if 0 <= self.last_seq - seq == len(frames) else None

    def remember(self, seq: int, frames: Iterable[bytes]) -> None:
        """Keep frames of the log, from `seq` + 1 to `last_seq`, for others that resume."""
        known = dict(enumerate(frames, seq + 1)) | dict(self._recent)
        self._recent = deque(sorted(known.items()), maxlen=RECENT_FRAMES)

    def skip_to(self, version: int, snapshot: bytes) -> None:
        """Continue from a snapshot of the room at `version`, since events before it are lost.

        It is sent to every socket in order, behind the events that are still queued.
        """
        self.last_seq = version
        self._recent.clear()
        self.send(snapshot)
        # The snapshot's count may be older than the one sent last.
        self.audience_changed, self.audience = True, b""

    def send(self, frame: bytes) -> None:
        self._fanout.send(frame, self.last_seq)

    def add(self, outbox: Outbox) -> None:
        """Add a socket that was already sent everything up to `last_seq`."""
        self._fanout.add(outbox)

    def close_all(self, code: CloseCode, retry_ms: Callable[[Outbox], int] | None = None) -> None:
        """Close every socket of the room."""
        self._fanout.close_all(lambda outbox: outbox.close(code, retry_ms and retry_ms(outbox)))

    def reset(self, code: CloseCode) -> None:
        """Abandon an epoch that cannot be continued: close every socket and reset."""
        self.close_all(code)
        self._fanout = self._new_fanout()
        self.epoch, self.last_seq = None, 0
        self._recent.clear()
        self._buffered.clear()

    def evict(self, user_id: str, code: CloseCode, number: int | None = None) -> None:
        """Close a user's socket; with a `number`, only if the socket's number is not higher."""
        if self.joining:
            self.evictions[user_id] += 1
        outbox = self.sockets.get(user_id)
        if outbox and (number is None or outbox.number <= number):
            self._fanout.remove(user_id)
            outbox.close(code)

    def close(self, outbox: Outbox, code: CloseCode) -> None:
        """Close this socket only, not a newer one of the same user."""
        if self.sockets.get(outbox.user_id) is outbox:
            self.evict(outbox.user_id, code)

    def on_connection_opened(self, epoch: str, user_id: str, number: int) -> None:
        """Close a user's socket here that a newer one, on any process, replaces."""
        if self.epoch not in (None, epoch):
            return
        if self.joining:
            self.newest[user_id] = max(number, self.newest.get(user_id, 0))
        outbox = self.sockets.get(user_id)
        if outbox and outbox.number < number:
            del self.sockets[user_id]
            outbox.close(CloseCode.REPLACED)

    def _deliver(self, message: EventPublished) -> None:
        self.last_seq = message.seq
        self._recent.append((message.seq, message.frame))
        self._fanout.send(message.frame, message.seq, message.saved_at)
        if message.last:
            self.ended = True
            self.close_all(CloseCode.ENDED)
