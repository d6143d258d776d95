"""One socket's way out: the socket itself first, a bounded backlog second."""

import random
import time
from collections.abc import Callable

from tornado.iostream import IOStream, StreamBufferFullError, StreamClosedError

from realtime import frames
from realtime.codes import Code


class Outbox:
    """What is to be sent to one member; nothing here waits or raises."""

    __slots__ = ("_backlog", "_close", "_parted", "_stream", "heard_at", "next_beat", "user_id")

    def __init__(
        self,
        user_id: str,
        stream: IOStream,
        *,
        backlog_bytes: int,
        close: Callable[[int, str], None],
    ) -> None:
        self.user_id = user_id
        self.heard_at = time.monotonic()
        self.next_beat = 0.0
        self._parted = False
        self._stream = stream
        self._backlog = backlog_bytes
        self._close = close
        stream.max_write_buffer_size = backlog_bytes

    @property
    def closed(self) -> bool:
        """Gone, or going: nothing may follow a close frame."""
        return self._parted or self._stream.closed()

    def begin(self, frames_: bytes) -> None:
        """Send what a socket begins with, which may be larger than any backlog: a room with a
        thousand applicants, or all that was missed."""
        self._stream.max_write_buffer_size = self._backlog + len(frames_)
        self.send(frames_)

    def send(self, frame: bytes) -> None:
        """Hand over one or more whole frames, in order behind those that still wait.

        A reader who lets more than the backlog pile up is cut off at once: it comes back and
        resumes, and meanwhile costs the others nothing.
        """
        if self.closed:
            return
        stream = self._stream
        try:
            if not stream.writing():
                frame = frame[_try_socket(stream, frame) :]
            if frame:
                stream.write(frame)
        except StreamBufferFullError:
            stream.close()
        except (StreamClosedError, OSError):
            stream.close()

    def beat(self, frame: bytes) -> None:
        """A heartbeat, with a protocol ping that phones and browsers answer by themselves."""
        self.send(frame + frames.PING)

    def bye(self, code: Code, retry_ms: int | None = None) -> None:
        """Say why, then close with the code; without `retry_ms` a short random one. Once."""
        wait = random.randint(100, 1500) if retry_ms is None else retry_ms
        self.send(frames.bye(code, wait if code.reconnect else 0))
        if self.closed:
            return
        self._parted = True
        try:
            self._close(code, code.reason)
        except StreamBufferFullError:  # a close frame counts towards the backlog like any other
            self._stream.close()


def _try_socket(stream: IOStream, frame: bytes) -> int:
    """How many bytes the kernel took without waiting."""
    try:
        return stream.socket.send(frame)
    except BlockingIOError:
        return 0
