"""Sessions of users, one for each token, and the sockets that end with them."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

from core.cache import Cache
from realtime.bus import Bus, TokenRevoked, UserEvicted, pack, unpack
from services.errors import AccountBanned, NotAuthenticated
from storage.accounts.tokens import EvictionStore
from storage.accounts.users import User
from storage.documents import token_id
from storage.stores import Stores

CACHED_SECONDS = 30.0
"""Maximum age of a token's owner in the cache, in case a revocation is never received."""
MAX_CACHED = 50_000
"""Tokens in the cache, about 18 MB."""


@dataclass
class EvictionService:
    """Sends and receives evictions.

    An eviction reaches other processes at once over the bus, and within a second through the
    database when the bus is down.
    """

    _evictions: EvictionStore
    _bus: Bus
    _process_id: str

    async def evict(self, message: UserEvicted | TokenRevoked) -> None:
        """Close the sockets that the message names, on every process.

        A user may be back before the last process has received it: `number` spares newer sockets.
        """
        self._bus.publish(message)
        await self._evictions.append(pack(self._process_id, message))

    async def receive(self) -> None:
        """Apply the evictions that processes have stored since the last call."""
        for packed in await self._evictions.poll():
            if unpacked := unpack(packed):
                self._bus.deliver(unpacked[1])


class SessionService:
    """Begins, checks and ends sessions.

    The socket of an ended session is closed on every process, and with the last session of a user
    their UserSigs end at Tencent IM.
    """

    def __init__(self, stores: Stores, bus: Bus, evictions: EvictionService) -> None:
        self._stores = stores
        self._evictions = evictions
        self._owners: Cache[str, str | None] = Cache(
            CACHED_SECONDS, MAX_CACHED, version=bus.cache_version, keeps=bool
        )
        bus.subscribe(lambda revoked: self._owners.invalidate(revoked.token_id), TokenRevoked)

    def cached_user_id(self, token: str) -> Awaitable[str | None]:
        """Return the result of TokenStore.user_id_of, for endpoints that only read.

        It is at most CACHED_SECONDS old, and forgotten on revocation.
        """
        return self._owners.load(token_id(token), lambda: self._stores.tokens.user_id_of(token))

    async def check_active(self, user: User | None, token: str) -> User:
        """Return the user of a token. Raises AccountBanned, or NotAuthenticated for None."""
        owner = user
        if owner is None and token.isascii():
            revoked = await self._stores.tokens.revoked_owner(token)
            owner = await self._stores.users.find(revoked[0]) if revoked else None
        if owner and owner.banned:
            raise AccountBanned
        if user is None:
            raise NotAuthenticated
        return user

    async def begin(self, user_id: str) -> str:
        """Issue a token; above the limit per user, the oldest session ends.

        The ban is looked up last: one that is stored later finds the token. Raises AccountBanned.
        """
        token, dropped = await self._stores.tokens.issue(user_id)
        await self._close(dropped)
        if (await self._stores.users.get(user_id)).banned:
            await self.revoke(user_id)
            raise AccountBanned
        return token

    async def end(self, user_id: str, session_id: str | None = None) -> int:
        """End all sessions of a user, or one, and return how many were valid.

        With all of them, or the last one, IM logs the user out even if they have logged in again
        meanwhile: a UserSig in wrong hands must not survive.
        """
        ended = await self.revoke(user_id, session_id)
        if session_id is None or not await self._stores.tokens.sessions(user_id):
            await self._enqueue_kick(user_id, even_if_signed_in=True)
        return len(ended)

    async def end_own(self, token: str, user_id: str) -> None:
        """End the session of this token, at its user's request; its logout can be repeated.

        With the last session, IM logs the user out, unless they have logged in again by then.
        """
        await self._stores.tokens.revoke(token)
        await self._close([token_id(token)])
        if not await self._stores.tokens.sessions(user_id):
            await self._enqueue_kick(user_id, even_if_signed_in=False)

    async def revoke(self, user_id: str, session_id: str | None = None) -> list[str]:
        """Revoke all tokens of a user, or one, and close their sockets; return their ids."""
        ids = await self._stores.tokens.end_sessions(user_id, session_id)
        await self._close(ids)
        return ids

    async def _enqueue_kick(self, user_id: str, *, even_if_signed_in: bool) -> None:
        payload = {"user_id": user_id, "even_if_signed_in": even_if_signed_in}
        key = f"{user_id}:{even_if_signed_in}"
        await self._stores.outbox.add("kick", payload, urgent=True, key=key)

    async def _close(self, token_ids: list[str]) -> None:
        await asyncio.gather(*(self._evictions.evict(TokenRevoked(id_)) for id_ in token_ids))
