import asyncio
import functools
import socket
from collections.abc import Callable, Iterator, Sequence
from unittest.mock import AsyncMock

import pytest
from redis.asyncio.client import PubSub
from tornado.ioloop import IOLoop

from realtime import redis_bus
from realtime.bus import (
    BusMessage,
    CatalogueChanged,
    ChannelChanged,
    ConnectionOpened,
    EventPublished,
    TokenRevoked,
    UserEvicted,
)
from realtime.frames import CloseCode
from realtime.redis_bus import SEND_QUEUE_LIMIT, RedisBus
from tests.support.redis_server import RedisServer
from tests.support.waiting import run_ready_tasks, until

ROOM, OTHER_ROOM = 7, 8
TIMEOUT_SECONDS = 60.0
"""Time to detect a lost connection and to restore it, also on a busy machine."""


def event(live_id: int, seq: int) -> EventPublished:
    return EventPublished(live_id, "a", seq, b"\x81\x02{}\n", last=False)


class BusProcess:
    """The running bus of one process, and the messages it has received."""

    def __init__(self, bus: RedisBus) -> None:
        self.bus = bus
        self.received: list[BusMessage] = []
        self.bus.subscribe(self.received.append)
        self._stopping = asyncio.Event()
        self._receiving = asyncio.ensure_future(bus.receive(self._stopping))

    async def wait_connected(self) -> None:
        await until(lambda: self.bus.healthy, TIMEOUT_SECONDS)

    async def wait_disconnected(self) -> None:
        await until(lambda: not self.bus.healthy, TIMEOUT_SECONDS)

    async def wait_for(self, message: BusMessage) -> None:
        await until(lambda: message in self.received, TIMEOUT_SECONDS)

    async def stop(self) -> None:
        self._stopping.set()
        await asyncio.wait_for(self._receiving, TIMEOUT_SECONDS)
        await self.bus.close()


async def stop_all(processes: Sequence[BusProcess]) -> None:
    """Stop them; fails if one leaves a task behind."""
    stops = (process.stop() for process in processes)
    failures = [error for error in await asyncio.gather(*stops, return_exceptions=True) if error]
    this_task = asyncio.current_task()
    remaining = [task for task in asyncio.all_tasks() if task is not this_task]
    assert (failures, remaining) == ([], []), "every task ends with its bus"


def redis_command(redis: RedisServer, *words: str) -> bytes:
    """The raw reply to one command."""
    address = ("127.0.0.1", redis.port)
    with socket.create_connection(address, timeout=TIMEOUT_SECONDS) as connection:
        connection.sendall(" ".join(words).encode() + b"\r\n")
        return connection.recv(65536)


def subscriber_count(redis: RedisServer, channel: str) -> int:
    return int(redis_command(redis, "PUBSUB", "NUMSUB", channel).rpartition(b":")[2])


StartProcess = Callable[..., BusProcess]


