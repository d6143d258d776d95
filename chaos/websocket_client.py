"""WebSocket client that reconnects as the protocol demands and checks all frames."""

import asyncio
import random
from contextlib import suppress

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from chaos.event_check import EventChecker
from chaos.fleet import Fleet, Node
from chaos.report import RunMetrics
from loadtest.reconnect import Reconnects, is_final
from tests.support.client import connect_socket

OPEN_SECONDS = 10.0
"""Timeout for connecting, and for the first frame."""


class RoomClient:
    """One member's WebSocket client in one room, which also has the user channel."""

    def __init__(
        self,
        fleet: Fleet,
        checker: EventChecker,
        own: EventChecker,
        token: str,
        metrics: RunMetrics,
        silence_timeout: float,
        rng: random.Random,
    ) -> None:
        """`silence_timeout`: seconds without data before a reconnect."""
        self.checker, self.own = checker, own
        self.token = token
        self.node: Node | None = None
        self.connection: ClientConnection | None = None
        self.close_code = 0
        """Close code of the last connection."""
        self.final_code = 0
        """The close code after which it does not reconnect, or 0."""
        self.wanted = True
        self.pinned_node: Node | None = None
        """The only node to connect to, if any."""
        self._fleet, self._metrics, self._rng = fleet, metrics, rng
        self._silence_timeout = silence_timeout
        self._received_at = 0.0
        self._reconnects = Reconnects(rng.random)
        self._retry_ms = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        return self.connection is not None and self.checker.opened and self.own.opened

    def start(self) -> None:
        """Connect and stay connected until `stop` or a final close code."""
        self.wanted, self.final_code = True, 0
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        self.wanted = False
        if self._task:
            self._task.cancel()
        self._abort()

    async def wait_stopped(self) -> None:
        if self._task:
            await asyncio.wait([self._task])

    @property
    def failure(self) -> BaseException | None:
        """The exception that ended this client, which is a bug of the client."""
        task = self._task
        return task.exception() if task and task.done() and not task.cancelled() else None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self.wanted and not self.final_code:
            started_ms = loop.time() * 1000
            self._reconnects.attempt(started_ms)
            self.close_code = await self._connect_and_listen()
            if is_final(self.close_code):
                self.final_code = self.close_code
                return
            self._metrics.reconnects += self.checker.opened
            now_ms = loop.time() * 1000
            live_ms = now_ms - started_ms if self.checker.opened else 0
            delay_ms = self._reconnects.delay_ms(now_ms, live_ms, self._retry_ms)
            await asyncio.sleep(delay_ms / 1000)

    def check_silence(self, now: float) -> None:
        """Drop a connection without data for too long; to be called once a second."""
        timeout = self._silence_timeout if self.checker.opened else OPEN_SECONDS
        if self.connection and now - self._received_at > timeout:
            self._metrics.silence_timeouts += 1
            self._abort()

    # ---- one connection

    async def _connect_and_listen(self) -> int:
        """Return the close code; 0 if no server accepted the connection."""
        self.checker.on_connect()
        self.own.on_connect()
        self._retry_ms = 0
        connection = await self._connect()
        if connection is None:
            return 0
        self.connection, self._received_at = connection, asyncio.get_running_loop().time()
        try:
            with suppress(ConnectionClosed):
                while True:
                    self._on_text(await connection.recv(decode=False))
        except Exception as error:  # noqa: BLE001 - any error of the frame
            self.checker.violations.add("unreadable_frame", f"{self.checker.name}: {error!r}")
        finally:
            self._abort()
            self.connection = None
        return connection.close_code or 0

    async def _connect(self) -> ClientConnection | None:
        checker, pinned = self.checker, self.pinned_node
        position: dict[str, object] = {"own": 1}
        for prefix, known in (("", checker), ("own_", self.own)):
            if known.seq >= 0:
                position |= {f"{prefix}epoch": known.epoch, f"{prefix}since": known.seq}
        options = {"open_timeout": OPEN_SECONDS, "max_queue": None}
        for node in [pinned] if pinned else self._fleet.connect_order(self._rng):
            self.node, address = node, f"http://127.0.0.1:{node.port}"
            with suppress(OSError, TimeoutError, InvalidHandshake, ConnectionClosed):
                return await connect_socket(
                    address, int(checker.key), self.token, options=options, **position
                )
        return None

    def _abort(self) -> None:
        if self.connection:
            self.connection.transport.abort()

    def _on_text(self, payload: bytes) -> None:
        self._received_at = asyncio.get_running_loop().time()
        checker, own = self.checker, self.own
        frame = checker.timelines.parse(payload)
        if frame["type"] == "bye":
            self._retry_ms = frame["retry_ms"]
            return
        if "user_id" in frame:
            own.on_frame(frame)
        else:
            checker.on_frame(frame)
            if frame["type"] == "heartbeat" and own.opened:
                own.on_frame(frame)
        if checker.must_resume or own.must_resume:
            self._abort()
