"""Passwords of operators: rules and hashes."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from config.settings import is_easy_to_guess
from core.errors import InvalidParameter
from core.limits import ConcurrencyLimit

CHECKED_CHARACTERS = 64
"""Characters at the beginning that are looked at closely."""
SHORT_NAME = 3
"""A name up to this length is part of many words; zxcvbn alone takes it into account."""
CONCURRENT_HASHES = 2
"""Hashes at a time; each takes 64 MiB and about 50 ms on up to four cores."""
UNMATCHED_HASH = (
    "$argon2id$v=19$m=65536,t=3,p=4$zx729fwBCuyqSb0oABXpnQ"
    "$qbEhhPANWjRv7qKbyLvId29n2FDO8JCNAxG44+Vfa7A"
)
"""Hash that no password has: an unknown name takes as long as a wrong password."""


class Passwords:
    """Hashes and compares passwords in threads; TryAgain when too many wait."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._limit = ConcurrencyLimit(CONCURRENT_HASHES)

    async def hash(self, password: str) -> str:
        async with self._limit.slot():
            return await asyncio.to_thread(self._hasher.hash, password)

    async def hash_chosen(self, name: str, password: str) -> str:
        """Hash a new password. Raises InvalidParameter with the rule that it breaks."""
        async with self._limit.slot():
            if problem := await asyncio.to_thread(weakness, name, password):
                raise InvalidParameter({"new_password": problem})
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Return whether `stored` is a hash of the password.

        Takes as long for None, which none has.
        """
        async with self._limit.slot():
            matches = await asyncio.to_thread(self._verify, stored or UNMATCHED_HASH, password)
        return matches and stored is not None

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False


def weakness(name: str, password: str) -> str:
    """Return the rule that the password of this operator breaks; "" if it breaks none."""
    if len(name) > SHORT_NAME and name in password.casefold():
        return "this contains your name"
    if len(set(password.casefold())) <= 2:
        return "this repeats one or two characters"
    if is_easy_to_guess(password[:CHECKED_CHARACTERS], name):
        return "this is easy to guess: a sequence, a common password or a word"
    return ""
