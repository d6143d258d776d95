"""Closes the sockets of users on every process."""

from realtime.bus import TokenRevoked, UserEvicted
from realtime.bus_codec import pack, unpack
from realtime.hub import Hub
from services.token_cache import TokenCache
from storage.evictions import EvictionStore


class EvictionService:
    """Sends and receives evictions.

    An eviction reaches other processes at once over the bus, and within a second through the
    database when the bus is down.
    """

    def __init__(
        self, evictions: EvictionStore, hub: Hub, token_cache: TokenCache, process_id: str
    ) -> None:
        self._evictions = evictions
        self._hub = hub
        self._token_cache = token_cache
        self._process_id = process_id

    async def evict(self, message: UserEvicted | TokenRevoked) -> None:
        """Close the sockets that the message names, on every process."""
        self._hub.broadcast(message)
        await self._evictions.append(pack(self._process_id, message))

    async def receive(self) -> None:
        """Apply the evictions that processes have stored since the last call."""
        for packed in await self._evictions.poll():
            if unpacked := unpack(packed):
                self._token_cache.on_message(unpacked[1])
                self._hub.on_message(unpacked[1])
