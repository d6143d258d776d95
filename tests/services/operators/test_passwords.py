import asyncio
import time

import pytest
from argon2 import PasswordHasher, extract_parameters

from services.operators.operators import CONCURRENT_HASHES, UNMATCHED_HASH, Passwords


async def test_only_the_password_matches_its_hash() -> None:
    passwords = Passwords()
    stored = await passwords.hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert await passwords.matches(stored, "correct horse")
    for other, password in ((stored, "wrong"), (None, "wrong"), ("-", "wrong")):
        assert not await passwords.matches(other, password)


def test_a_comparison_for_an_unknown_name_costs_as_much_as_any() -> None:
    assert extract_parameters(UNMATCHED_HASH) == extract_parameters(PasswordHasher().hash("x"))


async def test_hashing_is_bounded_and_leaves_the_event_loop_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passwords, running, most = Passwords(), 0, 0

    def verify(stored: str, password: str) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.01)
        running -= 1
        return True

    monkeypatch.setattr(passwords, "_verify", verify)
    comparing = asyncio.gather(
        *(passwords.matches("stored", "x") for _ in range(3 * CONCURRENT_HASHES))
    )
    turns = 0
    while not comparing.done():
        await asyncio.sleep(0)
        turns += 1
    assert all(await comparing)
    assert most == CONCURRENT_HASHES
    assert turns > 3 * CONCURRENT_HASHES
