"""Short-lived token cache for read-only endpoints, invalidated on revocation."""

import time

from realtime.bus import Bus, TokenRevoked
from storage.accounts.tokens import TokenStore
from storage.documents import token_id

TTL_SECONDS = 30.0
"""TTL of an entry, in case its revocation is never received."""
MAX_ENTRIES = 50_000
"""Maximum number of entries, about 15 MB; a full cache is cleared."""


class TokenCache:
    """Caches the owners of tokens.

    A revocation in any process removes the entry; a gap or an outage of the bus clears the cache.
    An entry may outlive a token that expires, by TTL_SECONDS at most.
    """

    def __init__(self, tokens: TokenStore, bus: Bus) -> None:
        self._tokens = tokens
        self._bus = bus
        self._gaps = bus.gaps
        self._revocations = 0
        self._owners: dict[str, tuple[str, float]] = {}
        bus.subscribe(self._on_revoked, TokenRevoked)

    async def user_id_of(self, token: str) -> str | None:
        """The result of TokenStore.user_id_of, at most TTL_SECONDS old."""
        key, now = token_id(token), time.monotonic()
        if self._gaps != self._bus.gaps or not self._bus.healthy:
            self._owners.clear()
            self._gaps = self._bus.gaps
        user_id, expires_at = self._owners.get(key, ("", 0.0))
        if now < expires_at:
            return user_id
        version = (self._revocations, self._bus.gaps)
        owner_id = await self._tokens.user_id_of(token)
        if owner_id and version == (self._revocations, self._bus.gaps) and self._bus.healthy:
            if len(self._owners) >= MAX_ENTRIES:
                self._owners.clear()
            self._owners[key] = (owner_id, now + TTL_SECONDS)
        return owner_id

    def _on_revoked(self, message: TokenRevoked) -> None:
        self._revocations += 1
        self._owners.pop(message.token_id, None)
