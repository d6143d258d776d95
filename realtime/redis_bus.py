"""The bus between processes, over Redis publish and subscribe (redis-py, once aioredis).

Everything on it is a hint: without Redis the rooms go on, and the hub's regular checks find
what was not heard.
"""

import asyncio
import time
from collections import deque
from contextlib import suppress
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from realtime.bus import Edited, Hear, Message, Revoked, ShownOut
from realtime.letters import pack, unpack

log = structlog.get_logger("qlive.bus")

PING_SECONDS = 1.0
DEAF_SECONDS = 3.0
"""A subscriber that has not heard its own ping for so long is deaf, whatever its socket says."""
ANSWER_SECONDS = 2.0
FOLLOW_SECONDS = 0.5
WAITING = 10_000
"""Letters kept while Redis is slow; more than that are hints too old to be of use."""
AT_ONCE = 256
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
AWAY = (RedisError, OSError, TimeoutError)


class RedisBus:
    """One channel per room, one that all processes hear, and one for this process's own ping."""

    def __init__(self, url: str, prefix: str, process: str) -> None:
        """`prefix` keeps deployments that share a Redis apart; `process` names this one."""
        self.healthy = False
        self.gaps = 0
        self.latency_ms: float | None = None
        self._process = process
        self._rooms = f"{prefix}:room:"
        self._all = f"{prefix}:all"
        self._own = f"{prefix}:process:{process}"
        self._ears: list[Hear] = []
        self._wanted: set[str] = set()
        self._awaited: dict[str, asyncio.Future[None]] = {}
        self._out: deque[tuple[str, bytes]] = deque(maxlen=WAITING)
        self._written = asyncio.Event()
        self._pubsub: PubSub | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard_at = 0.0
        self._redis = Redis.from_url(
            url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            retry_on_timeout=False,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
        )

    # ---- the bus

    def listen(self, hear: Hear) -> None:
        self._ears.append(hear)

    def publish(self, message: Message) -> None:
        """Heard here at once; for the others it waits its turn, and goes while Redis is away."""
        self._hear(message)
        if self.healthy:
            self._write(self._channel(message), pack(self._process, message))

    async def follow(self, live_id: int) -> None:
        channel = f"{self._rooms}{live_id}"
        if channel not in self._wanted:
            self._wanted.add(channel)
            self._awaited[channel] = asyncio.get_running_loop().create_future()
            self._in_background(self._ask("subscribe", channel))
        if self.healthy and (answered := self._awaited.get(channel)):
            await asyncio.wait([answered], timeout=FOLLOW_SECONDS)

    def unfollow(self, live_id: int) -> None:
        channel = f"{self._rooms}{live_id}"
        if channel in self._wanted:
            self._wanted.discard(channel)
            self._answer(channel)
            self._in_background(self._ask("unsubscribe", channel))

    # ---- what runs beside it

    async def speak(self, stopping: asyncio.Event) -> None:
        """Send what was published until `stopping`."""
        while not stopping.is_set():
            await _first_of(self._written, stopping)
            self._written.clear()
            try:
                while self._out:
                    await self._send()
            except Exception as error:  # noqa: BLE001 - without a voice a process is deaf, too
                log.debug("word_not_sent", error=type(error).__name__)

    async def hear(self, stopping: asyncio.Event) -> None:
        """Hear what others publish until `stopping`; connects again as often as it takes."""
        pause = SHORTEST_PAUSE
        while not stopping.is_set():
            started = time.monotonic()
            try:
                await self._hear_until(stopping)
            except Exception as error:  # noqa: BLE001 - a bus that has died in silence is the worst
                self._lost(error)
            with suppress(Exception):
                await self._forget_connection()
            if time.monotonic() - started > 2 * DEAF_SECONDS:
                pause = SHORTEST_PAUSE
            await _first_of(stopping, seconds=pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._redis.aclose()

    # ---- the small steps

    async def _hear_until(self, stopping: asyncio.Event) -> None:
        pubsub = self._redis.pubsub()
        try:
            await pubsub.subscribe(self._own, self._all, *self._wanted)
            assert pubsub.connection is not None
            # redis-py may connect again by itself: what was said meanwhile is missed all the same.
            pubsub.connection.register_connect_callback(self._count_gap)
            self._pubsub = pubsub
            await self._ask_missing()
            self._heard_at, pinged_at = time.monotonic(), 0.0
            while not stopping.is_set():
                now = time.monotonic()
                if now - pinged_at >= PING_SECONDS:
                    pinged_at = now
                    self._write(self._own, str(now).encode())
                if now - self._heard_at > DEAF_SECONDS:
                    raise TimeoutError("the subscriber does not hear its own ping")
                if heard := await pubsub.get_message(timeout=PING_SECONDS):
                    self._take(heard)
        finally:
            self._pubsub = None
            with suppress(*AWAY):
                await pubsub.aclose()  # type: ignore[no-untyped-call]

    def _take(self, heard: dict[str, Any]) -> None:
        channel = heard["channel"].decode()
        if heard["type"] == "subscribe":
            self._answer(channel)
        elif heard["type"] == "message" and channel == self._own:
            self._hear_ping(heard["data"])
        elif heard["type"] == "message" and (letter := unpack(heard["data"])):
            sender, message = letter
            if sender != self._process:
                self._hear(message)

    def _answer(self, channel: str) -> None:
        if (answered := self._awaited.pop(channel, None)) and not answered.done():
            answered.set_result(None)

    def _hear_ping(self, sent_at: bytes) -> None:
        self._heard_at = time.monotonic()
        self.latency_ms = round((self._heard_at - float(sent_at)) * 1000, 2)
        if not self.healthy:
            self.healthy = True
            self.gaps += 1
            log.info("bus_connected")

    def _hear(self, message: Message) -> None:
        for hear in self._ears:
            try:
                hear(message)
            except Exception:  # neither the bus nor whoever publishes may end by an ear
                log.exception("word_not_heard", kind=type(message).__name__)

    def _lost(self, error: Exception) -> None:
        if self.healthy:  # the return is a gap of its own; while it is away nothing is heard
            log.warning("bus_lost", error=type(error).__name__)
            self.gaps += 1
        self.healthy = False
        self._out.clear()

    async def _forget_connection(self) -> None:
        for channel in list(self._awaited):
            self._answer(channel)
        with suppress(*AWAY):
            await self._redis.connection_pool.disconnect()

    async def _count_gap(self, _connection: Any) -> None:
        self.gaps += 1

    async def _ask_missing(self) -> None:
        """Rooms that came to be wanted or unwanted while the connection was being made."""
        pubsub = self._pubsub
        assert pubsub is not None
        here = {channel.decode() for channel in pubsub.channels}
        for channel in self._wanted - here:
            await pubsub.subscribe(channel)
        for channel in here - self._wanted - {self._own, self._all}:
            await pubsub.unsubscribe(channel)

    async def _ask(self, what: str, channel: str) -> None:
        """Without a connection the next one will ask for all that is wanted then."""
        pubsub = self._pubsub
        if pubsub is None or (what == "subscribe") != (channel in self._wanted):
            return
        try:
            await getattr(pubsub, what)(channel)
        except (*AWAY, RuntimeError) as error:  # uvloop's word for a transport that is closed
            log.debug("channel_request_failed", channel=channel, error=type(error).__name__)

    def _in_background(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _channel(self, message: Message) -> str:
        if isinstance(message, Revoked | Edited):
            return self._all
        if isinstance(message, ShownOut) and message.live_id is None:
            return self._all
        return f"{self._rooms}{message.live_id}"

    def _write(self, channel: str, letter: bytes) -> None:
        self._out.append((channel, letter))
        self._written.set()

    async def _send(self) -> None:
        """Several at once; what cannot be sent is given up, the checks will find it."""
        letters = [self._out.popleft() for _ in range(min(AT_ONCE, len(self._out)))]
        async with self._redis.pipeline(transaction=False) as pipe:
            for channel, letter in letters:
                pipe.publish(channel, letter)
            async with asyncio.timeout(ANSWER_SECONDS):
                await pipe.execute()


async def _first_of(*events: asyncio.Event, seconds: float | None = None) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
