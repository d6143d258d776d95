"""One WebSocket connection: authentication, joining, incoming frames, closing."""

import asyncio
import random
import time
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import structlog
from tornado.iostream import IOStream, StreamClosedError

from core.clock import now_ms
from handlers.context import Context
from realtime import frames, wire
from realtime.frames import CloseCode
from realtime.resume import ResumePosition
from realtime.socket_writer import SocketWriter
from services.rooms.room_access import close_code_for
from storage.documents import token_id

AUTH_SECONDS = 5
"""Time limit for the `auth` frame of a connection opened without a token."""
BAD_FRAMES = 3
"""Invalid frames until the connection is closed."""
FRAME_BYTES = 16_384
"""The largest frame that a client may send."""
FRAMES_PER_SECOND = 20
"""Frames that a client may send in a second: it needs one to log in, and a ping in some seconds."""
BACKLOG_BYTES = 262_144
"""A client with more unsent data is closed."""
log = structlog.get_logger("qlive.socket")


class ConnectRequest(NamedTuple):
    """Parameters of a handshake; `token` is "" when the first frame is to bring it.

    Without a `live_id`, the socket is of the user channel; with one, it has that as well if
    `own` is set. `own_since` is its position then.
    """

    live_id: int | None
    since: ResumePosition | None
    token: str
    request_id: str
    own: bool = False
    own_since: ResumePosition | None = None


