"""One socket's way out: the socket itself first, a bounded backlog second."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable

from tornado.iostream import IOStream, StreamClosedError

from realtime import frames, wire
from realtime.codes import Code
from rooms.presence import Connection

GOODBYE_SECONDS = 2.0
"""How long a client may take to answer our closing before it is cut off."""
CHUNK = 64 * 1024
"""As much of a backlog is joined for one write: the rest stays shared between the sockets."""


class Outbox:
    """What is to be sent to one member; nothing here waits or raises.

    The stream is nobody else's: it holds at most one write of ours, and what waits behind that
    one stays here, where it can be dropped.
    """

    __slots__ = (
        "_backlog",
        "_limit",
        "_parted",
        "_size",
        "_split",
        "_stream",
        "_waiting",
        "_waits_since",
        "connection",
        "heard_at",
        "next_beat",
        "number",
        "push",
        "token_id",
        "user_id",
        "went",
    )

    def __init__(self, user_id: str, stream: IOStream, *, backlog_bytes: int) -> None:
        self.user_id = user_id
        self.token_id = ""
        self.number = 0
        """Of the sockets of one person the newest has the highest."""
        self.connection: Connection | None = None
        self.heard_at = time.monotonic()
        self.next_beat = 0.0
        self.went: Code | None = None
        """Why we have said goodbye, if we have."""
        self.push: Callable[[bytes], int] = stream.socket.send
        """Takes whole frames, and says how many bytes of them are dealt with. While nothing waits
        it is the socket's own send, so that a round over a thousand sockets asks each of them for
        nothing else; it raises what a socket raises."""
        self._parted = False
        self._stream = stream
        self._backlog = self._limit = backlog_bytes
        self._size = 0
        self._split = False
        self._waits_since = 0.0
        # (since when, whole frames) behind the write that is under way; None when there is none.
        self._waiting: deque[tuple[float, bytes]] | None = None

    @property
    def closed(self) -> bool:
        """Gone, or going: nothing may follow a close frame."""
        return self._parted or self._stream.closed()

    @property
    def waits(self) -> bool:
        """Whether something is still to be sent."""
        return self._waiting is not None

    def begin(self, frames_: bytes) -> None:
        """Send what a socket begins with, which may be larger than any backlog: a room with a
        thousand applicants, or all that was missed."""
        self._limit = self._backlog + len(frames_)
        self.send(frames_)
        if not self.waits:
            self._limit = self._backlog

    def send(self, frame: bytes) -> None:
        """Hand over one or more whole frames, in order behind those that still wait.

        A reader who lets more than the backlog pile up is cut off at once: it comes back and
        resumes, and meanwhile costs the others nothing.
        """
        try:
            sent = self.push(frame)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._break()
            return
        if sent < len(frame):
            self.keep(frame[sent:])

    def keep(self, rest: bytes) -> None:
        """What the socket did not take of a frame, while nothing waited: from now on it does."""
        self._waiting, self._size = deque(), len(rest)
        self.push = self._queue
        try:
            self._wait_for(rest, time.monotonic())
        except StreamClosedError:
            self._break()

    def beat(self, frame: bytes) -> None:
        """A heartbeat, with a protocol ping that phones and browsers answer by themselves."""
        self.send(frame + frames.PING)

    def late(self, now: float, seconds: float) -> bool:
        """Whether something has waited for longer than that."""
        return self._waiting is not None and not self.closed and now - self._waits_since > seconds

    def cut(self, *, at_once: bool = False) -> None:
        """Too slow: forget what waits, and close. Whoever reads on soon enough learns why."""
        if self._waiting is not None:
            self._size -= sum(len(frame) for _, frame in self._waiting)
            self._waiting.clear()
        self.bye(Code.SLOW)
        if at_once or self._split:  # there is no saying anything in the middle of a frame
            self._stream.close()

    def bye(self, code: Code, retry_ms: int | None = None) -> None:
        """Say why, then close with the code; without `retry_ms` a short random one. Once."""
        wait = random.randint(100, 1500) if retry_ms is None else retry_ms
        said = frames.bye(code, wait if code.reconnect else 0)
        if not self.closed:
            self.went = code
            self.part(said + wire.closing(code, code.reason))

    def part(self, last: bytes) -> None:
        """Send what ends with a close frame, behind what waits; then the stream is closed, by
        the other side or after GOODBYE_SECONDS."""
        if self.closed:
            return
        if self._waiting is None:
            self.send(last)
        else:
            self._waiting.append((time.monotonic(), last))
            self._size += len(last)
        self._parted, self.push = True, len  # whatever comes is dealt with: nobody hears it
        asyncio.get_running_loop().call_later(GOODBYE_SECONDS, self._stream.close)

    def _queue(self, frame: bytes) -> int:
        """What `push` is while something waits."""
        assert self._waiting is not None
        self._waiting.append((time.monotonic(), frame))
        self._size += len(frame)
        if self._size > self._limit:
            self.cut()
        return len(frame)

    def _break(self) -> None:
        """The connection is gone."""
        self._stream.close()
        self.push = len

    def _wait_for(self, rest: bytes, since: float) -> None:
        """One chunk at a time: whoever reads a large beginning slowly, but reads, is not late."""
        assert self._waiting is not None
        self._split = len(rest) > CHUNK
        if self._split:
            self._waiting.appendleft((time.monotonic(), rest[CHUNK:]))
            rest = rest[:CHUNK]
        self._waits_since = since
        write = asyncio.ensure_future(self._stream.write(rest))
        write.add_done_callback(lambda write: self._go_on(len(rest), write.exception()))

    def _go_on(self, written: int, failure: BaseException | None) -> None:
        """The write under way has ended: on with what waits behind it."""
        if failure or self._stream.closed():
            self._break()
            return
        waiting = self._waiting
        assert waiting is not None
        self._size -= written
        try:
            while waiting:
                since, data = waiting[0][0], _joined(waiting)
                sent = _try_socket(self._stream, data)
                self._size -= sent
                if sent < len(data):
                    self._wait_for(data[sent:], since)
                    return
        except OSError:  # a StreamClosedError is one
            self._break()
        self._waiting, self._limit = None, self._backlog
        if not self.closed:
            self.push = self._stream.socket.send


def _joined(waiting: deque[tuple[float, bytes]]) -> bytes:
    """Up to about CHUNK of what waits, taken from it."""
    data = waiting.popleft()[1]
    while waiting and len(data) < CHUNK:
        data += waiting.popleft()[1]
    return data


def _try_socket(stream: IOStream, data: bytes) -> int:
    """How many bytes the kernel took without waiting."""
    try:
        return stream.socket.send(data)
    except BlockingIOError:
        return 0
