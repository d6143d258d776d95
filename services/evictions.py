"""Closes the sockets of users on every process."""

from realtime.bus import Bus, TokenRevoked, UserEvicted, pack, unpack
from storage.evictions import EvictionStore


class EvictionService:
    """Sends and receives evictions.

    An eviction reaches other processes at once over the bus, and within a second through the
    database when the bus is down.
    """

    def __init__(self, evictions: EvictionStore, bus: Bus, process_id: str) -> None:
        self._evictions = evictions
        self._bus = bus
        self._process_id = process_id

    async def evict(self, message: UserEvicted | TokenRevoked) -> None:
        """Close the sockets that the message names, on every process."""
        self._bus.publish(message)
        await self._evictions.append(pack(self._process_id, message))

    async def receive(self) -> None:
        """Apply the evictions that processes have stored since the last call."""
        for packed in await self._evictions.poll():
            if unpacked := unpack(packed):
                self._bus.deliver(unpacked[1])
