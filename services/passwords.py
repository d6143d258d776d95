"""Password hashing with argon2id, off the event loop and few at a time."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from core.limits import ConcurrencyLimit

AT_ONCE = 2
"""Each takes 64 MiB and about 50 ms on up to four cores."""
UNKNOWN = (
    "$argon2id$v=19$m=65536,t=3,p=4$zx729fwBCuyqSb0oABXpnQ"
    "$qbEhhPANWjRv7qKbyLvId29n2FDO8JCNAxG44+Vfa7A"
)
"""Hash that no password has: an unknown name takes as long as a wrong password."""


class Passwords:
    """Hashes and compares passwords in threads; TryAgain when too many wait."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._limit = ConcurrencyLimit(AT_ONCE)

    async def hash(self, password: str) -> str:
        async with self._limit.slot():
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether `stored` is a hash of the password; takes as long for None, which none has."""
        async with self._limit.slot():
            matches = await asyncio.to_thread(self._verify, stored or UNKNOWN, password)
        return matches and stored is not None

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
