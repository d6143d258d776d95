"""The bus over a real Redis Cluster."""

import functools
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from realtime import cluster_bus, redis_bus
from realtime.bus import (
    AudienceChanged,
    BusMessage,
    CatalogueChanged,
    ConnectionOpened,
    TokenRevoked,
    UserEvicted,
)
from realtime.close_codes import CloseCode
from realtime.cluster_bus import ClusterBus
from realtime.redis_channels import Shard, slot_of
from tests.support.bus_process import TIMEOUT_SECONDS, BusProcess, event, stop_all
from tests.support.redis_cluster import (
    PRIMARIES,
    RedisCluster,
    channel_owner,
    running_redis_cluster,
)
from tests.support.waiting import until

StartProcess = Callable[[RedisCluster], BusProcess]


def room_of(number: int) -> int:
    """A room whose channel the primary with this number owns at first."""
    return next(live_id for live_id in range(1000) if channel_owner(f"q:room:{live_id}") == number)


ROOMS = [room_of(number) for number in range(PRIMARIES)]


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_bus, "PING_SECONDS", 0.1)
    monkeypatch.setattr(cluster_bus, "TOPOLOGY_SECONDS", 0.1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    """For tests that leave it as it was."""
    with running_redis_cluster() as cluster:
        yield cluster


@pytest.fixture
def start_process(io_loop: IOLoop) -> Iterator[StartProcess]:
    """Starts processes; fails if one leaves a task behind."""
    processes: list[BusProcess] = []

    def start_process(cluster: RedisCluster) -> BusProcess:
        processes.append(BusProcess(ClusterBus(cluster.url, "q", f"p{len(processes)}")))
        return processes[-1]

    yield start_process
    io_loop.run_sync(functools.partial(stop_all, processes))


async def subscribed_pair(
    start_process: StartProcess, cluster: RedisCluster
) -> tuple[BusProcess, BusProcess]:
    """Two processes subscribed to ROOMS; the second one before it was connected."""
    first, second = start_process(cluster), start_process(cluster)
    for live_id in ROOMS:
        await second.bus.subscribe_room(live_id)
    for process in (first, second):
        await process.wait_connected()
    for live_id in ROOMS:
        await first.bus.subscribe_room(live_id)
    return first, second


@pytest.mark.gen_test(timeout=60)
async def test_every_message_type_reaches_the_other_process_once(
    start_process: StartProcess, cluster: RedisCluster
) -> None:
    first, second = await subscribed_pair(start_process, cluster)
    messages: list[BusMessage] = [
        *(event(live_id, 1) for live_id in ROOMS),
        AudienceChanged(ROOMS[0]),
        UserEvicted("1", ROOMS[1], CloseCode.PUT_OUT),
        UserEvicted("2", None, CloseCode.PUT_OUT),
        ConnectionOpened(ROOMS[2], "a", "3", 4),
        TokenRevoked("hash"),
        CatalogueChanged(),
    ]
    for message in messages:
        first.bus.publish(message)
    assert first.received == messages, "local delivery is immediate"
    for message in messages:
        await second.wait_for(message)
    for live_id in ROOMS:  # after the echo of the first, in the same channel
        second.bus.publish(event(live_id, 2))
        await first.wait_for(event(live_id, 2))
    assert len(first.received) == len(second.received) == len(messages) + len(ROOMS)
    assert first.bus.latency_ms is not None


@pytest.mark.gen_test(timeout=60)
async def test_only_the_owner_of_a_rooms_slot_has_its_subscribers(
    start_process: StartProcess, cluster: RedisCluster
) -> None:
    _, second = await subscribed_pair(start_process, cluster)
    channel = f"q:room:{ROOMS[1]}"
    assert [cluster.subscribers(n, channel) for n in range(PRIMARIES)] == [0, 2, 0]
    second.bus.unsubscribe_room(ROOMS[1])
    await until(lambda: cluster.subscribers(1, channel) == 1, TIMEOUT_SECONDS)


@pytest.mark.gen_test(timeout=60)
async def test_a_room_follows_its_slot_to_another_primary(
    start_process: StartProcess, cluster: RedisCluster
) -> None:
    first, second = await subscribed_pair(start_process, cluster)
    gaps, channel = second.bus.gaps, f"q:room:{ROOMS[0]}"
    slot = slot_of(channel)
    cluster.move_slot(slot, source=0, target=1)
    await until(lambda: cluster.subscribers(1, channel) == 2, TIMEOUT_SECONDS)
    assert second.bus.gaps > gaps
    for process in (first, second):
        await process.wait_connected()
    first.bus.publish(event(ROOMS[0], 3))
    await second.wait_for(event(ROOMS[0], 3))
    cluster.move_slot(slot, source=1, target=0)


@pytest.mark.gen_test(timeout=90)
async def test_a_replica_that_takes_over_carries_the_rooms_of_a_killed_primary(
    start_process: StartProcess,
) -> None:
    with running_redis_cluster() as cluster:
        first, second = await subscribed_pair(start_process, cluster)
        gaps, channel = second.bus.gaps, f"q:room:{ROOMS[0]}"
        cluster.processes[0].kill()
        await second.wait_disconnected()
        first.bus.publish(event(ROOMS[2], 4))
        await second.wait_for(event(ROOMS[2], 4))
        await until(lambda: cluster.subscribers(3, channel) == 2, 2 * TIMEOUT_SECONDS)
        assert second.bus.gaps > gaps
        for process in (first, second):
            await process.wait_connected()
        first.bus.publish(event(ROOMS[0], 5))
        await second.wait_for(event(ROOMS[0], 5))


@pytest.mark.gen_test(timeout=30)
async def test_without_a_cluster_messages_are_delivered_in_their_own_process(
    start_process: StartProcess, cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "url", "redis://127.0.0.1:1/0")
    process = start_process(cluster)
    await process.bus.subscribe_room(ROOMS[0])
    process.bus.publish(event(ROOMS[0], 1))
    process.bus.publish(CatalogueChanged())
    assert process.received == [event(ROOMS[0], 1), CatalogueChanged()]
    assert not process.bus.healthy


@pytest.mark.gen_test(timeout=30)
async def test_cluster_is_asked_again_after_an_unexpected_error(
    start_process: StartProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvloop raises RuntimeError for a write on a closed transport."""
    failures = [RuntimeError("the handler is closed")]

    async def ask(_url: str) -> frozenset[Shard]:
        if failures:
            raise failures.pop()
        return frozenset({Shard("127.0.0.1", 1, frozenset({(0, 16383)}))})

    monkeypatch.setattr(cluster_bus, "_ask", ask)
    unreachable: Any = SimpleNamespace(url="redis://127.0.0.1:1/0")
    process = start_process(unreachable)
    await until(lambda: process.bus._links, TIMEOUT_SECONDS)  # type: ignore[union-attr]
