"""Bus between processes over Redis publish/subscribe (redis-py, formerly aioredis).

Delivery is best effort: `Backfills.check` reads missed events from the database.
"""

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from core.errors import StartupError
from realtime.bus import Bus, BusMessage, channel_of, pack, unpack
from realtime.frames import Key

log = structlog.get_logger("qlive.bus")

PING_SECONDS = 1.0
PING_TIMEOUT_SECONDS = 3.0
"""Maximum age of the last own ping received; after that the subscriber reconnects, even if its
socket looks open."""
REDIS_TIMEOUT_SECONDS = 2.0
SUBSCRIBE_TIMEOUT_SECONDS = 0.5
SEND_QUEUE_LIMIT = 10_000
"""Messages queued while Redis is slow; the oldest are dropped, as too old to be of use."""
PIPELINE_SIZE = 256
"""Messages published by one pipeline."""
MIN_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.1, 2.0
CONNECTION_ERRORS = (RedisError, OSError, TimeoutError)


def open_redis(url: str) -> Redis:
    """Return a client whose requests fail within REDIS_TIMEOUT_SECONDS.

    Raises StartupError for a URL that cannot be read, without its text, which may have a password.
    """
    try:
        return Redis.from_url(
            url,
            # Pinned, since redis-py's default depends on its release; the bus needs no RESP3.
            protocol=2,
            # No retries inside redis-py: `receive` reconnects with its own backoff, and a message
            # that failed to be published is too old to be repeated.
            retry=Retry(NoBackoff(), 0),
            retry_on_timeout=False,
            socket_timeout=REDIS_TIMEOUT_SECONDS,
            socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
        )
    except ValueError:
        raise StartupError(
            "redis.url cannot be read; percent-encode its user name and password."
        ) from None


