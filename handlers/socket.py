"""The socket's edge: who calls, into which room, and what they say; the hub does the rest."""

import asyncio
import re
import time
from collections.abc import Awaitable
from typing import Any

import structlog
from tornado.httputil import HTTPHeaders
from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketHandler

from handlers.admission import token_in
from handlers.base import Handler, failure_of
from handlers.parts import Parts
from handlers.places import play_url
from realtime import frames
from realtime.codes import Code
from realtime.opening import Look, Since
from realtime.outbox import Outbox
from rooms.refusals import (
    Away,
    BadRequest,
    Banned,
    NoSuchRoom,
    NotAllowed,
    NotLive,
    NotSignedIn,
    NotYourRoom,
    PutOut,
    Refusal,
)
from rooms.snapshot import snapshot
from storage.database import as_refusal

AUTH_SECONDS = 5
BAD_FRAMES = 3
log = structlog.get_logger("qlive.socket")
_LIVE_ID = re.compile(r"[0-9]{1,15}")


class RoomSocket(WebSocketHandler, Handler):
    """One member's socket in one room."""

    outbox: Outbox | None = None
    live_id = 0

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """A handshake; anything else gets the envelope."""
        if not _is_handshake(self.request.headers):
            raise BadRequest("This path speaks WebSocket only.")
        if self.parts.draining:
            raise Away
        if not self._origin_is_ours():
            raise NotAllowed("This page may not open sockets here.")
        await super().get(*args, **kwargs)

    def check_origin(self, _origin: str) -> bool:
        return True  # get() has checked it, and answered in the envelope

    def open(self, *_args: str, **_kwargs: str) -> None:
        self.parts.metrics.handshakes.inc()
        self.set_nodelay(True)
        self._bad, self._spent, self._second = 0, 0, 0
        self._start_outbox()
        if token := token_in(self.request):
            self._in_background(self._join(token))
        else:
            self._waiting = IOLoop.current().call_later(AUTH_SECONDS, self.bye, Code.TOKEN)

    def on_message(self, message: str | bytes) -> None:
        assert self.outbox is not None
        self.outbox.heard_at = time.monotonic()
        if self._too_fast():
            self.bye(Code.TOO_FAST)
            return
        match frames.parse(message):
            case {"type": "ping", "n": int(n)}:
                self.outbox.send(frames.pong(n))
            case {"type": "auth", "token": str(token)} if self._waiting:
                self._stop_waiting()
                self._in_background(self._join(token))
            case _:
                self._bad += 1
                if self._bad >= BAD_FRAMES:
                    self.bye(Code.BAD_FRAMES)

    def on_pong(self, _data: bytes) -> None:
        assert self.outbox is not None
        self.outbox.heard_at = time.monotonic()

    def on_close(self) -> None:
        self._stop_waiting()
        self.parts.metrics.closes.labels(_label(self.close_code or 1006)).inc()
        log.info("socket_closed", live_id=self.live_id, close=self.close_code)
        if self.outbox:
            self.parts.hub.part(self.live_id, self.outbox)

    def bye(self, code: Code) -> None:
        assert self.outbox is not None
        self._stop_waiting()
        self.outbox.bye(code)

    # ---- joining

    async def _join(self, token: str) -> None:
        parts, query = self.parts, self._query()
        # JSON can write halves of characters, which no hash takes; tokens are ASCII.
        user_id = await parts.tokens.owner(token) if token.isascii() else None
        if user_id is None:
            raise NotSignedIn
        if not _LIVE_ID.fullmatch(query.get("live_id", "")):
            raise NoSuchRoom
        assert self.outbox is not None
        self.live_id, self.outbox.user_id = int(query["live_id"]), user_id

        async def look() -> Look:
            return await _look(parts, self.live_id, user_id)

        structlog.contextvars.bind_contextvars(user_id=user_id)
        await parts.hub.join(self.live_id, self.outbox, _since(query), look)
        log.info("socket_joined", live_id=self.live_id, resumes="since" in query)

    def _in_background(self, work: Awaitable[None]) -> None:
        """A slow handler of frames would stop pongs; what goes wrong becomes a bye."""

        async def run() -> None:
            if failure := await failure_of(work):
                self.bye(_code(failure))

        self._task = asyncio.get_running_loop().create_task(run())

    def _start_outbox(self) -> None:
        stream = self.ws_connection.stream if self.ws_connection else None
        assert stream is not None
        self.outbox = Outbox(
            "",
            stream,
            backlog_bytes=self.parts.settings.limits.backlog_bytes,
            close=self.close,
        )

    # ---- what the caller says

    _waiting: object | None = None

    def _stop_waiting(self) -> None:
        if self._waiting:
            IOLoop.current().remove_timeout(self._waiting)
            self._waiting = None

    def _query(self) -> dict[str, str]:
        return {
            name: values[-1].decode("utf-8", "replace")
            for name, values in self.request.query_arguments.items()
        }

    def _too_fast(self) -> bool:
        limit, second = self.parts.settings.limits.frames_per_second, int(time.monotonic())
        if second != self._second:
            self._second, self._spent = second, 0
        self._spent += 1
        return bool(limit) and self._spent > limit

    def _origin_is_ours(self) -> bool:
        """Browsers send an Origin; without one it is a native client."""
        origin = self.request.headers.get("Origin")
        if origin is None:
            return True
        allowed = self.parts.settings.server.allowed_origins
        return origin in allowed or origin.partition("://")[2] == self.request.host


async def _look(parts: Parts, live_id: int, user_id: str) -> Look:
    """The room for a member who may listen: NotYourRoom, NotLive, Banned, PutOut, NoSuchRoom."""
    user = await parts.users.get(user_id)
    if user.banned:
        raise Banned
    room = await parts.keeper.look(live_id, user_id)
    if not room.live:
        raise NotLive
    if room.role_of(user_id) is None:
        raise NotYourRoom
    counts = await parts.members.counts([(live_id, room.epoch)])
    data = snapshot(room, counts[live_id], lambda stream: play_url(parts, stream))
    return Look(room.epoch, room.version, data)


def _is_handshake(headers: HTTPHeaders) -> bool:
    """RFC 6455 §4.2.1; what Tornado itself refuses, it refuses in plain text."""
    options = [part.strip().lower() for part in headers.get("Connection", "").split(",")]
    return (
        headers.get("Upgrade", "").lower() == "websocket"
        and "upgrade" in options
        and headers.get("Sec-WebSocket-Version") == "13"
        and bool(headers.get("Sec-WebSocket-Key"))
    )


def _since(query: dict[str, str]) -> Since | None:
    seq = query.get("since", "")
    if not seq:
        return None
    # A number that is none matches no life: the client gets a snapshot that says so.
    epoch = query.get("epoch", "") if seq.isdecimal() and len(seq) < 16 else ""
    return Since(epoch, int(seq) if epoch else 0)


def _label(code: int) -> str:
    """A closing code for the metrics: clients may send any, and each would be a line of its own."""
    return str(code) if 1000 <= code < 1016 or code in set(Code) else "other"


def _code(error: Exception) -> Code:
    refusal = error if isinstance(error, Refusal) else as_refusal(error)
    match refusal:
        case NotSignedIn():
            return Code.TOKEN
        case Banned() | PutOut():
            return Code.PUT_OUT
        case NotLive():
            return Code.ENDED
        case NotYourRoom() | NoSuchRoom():
            return Code.NOT_A_MEMBER
        case None:
            log.error("failed", exc_info=error)
    return Code.RESTART
