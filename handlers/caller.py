"""One connection to a room: who it is, what they say, and why it ends; the hub does the rest."""

import asyncio
import time
from dataclasses import replace
from typing import NamedTuple

import structlog
from tornado.iostream import IOStream, StreamClosedError

from handlers.base import failure_of
from handlers.listening import code_of, may_listen, see
from handlers.parts import Parts
from realtime import frames, wire
from realtime.codes import Code
from realtime.opening import Look, Since
from realtime.outbox import Outbox
from rooms.keeper import now_ms
from rooms.presence import Connection
from rooms.refusals import NotSignedIn, NotYourRoom
from storage.tokens import token_id

AUTH_SECONDS = 5
BAD_FRAMES = 3
READ_BYTES = 4096
LONG_WAIT_MS = 1_000
log = structlog.get_logger("qlive.socket")


class Wish(NamedTuple):
    """What a handshake asks for; token "" when the first frame is to bring it."""

    live_id: int
    since: Since | None
    token: str
    request_id: str


class Caller:
    """From the upgrade to the end of the connection."""

    __slots__ = (
        "_auth",
        "_bad",
        "_joining",
        "_parts",
        "_reader",
        "_second",
        "_spent",
        "_stream",
        "_wish",
        "close_code",
        "outbox",
    )

    def __init__(self, parts: Parts, stream: IOStream) -> None:
        limits = parts.settings.limits
        self.outbox = Outbox("", stream, backlog_bytes=limits.backlog_bytes)
        self.close_code = 1006
        self._parts = parts
        self._stream = stream
        self._reader = wire.Reader(limits.frame_bytes)
        self._bad, self._spent, self._second = 0, 0, 0
        self._joining: asyncio.Task[None] | None = None
        self._auth: asyncio.TimerHandle | None = None
        self._wish: Wish | None = None

    async def run(self, wish: Wish) -> None:
        """Until the connection is gone; nothing it meets is an error of ours."""
        structlog.contextvars.bind_contextvars(request_id=wish.request_id, live_id=wish.live_id)
        self._parts.hub.arrive(self.outbox)
        if wish.token:
            self._join_in_background(wish, wish.token)
        else:
            self._wish = wish
            later = asyncio.get_running_loop().call_later
            self._auth = later(AUTH_SECONDS, self.outbox.bye, Code.TOKEN)
        try:
            while True:
                self._hear(await self._stream.read_bytes(READ_BYTES, partial=True))
                # What is there already is read without a pause: a flood must let others in.
                await asyncio.sleep(0)
        except (StreamClosedError, OSError):
            self._stream.close()
        except Exception:
            log.exception("caller_broke", user_id=self.outbox.user_id)
            self._stream.close()
        finally:
            self._end()

    def _end(self) -> None:
        self._stop_waiting()
        code = self.close_code if self.outbox.went is None else int(self.outbox.went)
        self._parts.metrics.closes.labels(_label(code)).inc()
        log.info("socket_closed", user_id=self.outbox.user_id, close=code)
        if self._joining:  # it may be just now that they are noted as connected
            self._joining.add_done_callback(lambda _: self._leave())
        else:
            self._leave()

    def _leave(self) -> None:
        parts, connection = self._parts, self.outbox.connection
        parts.hub.part(connection.live_id if connection else 0, self.outbox)
        if connection:
            parts.presence.part(replace(connection, at=now_ms()))

    # ---- what the caller says

    def _hear(self, data: bytes) -> None:
        self.outbox.heard_at = time.monotonic()
        for heard in self._reader.feed(data):
            if isinstance(heard, wire.Closing):
                self._hear_closing(heard.code)
            elif not self.outbox.closed:
                self._hear_one(heard)

    def _hear_one(self, heard: wire.Heard) -> None:
        if self._too_fast():
            self.outbox.bye(Code.TOO_FAST)
            return
        match heard:
            case wire.Text():
                self._hear_text(heard.text)
            case wire.Binary():
                self._count_bad()
            case wire.Ping():
                self.outbox.send(wire.pong(heard.data))
            case wire.Broken():
                self.close_code = heard.code
                self.outbox.part(wire.closing(heard.code, heard.reason))

    def _hear_text(self, text: str) -> None:
        match frames.parse(text):
            case {"type": "ping", "n": int(n)}:
                self.outbox.send(frames.pong(n))
            case {"type": "auth", "token": str(token)} if self._auth and self._wish:
                self._stop_waiting()
                self._join_in_background(self._wish, token)
            case _:
                self._count_bad()

    def _hear_closing(self, code: int | None) -> None:
        """Theirs is answered; after an answer to ours there is nothing more to say."""
        self.close_code = code or 1005
        if self.outbox.closed:
            self._stream.close()
            return
        self.outbox.part(wire.closing(code or 1000))
        if not self.outbox.waits:
            self._stream.close()

    def _count_bad(self) -> None:
        self._bad += 1
        if self._bad >= BAD_FRAMES:
            self.outbox.bye(Code.BAD_FRAMES)

    def _too_fast(self) -> bool:
        limit, second = self._parts.settings.limits.frames_per_second, int(time.monotonic())
        if second != self._second:
            self._second, self._spent = second, 0
        self._spent += 1
        return bool(limit) and self._spent > limit

    def _stop_waiting(self) -> None:
        if self._auth:
            self._auth.cancel()
            self._auth = None

    # ---- joining

    def _join_in_background(self, wish: Wish, token: str) -> None:
        """Reading goes on meanwhile, or pings would wait; what goes wrong becomes a bye."""

        async def run() -> None:
            if failure := await failure_of(self._join_in_turn(wish, token)):
                self.outbox.bye(code_of(failure))
            self._joining = None

        self._joining = asyncio.get_running_loop().create_task(run())

    async def _join_in_turn(self, wish: Wish, token: str) -> None:
        came_at = now_ms()
        async with self._parts.gate.turn():
            if not self.outbox.closed:
                await self._join(wish, token, came_at)

    async def _join(self, wish: Wish, token: str, came_at: int) -> None:
        parts, outbox, live_id = self._parts, self.outbox, wish.live_id
        # JSON can write halves of characters, which no hash takes; tokens are ASCII.
        user_id = await parts.tokens.owner(token) if token.isascii() else None
        if user_id is None:
            raise NotSignedIn
        outbox.user_id, outbox.token_id = user_id, token_id(token)
        structlog.contextvars.bind_contextvars(user_id=user_id)
        # A socket that was given up must not take a number after its successor.
        if outbox.closed or await self._was_overtaken(user_id, came_at):
            outbox.bye(Code.RESTART)
            return
        outbox.connection = await self._arrive(user_id, live_id)
        outbox.number = outbox.connection.number

        async def look() -> Look:
            return await see(parts, live_id, user_id)

        await parts.hub.join(live_id, outbox, wish.since, look)
        log.info("socket_joined", resumes=wish.since is not None)

    async def _was_overtaken(self, user_id: str, came_at: int) -> bool:
        """Whether they have opened another socket while this one waited its turn."""
        if now_ms() - came_at < LONG_WAIT_MS:
            return False
        places = await self._parts.places.standing([user_id])
        return user_id in places and places[user_id].number > came_at

    async def _arrive(self, user_id: str, live_id: int) -> Connection:
        """Whoever has no place there may be told more of why."""
        arriving = self._parts.presence.arrive(user_id, live_id)
        try:
            return await arriving
        except NotYourRoom:
            await may_listen(self._parts, live_id, user_id)
            raise


def _label(code: int) -> str:
    """A closing code for the metrics: clients may send any, and each would be a line of its own."""
    return str(code) if 1000 <= code < 1016 or code in set(Code) else "other"