@dataclass(slots=True, eq=False)
class Connection:
    """A client's connection, from the upgrade until it is closed; the hub sends its events."""

    _context: Context
    _stream: IOStream
    _request: ConnectRequest
    writer: SocketWriter = field(init=False)
    close_code: int = 1006
    """Code of the client's close frame, or of its violation of the protocol."""
    _reader: wire.FrameParser = field(default_factory=lambda: wire.FrameParser(FRAME_BYTES))
    _bad: int = 0
    _spent: int = 0
    """Frames in this `_second`."""
    _second: int = 0
    _joining: asyncio.Task[None] | None = None
    _auth: asyncio.TimerHandle | None = None
    """While the token is awaited: closes the connection after AUTH_SECONDS."""

    def __post_init__(self) -> None:
        self.writer = SocketWriter("", self._stream, BACKLOG_BYTES)

    async def run(self) -> None:
        """Serve the connection until it is closed; errors are logged, never raised."""
        request = self._request
        structlog.contextvars.bind_contextvars(
            request_id=request.request_id, live_id=request.live_id
        )
        self._context.hub.connect(self.writer)
        if request.token:
            self._start_joining(request.token)
        else:
            call_later = asyncio.get_running_loop().call_later
            self._auth = call_later(AUTH_SECONDS, self.writer.close, CloseCode.TOKEN)
        try:
            while True:
                self.receive(await self._stream.read_bytes(4096, partial=True))
                # Reading buffered data does not yield: without this, a flood starves the others.
                await asyncio.sleep(0)
        except (StreamClosedError, OSError):
            self._stream.close()
        except Exception:
            log.exception("connection_failed", user_id=self.writer.user_id)
            self._stream.close()
        finally:
            self._end()

    def _end(self) -> None:
        if self._auth:
            self._auth.cancel()
        code = int(self.writer.close_code or self.close_code)
        # Clients may send any code, so unknown ones share a label.
        is_known = 1000 <= code < 1016 or code in set(CloseCode)
        self._context.metrics.closes.labels(str(code) if is_known else "other").inc()
        log.info("socket_closed", user_id=self.writer.user_id, close=code)
        if self._joining:  # the join may be registering the socket right now
            self._joining.add_done_callback(lambda _: self._leave())
        else:
            self._leave()

    def _leave(self) -> None:
        context, member_socket = self._context, self.writer.member_socket
        context.hub.disconnect(self.writer, self._request.live_id or 0, self.writer.user_id)
        if member_socket:
            context.services.rooms.presence.disconnect(replace(member_socket, at=now_ms()))
        else:
            context.services.accounts.channels.disconnect(self.writer)

    # ---- incoming frames

    def receive(self, data: bytes) -> None:
        """Answer the frames that the client has sent."""
        self.writer.received_at = time.monotonic()
        for message in self._reader.feed(data):
            if isinstance(message, wire.CloseMessage):
                self._on_close(message.code)
            elif not self.writer.closed:
                self._on_message(message)

    def _on_message(self, message: wire.Incoming) -> None:
        second = int(self.writer.received_at)
        if second != self._second:
            self._second, self._spent = second, 0
        self._spent += 1
        if self._spent > FRAMES_PER_SECOND:
            self.writer.close(CloseCode.TOO_FAST)
            return
        match message:
            case wire.TextMessage():
                self._on_text(message.text)
            case wire.BinaryMessage():
                self._count_bad_frame()
            case wire.PingMessage():
                self.writer.send(wire.pong_frame(message.data))
            case wire.ProtocolViolation():
                self.close_code = message.code
                self.writer.send_close(wire.close_frame(message.code, message.reason))

    def _on_text(self, text: str) -> None:
        match frames.parse(text):
            case {"type": "ping", "n": int(n)}:
                self.writer.send(frames.pong(n))
            case {"type": "auth", "token": str(token)} if self._auth:
                self._auth.cancel()
                self._auth = None
                self._start_joining(token)
            case _:
                self._count_bad_frame()

    def _on_close(self, code: int | None) -> None:
        """Answer the client's close frame, or finish the close handshake begun by the server."""
        self.close_code = code or 1005
        if self.writer.closed:
            self._stream.close()
            return
        self.writer.send_close(wire.close_frame(code or 1000))
        if not self.writer.has_backlog:
            self._stream.close()

    def _count_bad_frame(self) -> None:
        self._bad += 1
        if self._bad >= BAD_FRAMES:
            self.writer.close(CloseCode.BAD_FRAMES)

    # ---- joining

    def _start_joining(self, token: str) -> None:
        """Join in a task, so that pings are answered meanwhile."""
        self._joining = asyncio.get_running_loop().create_task(self._join(token))

    async def _join(self, token: str) -> None:
        """Join the room once there is a slot; an error becomes a `bye` frame."""
        queued_at, context, writer = time.monotonic(), self._context, self.writer
        try:
            async with context.join_limit:
                if not writer.closed:
                    await self._authenticate(token)
                    if seconds := context.request_limits.take("read", "user", writer.user_id):
                        delay_ms = round(seconds * 1000) + random.randint(100, 1500)
                        writer.close(CloseCode.TOO_FAST, delay_ms)
                    else:
                        await self._join_channels(queued_at)
                        log.info("socket_joined", resumes=self._request.since is not None)
        except Exception as error:  # noqa: BLE001 - no HTTP response can carry it
            writer.close(close_code_for(error))
        self._joining = None

    async def _join_channels(self, queued_at: float) -> None:
        """Join the room, or the user channel, or both in this order."""
        request, writer, joins = self._request, self.writer, self._context.services.rooms.joins
        if request.live_id is None:
            await joins.join_user_channel(writer, request.since)
            return
        await joins.join_room(request.live_id, writer, request.since, queued_at)
        if request.own:
            await joins.join_user_channel(writer, request.own_since)

    async def _authenticate(self, token: str) -> None:
        """Find the user of the token. Raises NotAuthenticated or AccountBanned."""
        writer, user = self.writer, None
        if token.isascii():  # JSON may contain lone surrogates, which cannot be hashed
            writer.token_id = token_id(token)  # cleared if it is revoked during the lookup
            user = await self._context.stores.tokens.user_of(token)
        if not writer.token_id:
            user = None
        if user:
            writer.user_id = user.user_id
            structlog.contextvars.bind_contextvars(user_id=user.user_id)
        await self._context.services.accounts.sessions.check_active(user, token)
