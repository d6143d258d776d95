"""Bus over a Redis Cluster of version 7 or newer, with sharded publish/subscribe.

A room's messages pass through one shard, so that shards add up; PUBLISH would send every message to
every node of the cluster. redis-py has sharded subscriptions for clusters, too (`ClusterPubSub`),
but reads the nodes one after the other, each with its own timeout, and does not notice one that
receives nothing. So each primary gets a RedisBus, which pings itself.
"""

import asyncio
from urllib.parse import urlsplit

import structlog

from realtime.bus import BusListener, BusMessage, LocalBus
from realtime.redis_bus import CONNECTION_ERRORS, RedisBus, connect, wait_for_any
from realtime.redis_channels import Channels, Shard, shards_from

log = structlog.get_logger("qlive.bus")

TOPOLOGY_SECONDS = 1.0
"""Interval at which the cluster is asked which primary owns which slots."""


class ShardLink:
    """The bus of one primary, with its two running tasks."""

    def __init__(self, shard: Shard, bus: RedisBus) -> None:
        self.shard = shard
        self.bus = bus
        self._stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        jobs = (bus.receive(self._stopping), bus.send_published(self._stopping))
        self._tasks = [loop.create_task(job) for job in jobs]

    async def stop(self) -> None:
        self._stopping.set()
        await asyncio.gather(*self._tasks)
        await self.bus.close()


class ClusterBus:
    """A RedisBus for each primary of a Redis Cluster; follows failovers and moved slots."""

    def __init__(self, url: str, prefix: str, process: str) -> None:
        """`url` names any node; as in RedisBus otherwise."""
        self._url, self._prefix, self._process = url, prefix, process
        self._channels = Channels(prefix)
        self._local = LocalBus()
        self._rooms: set[int] = set()
        self._links: list[ShardLink] = []
        self._past_gaps = 0
        """Of links that have been replaced."""
        self._topology_known = True

    @property
    def healthy(self) -> bool:
        return bool(self._links) and all(link.bus.healthy for link in self._links)

    @property
    def gaps(self) -> int:
        return self._past_gaps + sum(link.bus.gaps for link in self._links)

    @property
    def waiting(self) -> int:
        return sum(link.bus.waiting for link in self._links)

    @property
    def latency_ms(self) -> float | None:
        """Of the slowest primary."""
        found = [link.bus.latency_ms for link in self._links]
        return max((it for it in found if it is not None), default=None)

    # ---- the Bus protocol

    def subscribe(self, listener: BusListener) -> None:
        self._local.subscribe(listener)

    def publish(self, message: BusMessage) -> None:
        """As RedisBus.publish; only in this process if no known primary owns the channel."""
        link = self._owner(self._channels.of(message))
        (link.bus if link else self._local).publish(message)

    async def subscribe_room(self, live_id: int) -> None:
        self._rooms.add(live_id)
        if link := self._owner(self._channels.of_room(live_id)):
            await link.bus.subscribe_room(live_id)

    def unsubscribe_room(self, live_id: int) -> None:
        self._rooms.discard(live_id)
        if link := self._owner(self._channels.of_room(live_id)):
            link.bus.unsubscribe_room(live_id)

    # ---- background tasks

    async def receive(self, stopping: asyncio.Event) -> None:
        """Keep a link to every primary until `stopping`."""
        while not stopping.is_set():
            try:
                if shards := await self._read_shards():
                    await self._use(shards)
                    self._topology_known = True
            except Exception as error:  # noqa: BLE001 - the task must not end unnoticed
                self._on_failure(_describe(error))
            await wait_for_any(stopping, seconds=TOPOLOGY_SECONDS)

    async def close(self) -> None:
        links, self._links = self._links, []
        await asyncio.gather(*(link.stop() for link in links))

    # ---- internals

    def _owner(self, channel: str) -> ShardLink | None:
        return next((link for link in self._links if link.shard.owns(channel)), None)

    async def _read_shards(self) -> frozenset[Shard]:
        """The shards that the first node of a working cluster reports; none if no node does."""
        why = "cluster_state:fail"
        for url in (self._url, *{link.shard.url(self._url) for link in self._links}):
            try:
                if shards := await _ask(url):
                    return shards
            except CONNECTION_ERRORS as error:
                why = _describe(error)
        self._on_failure(why)
        return frozenset()

    def _on_failure(self, why: str) -> None:
        """Log the first of several failures."""
        if self._topology_known:
            self._topology_known = False
            log.warning("bus_topology_failed", why=why)

    async def _use(self, shards: frozenset[Shard]) -> None:
        """Replace the links of shards that have changed."""
        gone = [link for link in self._links if link.shard not in shards]
        new = shards - {link.shard for link in self._links}
        if not gone and not new:
            return
        log.info("bus_shards_changed", shards=len(shards))
        self._past_gaps += sum(link.bus.gaps for link in gone) + 1
        self._links = [link for link in self._links if link not in gone]
        self._links += [self._connect(shard) for shard in new]
        await asyncio.gather(*(link.stop() for link in gone))

    def _connect(self, shard: Shard) -> ShardLink:
        bus = RedisBus(shard.url(self._url), self._prefix, self._process, shard)
        bus.subscribe(self._local.publish)
        of_room = self._channels.of_room
        bus.want_rooms(live_id for live_id in self._rooms if shard.owns(of_room(live_id)))
        return ShardLink(shard, bus)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


async def _ask(url: str) -> frozenset[Shard]:
    """The shards by this node's account; none if it is cut off from most of the primaries."""
    async with connect(url) as redis:
        info = await redis.execute_command("CLUSTER INFO")  # type: ignore[no-untyped-call]
        if info["cluster_state"] != "ok":
            return frozenset()
        reply = await redis.execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
    return shards_from(reply, urlsplit(url).hostname or "")
