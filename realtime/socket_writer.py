"""Sends frames to one socket: directly, or through a bounded backlog."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tornado.iostream import IOStream, StreamClosedError

from realtime import frames, wire
from realtime.frames import CloseCode
from rooms.members import MemberSocket

CLOSE_TIMEOUT_SECONDS = 2.0
"""Time for the client to answer a close frame before the connection is cut off."""
WRITE_CHUNK_BYTES = 64 * 1024
"""Backlog bytes joined into one write; frames behind them stay shared between sockets."""


@dataclass(slots=True, eq=False)
class SocketWriter:
    """Outgoing frames of one connection; nothing here blocks or raises.

    Only the writer writes to the stream: at most one write is in progress, and everything behind it
    stays in the backlog, where it can be dropped.
    """

    user_id: str
    stream: IOStream
    backlog_bytes: int
    """A client with more unsent data is closed."""
    token_id: str = ""
    number: int = 0
    """The newest socket of a user has the highest number."""
    member_socket: MemberSocket | None = None
    received_at: float = field(default_factory=time.monotonic)
    next_heartbeat: float = 0.0
    close_code: CloseCode | None = None
    """Close code sent to the client, if any."""
    push: Callable[[bytes], int] = field(init=False)
    """Accepts whole frames; returns how many bytes need no further handling.

    Without a backlog it is the socket's own `send`, so that a fan-out to a thousand sockets costs
    one call each; it then raises what a socket raises.
    """
    pending_bytes: int = 0
    """Bytes that are still to be sent."""
    _limit: int = field(init=False)
    _parted: bool = False
    _split: bool = False
    _waits_since: float = 0.0
    # (queued at, whole frames) behind the write in progress; None without a write.
    _waiting: deque[tuple[float, bytes]] | None = None

    def __post_init__(self) -> None:
        self.push, self._limit = self.stream.socket.send, self.backlog_bytes

    @property
    def closed(self) -> bool:
        """Closed or closing: nothing may follow a close frame."""
        return self._parted or self.stream.closed()

    @property
    def has_backlog(self) -> bool:
        """Whether data is still to be sent."""
        return self._waiting is not None

    def begin(self, frames_: bytes) -> None:
        """Send the first frames: a snapshot of a large room may exceed any backlog limit."""
        self._limit = self.backlog_bytes + len(frames_)
        self.send(frames_)
        if not self.has_backlog:
            self._limit = self.backlog_bytes

    def send(self, frame: bytes) -> None:
        """Send one or more whole frames, in order behind the backlog.

        A client over its limit is disconnected: it can resume, and costs the others nothing.
        """
        try:
            sent = self.push(frame)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._abort()
            return
        if sent < len(frame):
            self.start_backlog(frame[sent:])

    def start_backlog(self, rest: bytes) -> None:
        """Start a backlog with the part of a frame that the socket did not accept."""
        self._waiting, self.pending_bytes = deque(), len(rest)
        self.push = self._queue
        try:
            self._write(rest, time.monotonic())
        except StreamClosedError:
            self._abort()

    def is_stalled(self, now: float, seconds: float) -> bool:
        """Return whether a write has been pending for more than `seconds`."""
        return self._waiting is not None and not self.closed and now - self._waits_since > seconds

    def disconnect_slow(self, *, at_once: bool = False) -> None:
        """Drop the backlog and close; a client that reads on before the cut receives the reason."""
        if self._waiting is not None:
            self.pending_bytes -= sum(len(frame) for _, frame in self._waiting)
            self._waiting.clear()
        self.close(CloseCode.SLOW)
        if at_once or self._split:  # a close frame cannot interrupt a partly sent frame
            self.stream.close()

    def close(self, code: CloseCode, retry_ms: int | None = None) -> None:
        """Send the reason and close with the code; only the first call has an effect.

        `retry_ms` defaults to a random 100-1500 ms; codes that forbid reconnecting send 0.
        """
        delay_ms = random.randint(100, 1500) if retry_ms is None else retry_ms
        message = frames.bye(code, delay_ms if code.reconnect else 0)
        if not self.closed:
            self.close_code = code
            self.send_close(message + wire.close_frame(code, code.reason))

    def send_close(self, last: bytes) -> None:
        """Send data that ends with a close frame, behind the backlog, and cut off after a while."""
        if self.closed:
            return
        if self._waiting is None:
            self.send(last)
        else:
            self._waiting.append((time.monotonic(), last))
            self.pending_bytes += len(last)
        self._parted, self.push = True, len  # `len` discards later frames
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_SECONDS, self.stream.close)

    def _queue(self, frame: bytes) -> int:
        """Queue a frame; replaces `push` while there is a backlog."""
        assert self._waiting is not None
        self._waiting.append((time.monotonic(), frame))
        self.pending_bytes += len(frame)
        if self.pending_bytes > self._limit:
            self.disconnect_slow()
        return len(frame)

    def _abort(self) -> None:
        self.stream.close()
        self.push = len

    def _write(self, rest: bytes, since: float) -> None:
        """Write one chunk at a time, so that slow but steady readers are not late."""
        assert self._waiting is not None
        self._split = len(rest) > WRITE_CHUNK_BYTES
        if self._split:
            self._waiting.appendleft((time.monotonic(), rest[WRITE_CHUNK_BYTES:]))
            rest = rest[:WRITE_CHUNK_BYTES]
        self._waits_since = since
        write = asyncio.ensure_future(self.stream.write(rest))
        write.add_done_callback(lambda write: self._on_written(len(rest), write.exception()))

    def _on_written(self, written: int, error: BaseException | None) -> None:
        """Continue with the backlog after the write in progress has ended."""
        if error or self.stream.closed():
            self._abort()
            return
        waiting = self._waiting
        assert waiting is not None
        self.pending_bytes -= written
        try:
            while waiting:
                since, data = waiting[0][0], _pop_chunk(waiting)
                try:
                    sent = self.stream.socket.send(data)
                except BlockingIOError:
                    sent = 0
                self.pending_bytes -= sent
                if sent < len(data):
                    self._write(data[sent:], since)
                    return
        except OSError:  # including StreamClosedError
            self._abort()
        self._waiting, self._limit = None, self.backlog_bytes
        if not self.closed:
            self.push = self.stream.socket.send


def _pop_chunk(waiting: deque[tuple[float, bytes]]) -> bytes:
    """Remove about WRITE_CHUNK_BYTES bytes from the head of the backlog, joined."""
    data = waiting.popleft()[1]
    while waiting and len(data) < WRITE_CHUNK_BYTES:
        data += waiting.popleft()[1]
    return data
