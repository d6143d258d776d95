"""Whose token it is, kept for a moment: for calls that only read, and until somebody says no."""

import time

from realtime.bus import Bus, Message, Revoked
from storage.tokens import Tokens, token_id

OLD_SECONDS = 30.0
"""Nothing is kept for longer, whatever was not heard."""
MOST = 50_000
"""Tokens that are kept: some 15 MB."""


class Owners:
    """Asked again after a logout anywhere, and whenever the bus may have missed one. A token does
    not run out meanwhile: it is renewed by being read."""

    def __init__(self, tokens: Tokens, bus: Bus) -> None:
        self._tokens = tokens
        self._bus = bus
        self._gaps = bus.gaps
        self._revoked = 0
        self._owners: dict[str, tuple[str, float]] = {}
        bus.listen(self.hear)

    async def owner(self, token: str) -> str | None:
        """As storage.tokens says it, at most OLD_SECONDS ago."""
        key, now = token_id(token), time.monotonic()
        if self._gaps != self._bus.gaps or not self._bus.healthy:
            self._owners.clear()
            self._gaps = self._bus.gaps
        user_id, until = self._owners.get(key, ("", 0.0))
        if now < until:
            return user_id
        state = (self._revoked, self._bus.gaps)
        found = await self._tokens.owner(token)
        if found and state == (self._revoked, self._bus.gaps) and self._bus.healthy:
            self._keep(key, found, now)
        return found

    def hear(self, message: Message) -> None:
        if isinstance(message, Revoked):
            self._revoked += 1
            self._owners.pop(message.token_id, None)

    def _keep(self, key: str, user_id: str, now: float) -> None:
        if len(self._owners) >= MOST:
            self._owners.clear()
        self._owners[key] = (user_id, now + OLD_SECONDS)
