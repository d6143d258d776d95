"""One WebSocket connection: authentication, joining, incoming frames, closing.

Events are sent by the hub.
"""

import asyncio
import random
import time
from dataclasses import replace
from typing import NamedTuple

import structlog
from tornado.iostream import IOStream, StreamClosedError

from core.clock import now_ms
from core.errors import TryAgain
from handlers.context import Context
from realtime import frames, wire
from realtime.close_codes import CloseCode
from realtime.resume import ResumePosition, RoomView
from realtime.socket_writer import SocketWriter
from rooms.members import MemberSocket
from services.rooms.room_access import close_code_for
from storage.documents import token_id

AUTH_SECONDS = 5
"""Time limit for the `auth` frame of a connection opened without a token."""
BAD_FRAMES = 3
"""Invalid frames until the connection is closed."""
READ_BYTES = 4096
FRAME_BYTES = 16_384
"""The largest frame that a client may send."""
FRAMES_PER_SECOND = 20
"""Frames that a client may send in a second: it needs one to log in, and a ping in some seconds."""
BACKLOG_BYTES = 262_144
"""A client with more unsent data is closed."""
SUPERSEDE_CHECK_SECONDS = 1.0
"""Time before its registration from which on a join checks for a newer socket of the same user."""
log = structlog.get_logger("qlive.socket")


class ConnectRequest(NamedTuple):
    """Parameters of a handshake; `token` is "" when the first frame is to bring it."""

    live_id: int
    since: ResumePosition | None
    token: str
    request_id: str


class Connection:
    """A client's connection, from the upgrade until it is closed."""

    __slots__ = (
        "_auth",
        "_bad",
        "_context",
        "_joining",
        "_reader",
        "_request",
        "_second",
        "_spent",
        "_stream",
        "close_code",
        "writer",
    )

    def __init__(self, context: Context, stream: IOStream) -> None:
        self.writer = SocketWriter("", stream, backlog_bytes=BACKLOG_BYTES)
        self.close_code = 1006
        self._context = context
        self._stream = stream
        self._reader = wire.FrameParser(FRAME_BYTES)
        self._bad, self._spent, self._second = 0, 0, 0
        self._joining: asyncio.Task[None] | None = None
        self._auth: asyncio.TimerHandle | None = None
        self._request: ConnectRequest | None = None

    async def run(self, request: ConnectRequest) -> None:
        """Serve the connection until it is closed; errors are logged, never raised."""
        structlog.contextvars.bind_contextvars(
            request_id=request.request_id, live_id=request.live_id
        )
        self._context.hub.connect(self.writer)
        if request.token:
            self._start_joining(request, request.token)
        else:
            self._request = request
            call_later = asyncio.get_running_loop().call_later
            self._auth = call_later(AUTH_SECONDS, self.writer.close, CloseCode.TOKEN)
        try:
            while True:
                self._on_data(await self._stream.read_bytes(READ_BYTES, partial=True))
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
        self._cancel_auth_timeout()
        code = self.close_code if self.writer.close_code is None else int(self.writer.close_code)
        self._context.metrics.closes.labels(_close_label(code)).inc()
        log.info("socket_closed", user_id=self.writer.user_id, close=code)
        if self._joining:  # the join may be registering the socket right now
            self._joining.add_done_callback(lambda _: self._leave())
        else:
            self._leave()

    def _leave(self) -> None:
        context, connection = self._context, self.writer.member_socket
        context.hub.disconnect(connection.live_id if connection else 0, self.writer)
        if connection:
            context.services.rooms.presence.disconnect(replace(connection, at=now_ms()))

    # ---- incoming frames

    def _on_data(self, data: bytes) -> None:
        self.writer.received_at = time.monotonic()
        for message in self._reader.feed(data):
            if isinstance(message, wire.CloseMessage):
                self._on_close(message.code)
            elif not self.writer.closed:
                self._on_message(message)

    def _on_message(self, message: wire.Incoming) -> None:
        if self._over_frame_limit():
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
            case {"type": "auth", "token": str(token)} if self._auth and self._request:
                self._cancel_auth_timeout()
                self._start_joining(self._request, token)
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

    def _over_frame_limit(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._spent = second, 0
        self._spent += 1
        return self._spent > FRAMES_PER_SECOND

    def _cancel_auth_timeout(self) -> None:
        if self._auth:
            self._auth.cancel()
            self._auth = None

    # ---- joining

    def _start_joining(self, request: ConnectRequest, token: str) -> None:
        """Join in a task, so that pings are answered meanwhile."""
        self._joining = asyncio.get_running_loop().create_task(self._join(request, token))

    async def _join(self, request: ConnectRequest, token: str) -> None:
        """Join the room once there is a slot; an error becomes a `bye` frame."""
        queued_at = time.monotonic()
        try:
            async with self._context.join_limit.slot():
                if not self.writer.closed:
                    await self._join_room(request, token, queued_at)
        except Exception as error:  # noqa: BLE001 - no HTTP response can carry it
            self.writer.close(close_code_for(error))
        self._joining = None

    async def _join_room(self, request: ConnectRequest, token: str, queued_at: float) -> None:
        """Let the hub subscribe to the room, then register the socket and read the room.

        So whatever is decided after a read reaches this socket: a ban or a logout by the user or
        the token, a removal from the room by the subscription.
        """
        context, writer, live_id = self._context, self.writer, request.live_id
        user_id = await self._authenticate(token)
        if seconds := context.request_limits.take("read", "user", user_id):
            writer.close(CloseCode.TOO_FAST, round(seconds * 1000) + random.randint(100, 1500))
            return

        async def load_view() -> RoomView:
            rooms = context.services.rooms
            if writer.member_socket:  # the user was evicted, or the room changed, meanwhile
                return await rooms.access.authorize(live_id, user_id)
            # An abandoned socket must not get a higher number than its successor.
            if writer.closed or await self._is_superseded(user_id, queued_at):
                raise TryAgain
            member = await rooms.presence.connect(user_id, live_id)
            if member:
                writer.member_socket = MemberSocket(user_id, live_id, member.epoch, member.socket)
                writer.number = member.socket
            return await rooms.access.load_view(live_id, user_id, member)

        await context.hub.join(live_id, writer, request.since, load_view)
        log.info("socket_joined", resumes=request.since is not None)

    async def _authenticate(self, token: str) -> str:
        """Return the user_id; raises NotAuthenticated or AccountBanned."""
        writer, user = self.writer, None
        if token.isascii():  # JSON may contain lone surrogates, which cannot be hashed
            writer.token_id = token_id(token)  # cleared if it is revoked during the lookup
            user = await self._context.stores.tokens.user_of(token)
        if not writer.token_id:
            user = None
        if user:
            writer.user_id = user.user_id
            structlog.contextvars.bind_contextvars(user_id=user.user_id)
        active = await self._context.services.accounts.sessions.check_active(user, token)
        return active.user_id

    async def _is_superseded(self, user_id: str, queued_at: float) -> bool:
        """Return whether the user has opened another socket while this one was queued.

        Sockets opened earlier by up to the duration of this query count as well: a needless restart
        is harmless, but an abandoned socket must not replace its successor.
        """
        if time.monotonic() - queued_at < SUPERSEDE_CHECK_SECONDS:
            return False
        age_ms = await self._context.stores.presence.socket_age_ms(user_id)
        return age_ms is not None and age_ms < (time.monotonic() - queued_at) * 1000


def _close_label(code: int) -> str:
    """Return the metrics label of a close code.

    Clients may send any, so unknown ones share a label.
    """
    return str(code) if 1000 <= code < 1016 or code in set(CloseCode) else "other"
