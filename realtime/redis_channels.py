"""Names of the bus's channels in Redis, and the shards of a Redis Cluster that own them."""

import itertools
from binascii import crc_hqx
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from realtime.bus import BusMessage, CatalogueChanged, TokenRevoked

SLOTS = 16_384
"""Slots of a Redis Cluster."""


@dataclass(frozen=True, slots=True)
class Channels:
    """The channels of one deployment; `prefix` separates those that share a Redis."""

    prefix: str

    @property
    def shared(self) -> str:
        """For messages to all processes."""
        return f"{self.prefix}:all"

    def of_room(self, live_id: int) -> str:
        return f"{self.prefix}:room:{live_id}"

    def of(self, message: BusMessage) -> str:
        """The channel on which to publish the message."""
        if isinstance(message, TokenRevoked | CatalogueChanged):
            return self.shared
        live_id = message.live_id
        return self.shared if live_id is None else self.of_room(live_id)


@dataclass(frozen=True, slots=True)
class Shard:
    """A primary of a Redis Cluster, with the ranges of slots that it owns."""

    host: str
    port: int
    slots: frozenset[tuple[int, int]]
    """(first, last) of each range."""

    def owns(self, channel: str) -> bool:
        slot = slot_of(channel)
        return any(first <= slot <= last for first, last in self.slots)

    def channel_like(self, name: str) -> str:
        """The first of the channels name:0, name:1, … that this shard owns."""
        names = (f"{name}:{number}" for number in itertools.count())
        return next(filter(self.owns, names))

    def url(self, cluster_url: str) -> str:
        """The cluster's URL, with its login and options, for this primary."""
        parts = urlsplit(cluster_url)
        login, at, _ = parts.netloc.rpartition("@")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return parts._replace(netloc=f"{login}{at}{host}:{self.port}").geturl()


def slot_of(channel: str) -> int:
    """As redis.crc.key_slot for a channel without braces, such as ours."""
    return crc_hqx(channel.encode(), 0) % SLOTS


def shards_from(reply: list[Any], asked_host: str) -> frozenset[Shard]:
    """Shards from a reply to CLUSTER SLOTS.

    Each row is [first slot, last slot, [host, port, …] of the primary, replicas …]. A node that
    does not know its own address is taken to have the one that was asked.
    """
    slots: dict[tuple[str, int], set[tuple[int, int]]] = {}
    for first, last, (host, port, *_), *_ in reply:
        address = (host or b"").decode() or asked_host
        slots.setdefault((address, port), set()).add((first, last))
    return frozenset(Shard(*address, frozenset(ranges)) for address, ranges in slots.items())
