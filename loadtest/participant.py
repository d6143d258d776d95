"""A user in a room, with a socket that reconnects as the protocol demands."""

import asyncio
import functools
import json
import random
import time
from contextlib import suppress
from typing import Any

from loadtest.accounts import Account
from loadtest.http_client import BASE
from loadtest.measurements import Measurements
from loadtest.target import Target
from loadtest.websocket import ABNORMAL_CLOSURE, WebSocketConnection, handshake

FIRST_BACKOFF, MAX_BACKOFF, MIN_BACKOFF = 0.5, 20.0, 0.1
OPEN_SECONDS = 10.0
SILENT_SECONDS = 60.0
"""Without any data for so long a connection counts as lost; heartbeats come every 25 s."""
PROTOCOL_ERROR = 1002
"""Counted for what the server sends and no client understands."""
FINAL = frozenset((401, 403, 4401, *range(4500, 5000)))
"""Close codes, and statuses of a refused handshake, after which a client does not reconnect."""


@functools.lru_cache(maxsize=64)
def _parsed(payload: bytes) -> dict[str, Any]:
    """The frame; the members of a room receive the same one at about the same time."""
    frame: dict[str, Any] = json.loads(payload)
    return frame


class RoomAudience:
    """The members of one room, of whom `listeners` are connected."""

    def __init__(self, live_id: int) -> None:
        self.live_id = live_id
        self.listeners = 0


class Participant:
    """Connects, measures what it receives, and reconnects until `stop`."""

    def __init__(
        self, account: Account, room: RoomAudience, target: Target, measurements: Measurements
    ) -> None:
        self.account = account
        self.room = room
        self.opened = asyncio.Event()
        """Set while connected and up to date."""
        self.final_code = 0
        """With which the server closed for good."""
        self._target = target
        self._measurements = measurements
        self._epoch, self._seq, self._replay = "", -1, 0
        self._retry_ms: int | None = None
        self._lost_at = 0.0
        self._failures = 0
        self._connection: WebSocketConnection | None = None

    async def listen(self) -> None:
        """Stay connected until cancelled, or until the server closes for good."""
        try:
            while True:
                code = await self._connect_and_listen()
                if code:
                    self._measurements.record_close(code)
                if code in FINAL:
                    self.final_code = code
                    return
                await asyncio.sleep(self._pause())
        finally:
            self._close()

    async def lose_connections(self, mean_seconds: float) -> None:
        """Lose the connection again and again, as a phone that changes its network."""
        while True:
            await asyncio.sleep(random.uniform(0, 2 * mean_seconds))
            if self.opened.is_set():
                self._retry_ms = 0
                self._close()

    async def check_silence(self) -> None:
        while True:
            await asyncio.sleep(1)
            now = asyncio.get_running_loop().time()
            if self._connection and now - self._connection.received_at > SILENT_SECONDS:
                self._close()

    def _close(self) -> None:
        if self._connection:
            self._connection.abort()

    async def _connect_and_listen(self) -> int:
        """Returns the server's close code; 0 if the connection was lost or not accepted."""
        path = f"{BASE}ws/?live_id={self.room.live_id}"
        if self._seq >= 0:
            path += f"&epoch={self._epoch}&since={self._seq}"
        request = handshake(path, self.account.http.token, self._target.authority)
        connection = WebSocketConnection(request, self._on_text)
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(OPEN_SECONDS):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection, self._target.host, self._target.port, ssl=self._target.tls
                )
            self._connection = connection
            try:
                code = await connection.closed
            finally:
                self._on_closed()
            if connection.error:
                return PROTOCOL_ERROR
            return 0 if code == ABNORMAL_CLOSURE else code
        return 0

    def _on_closed(self) -> None:
        self._connection = None
        if self.opened.is_set():
            self.opened.clear()
            self.room.listeners -= 1
            self._lost_at = time.monotonic()

    def _pause(self) -> float:
        """Seconds before the next attempt: of the server's bye, or more with each failure."""
        if self._retry_ms is not None:
            pause, self._retry_ms = self._retry_ms / 1000, None
            return pause
        most = min(MAX_BACKOFF, FIRST_BACKOFF * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        return random.uniform(MIN_BACKOFF, max(MIN_BACKOFF, most))

    def _on_text(self, payload: bytes) -> None:
        frame = _parsed(payload)
        kind = frame["type"]
        if kind in ("snapshot", "resumed"):
            self._epoch, self._seq = frame["epoch"], frame["seq"] - frame.get("replayed", 0)
            self._replay = frame.get("replayed", 0)
            self._on_opened()
        elif kind == "bye":
            self._retry_ms = frame["retry_ms"]
        elif "epoch" in frame and "data" in frame:
            self._on_event(frame)

    def _on_opened(self) -> None:
        if self.opened.is_set():
            return
        self._failures = 0
        self.opened.set()
        self.room.listeners += 1
        if self._lost_at:
            self._measurements.record_reconnect(self._lost_at)
            self._lost_at = 0.0

    def _on_event(self, frame: dict[str, Any]) -> None:
        self._seq = frame["seq"]
        if self._replay:
            self._replay -= 1
            self._measurements.replayed += 1
            return
        self._measurements.record_event(self.room.live_id, frame, self.room.listeners)