@pytest.fixture(autouse=True)
def frequent_pings_and_long_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bus checks soon whether to stop; a busy machine costs neither connection nor message."""
    monkeypatch.setattr(redis_bus, "PING_SECONDS", 0.1)
    for name in ("PING_TIMEOUT_SECONDS", "REDIS_TIMEOUT_SECONDS", "SUBSCRIBE_TIMEOUT_SECONDS"):
        monkeypatch.setattr(redis_bus, name, TIMEOUT_SECONDS)


@pytest.fixture
def start_process(io_loop: IOLoop) -> Iterator[StartProcess]:
    """Starts processes; fails if one leaves a task behind."""
    processes: list[BusProcess] = []

    def start_process(url: str, name: str = "", prefix: str = "q") -> BusProcess:
        processes.append(BusProcess(RedisBus(url, prefix, name or f"p{len(processes)}")))
        return processes[-1]

    yield start_process
    io_loop.run_sync(functools.partial(stop_all, processes))


async def subscribed_pair(start_process: StartProcess, url: str) -> tuple[BusProcess, BusProcess]:
    """Two processes subscribed to ROOM."""
    first, second = start_process(url), start_process(url)
    for process in (first, second):
        await process.wait_connected()
        await process.bus.open_channel(ROOM)
    return first, second


# ---- delivery between processes


async def test_every_message_is_delivered_once_and_in_order_and_malformed_ones_are_skipped(
    start_process: StartProcess, redis_server: RedisServer
) -> None:
    first, second = await subscribed_pair(start_process, redis_server.url)
    for data in ("garbage", "[1]", "[" * 20_000, '["p9","unknown",{}]'):
        for channel in ("q:room:7", "q:all"):
            redis_command(redis_server, "PUBLISH", channel, f"'{data}'")
    messages: list[BusMessage] = [
        event(ROOM, 1),
        ChannelChanged(ROOM, "audience"),
        UserEvicted("1", ROOM, CloseCode.PUT_OUT, 5),
        UserEvicted("2", None, CloseCode.PUT_OUT, 5),
        ConnectionOpened(ROOM, "a", "3", 4),
        TokenRevoked("hash"),
        CatalogueChanged(),
        event(ROOM, 2),
    ]
    for message in messages:
        first.bus.publish(message)
    assert first.received == messages, "local delivery is immediate"
    await second.wait_for(messages[-1])
    second.bus.publish(event(ROOM, 3))  # after the echo of the others, in the same channel
    await first.wait_for(event(ROOM, 3))
    assert first.received == second.received == [*messages, event(ROOM, 3)]


async def test_messages_published_after_open_channel_returned_are_received(
    start_process: StartProcess, redis_url: str
) -> None:
    first, second = await subscribed_pair(start_process, redis_url)
    for live_id in range(100, 150):
        await second.bus.open_channel(live_id)
        first.bus.publish(event(live_id, 1))
    await second.wait_for(event(149, 1))
    assert second.received == [event(live_id, 1) for live_id in range(100, 150)]


@pytest.mark.parametrize("ends_subscribed", [True, False])
async def test_last_of_many_rapid_subscribe_and_unsubscribe_calls_wins(
    start_process: StartProcess, redis_server: RedisServer, ends_subscribed: bool
) -> None:
    first, second = await subscribed_pair(start_process, redis_server.url)
    subscriptions = []
    for _ in range(5):
        second.bus.close_channel(ROOM)
        subscriptions.append(asyncio.ensure_future(second.bus.open_channel(ROOM)))
        await asyncio.sleep(0)
    if not ends_subscribed:
        second.bus.close_channel(ROOM)
    await asyncio.gather(*subscriptions)
    await second.bus.open_channel(OTHER_ROOM)  # confirmed after all earlier requests
    assert subscriber_count(redis_server, "q:room:7") == 1 + ends_subscribed
    first.bus.publish(event(ROOM, 1))
    first.bus.publish(event(OTHER_ROOM, 1))
    await second.wait_for(event(OTHER_ROOM, 1))
    assert (event(ROOM, 1) in second.received) == ends_subscribed


async def test_deployments_sharing_a_redis_are_isolated_by_prefix(
    start_process: StartProcess, redis_url: str
) -> None:
    first, second = await subscribed_pair(start_process, redis_url)
    other_deployment = start_process(redis_url, prefix="another")
    await other_deployment.wait_connected()
    await other_deployment.bus.open_channel(ROOM)
    for message in (TokenRevoked("other"), event(ROOM, 9)):
        other_deployment.bus.publish(message)
    first.bus.publish(event(ROOM, 1))
    await second.wait_for(event(ROOM, 1))
    assert second.received == [event(ROOM, 1)]


# ---- Redis unavailable


async def test_publishing_never_blocks_without_redis_and_delivery_resumes_afterwards(
    start_process: StartProcess, redis_server: RedisServer
) -> None:
    first, second = await subscribed_pair(start_process, redis_server.url)
    gaps = second.bus.gaps
    redis_server.kill()
    for seq in range(1000):
        first.bus.publish(event(ROOM, seq))
    assert len(first.received) == 1000, "local delivery continues"
    assert first.bus.waiting >= 1000, "publishing sends nothing itself"
    await first.wait_disconnected()
    await second.wait_disconnected()
    subscribing = asyncio.create_task(second.bus.open_channel(OTHER_ROOM))
    await run_ready_tasks()
    assert subscribing.done(), "no confirmation is awaited"
    second.received.clear()
    assert second.bus.gaps == gaps + 1, "failed reconnects count no further gap"
    redis_server.start()
    await first.wait_connected()
    await second.wait_connected()
    assert second.bus.gaps > gaps + 1
    for live_id in (ROOM, OTHER_ROOM):
        first.bus.publish(event(live_id, 5000))
        await second.wait_for(event(live_id, 5000))
    assert second.received == [event(ROOM, 5000), event(OTHER_ROOM, 5000)]


async def test_hanging_redis_is_detected_by_a_missing_ping(
    start_process: StartProcess, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await subscribed_pair(start_process, redis_server.url)
    gaps = second.bus.gaps
    with monkeypatch.context() as patch:
        patch.setattr(redis_bus, "PING_TIMEOUT_SECONDS", 3600)
        patch.setattr(redis_bus, "SUBSCRIBE_TIMEOUT_SECONDS", 0.5)
        redis_server.pause()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await second.bus.open_channel(OTHER_ROOM)
        assert second.bus.healthy, "unconfirmed, before the missing ping is noticed"
        for seq in range(2 * SEND_QUEUE_LIMIT):
            first.bus.publish(event(ROOM, seq))
        assert first.bus.waiting == SEND_QUEUE_LIMIT
    with monkeypatch.context() as patch:
        patch.setattr(redis_bus, "PING_TIMEOUT_SECONDS", 1.0)
        await second.wait_disconnected()
        await first.wait_disconnected()
    redis_server.resume()
    await first.wait_connected()
    await second.wait_connected()
    assert second.bus.gaps > gaps
    for live_id in (ROOM, OTHER_ROOM):
        first.bus.publish(event(live_id, 50_000))
        await second.wait_for(event(live_id, 50_000))


@pytest.mark.parametrize("state", ["up", "down", "hanging", "down from the start"])
async def test_bus_stops_in_any_state_of_redis(
    start_process: StartProcess, redis_server: RedisServer, state: str
) -> None:
    """Tasks or sockets left open would fail the test."""
    if state == "down from the start":
        redis_server.kill()
    process = start_process(redis_server.url)
    if state != "down from the start":
        await process.wait_connected()
        await process.bus.open_channel(ROOM)
    if state == "down":
        redis_server.kill()
    if state == "hanging":
        redis_server.pause()
    process.bus.publish(event(ROOM, 1))
    process.bus.close_channel(ROOM)
    await process.stop()


async def test_subscribing_on_a_closed_connection_fails_no_task(
    redis_server: RedisServer, start_process: StartProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start_process(redis_server.url)
    await process.wait_connected()
    monkeypatch.setattr(redis_bus, "SUBSCRIBE_TIMEOUT_SECONDS", 0.1)
    closed = RuntimeError("unable to perform operation on <TCPTransport closed=True>")  # uvloop's
    monkeypatch.setattr(PubSub, "subscribe", AsyncMock(side_effect=closed))
    others = asyncio.all_tasks()
    await process.bus.open_channel(ROOM)
    for task in asyncio.all_tasks() - others:
        await task
    await process.stop()