class RedisBus(Bus):
    """Redis bus with one channel per room and user, a shared one, and one for its own ping."""

    def __init__(self, url: str, prefix: str, process: str) -> None:
        """Take this process's id; `prefix` separates deployments that share a Redis."""
        super().__init__()
        self.healthy = False
        self._process = process
        self._prefix = prefix
        self._shared_channel = f"{prefix}:all"
        self._ping_channel = f"{prefix}:process:{process}"
        self._wanted: set[str] = set()
        self._confirmations: dict[str, asyncio.Future[None]] = {}
        self._out: deque[tuple[str, bytes]] = deque(maxlen=SEND_QUEUE_LIMIT)
        self._sending: asyncio.Task[None] | None = None
        self._pubsub: PubSub | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ping_received_at = 0.0
        self._redis = open_redis(url)

    @property
    def waiting(self) -> int:
        return len(self._out)

    def publish(self, message: BusMessage) -> None:
        """Deliver in this process at once, and queue for the others unless Redis is down."""
        self.deliver(message)
        if self.healthy:
            key = channel_of(message)
            channel = self._shared_channel if key is None else self._channel(key)
            self._enqueue(channel, pack(self._process, message))

    async def open_channel(self, key: Key) -> None:
        channel = self._channel(key)
        if channel not in self._wanted:
            self._wanted.add(channel)
            self._confirmations[channel] = asyncio.get_running_loop().create_future()
            self._in_background(self._request(subscribe=True, channel=channel))
        if self.healthy and (confirmed := self._confirmations.get(channel)):
            await asyncio.wait([confirmed], timeout=SUBSCRIBE_TIMEOUT_SECONDS)

    def close_channel(self, key: Key) -> None:
        channel = self._channel(key)
        if channel in self._wanted:
            self._wanted.discard(channel)
            self._confirm(channel)
            self._in_background(self._request(subscribe=False, channel=channel))

    async def receive(self, stopping: asyncio.Event) -> None:
        """Receive from other processes until `stopping`; reconnect with exponential backoff."""
        pause = MIN_BACKOFF_SECONDS
        while not stopping.is_set():
            started = time.monotonic()
            try:
                await self._receive_until(stopping)
            except Exception as error:  # noqa: BLE001 - the task must not end unnoticed
                if self.healthy:  # the reconnect counts another gap, for messages lost until then
                    log.warning("bus_disconnected", error=type(error).__name__)
                    self.gaps += 1
                self.healthy = False
                self._out.clear()
            for channel in list(self._confirmations):
                self._confirm(channel)
            with suppress(Exception):
                await self._redis.connection_pool.disconnect()
            if time.monotonic() - started > 2 * PING_TIMEOUT_SECONDS:
                pause = MIN_BACKOFF_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), pause)
            pause = min(MAX_BACKOFF_SECONDS, pause * 2)

    async def close(self) -> None:
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._redis.aclose()

    # ---- internals

    def _channel(self, key: Key) -> str:
        return f"{self._prefix}:{'room' if isinstance(key, int) else 'user'}:{key}"

    async def _receive_until(self, stopping: asyncio.Event) -> None:
        pubsub = self._redis.pubsub()
        try:
            await pubsub.subscribe(self._shared_channel, self._ping_channel, *self._wanted)
            assert pubsub.connection is not None
            # redis-py may reconnect by itself; messages published meanwhile are lost all the same.
            pubsub.connection.register_connect_callback(self._on_reconnect)
            self._pubsub = pubsub
            # Channels may have been opened and closed while the connection was being opened.
            subscribed = {channel.decode() for channel in pubsub.channels}
            for channel in self._wanted - subscribed:
                await pubsub.subscribe(channel)
            for channel in subscribed - self._wanted - {self._shared_channel, self._ping_channel}:
                await pubsub.unsubscribe(channel)
            self._ping_received_at, pinged_at = time.monotonic(), 0.0
            while not stopping.is_set():
                now = time.monotonic()
                if now - pinged_at >= PING_SECONDS:
                    pinged_at = now
                    self._enqueue(self._ping_channel, str(now).encode())
                if now - self._ping_received_at > PING_TIMEOUT_SECONDS:
                    raise TimeoutError("the subscriber does not receive its own ping")
                if received := await pubsub.get_message(timeout=PING_SECONDS):
                    self._handle(received)
        finally:
            self._pubsub = None
            with suppress(*CONNECTION_ERRORS):
                await pubsub.aclose()  # type: ignore[no-untyped-call]

    def _handle(self, received: dict[str, Any]) -> None:
        channel = received["channel"].decode()
        kind = received["type"]
        if kind == "subscribe":
            self._confirm(channel)
        elif kind == "message" and channel == self._ping_channel:
            self._ping_received_at = time.monotonic()
            self.latency_ms = round((self._ping_received_at - float(received["data"])) * 1000, 2)
            if not self.healthy:
                self.healthy = True
                self.gaps += 1
                log.info("bus_connected")
        elif kind == "message" and (decoded := unpack(received["data"])):
            sender, message = decoded
            if sender != self._process:
                self.deliver(message)

    def _confirm(self, channel: str) -> None:
        if (confirmed := self._confirmations.pop(channel, None)) and not confirmed.done():
            confirmed.set_result(None)

    async def _on_reconnect(self, _connection: Any) -> None:
        self.gaps += 1

    async def _request(self, *, subscribe: bool, channel: str) -> None:
        """Send an (un)subscribe request; a later connection subscribes to all wanted channels."""
        pubsub = self._pubsub
        if pubsub is None or subscribe != (channel in self._wanted):
            return
        try:
            await (pubsub.subscribe if subscribe else pubsub.unsubscribe)(channel)
        # uvloop raises RuntimeError for a closed transport.
        except (*CONNECTION_ERRORS, RuntimeError) as error:
            log.debug("bus_subscription_failed", channel=channel, error=type(error).__name__)

    def _in_background(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _enqueue(self, channel: str, data: bytes) -> None:
        self._out.append((channel, data))
        if self._sending is None or self._sending.done():
            self._sending = self._in_background(self._send_queued())

    async def _send_queued(self) -> None:
        """Publish in pipelines; on failure one is dropped, and the checks recover."""
        try:
            while self._out:
                batch = [self._out.popleft() for _ in range(min(PIPELINE_SIZE, len(self._out)))]
                async with self._redis.pipeline(transaction=False) as pipe:
                    for channel, data in batch:
                        pipe.publish(channel, data)
                    async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                        await pipe.execute()
        except Exception as error:  # noqa: BLE001 - the missing ping makes `receive` reconnect
            log.debug("bus_publish_failed", error=type(error).__name__)
