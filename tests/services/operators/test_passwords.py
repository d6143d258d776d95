"""Rules and hashes of operators' passwords."""

import asyncio
import threading
import time

import pytest
from argon2 import PasswordHasher, extract_parameters

from services.operators.operators import CONCURRENT_HASHES, UNMATCHED_HASH, Passwords, weakness
from tests.support.waiting import WAIT_SECONDS

NAME, REPEATS, EASY = (
    "this contains your name",
    "this repeats one or two characters",
    "this is easy to guess: a sequence, a common password or a word",
)
LONGEST = 128


@pytest.mark.parametrize(
    ("name", "password", "rule"),
    [
        ("anna.k", "anna.k", NAME),
        ("anna.k", "with ANNA.K inside", NAME),
        ("anna.k", "anna without the rest 7", ""),
        ("li", "reliable tea in 77 cups", ""),
        ("li", "li2026li2026", EASY),
        *(("anna.k", many, REPEATS) for many in ("a" * 12, "aB" * 6, "x" * LONGEST)),
        ("anna.k", "abcdefghijkl", EASY),
        ("anna.k", "qwertyuiop12", EASY),
        ("anna.k", "P@ssw0rd1234", EASY),
        ("anna.k", "unbelievable", EASY),
        ("anna.k", "correct horse battery", ""),
        ("anna.k", "xK9$mQ2!vLp7", ""),
        ("anna.k", "werden und vergehen", ""),
        ("anna.k", "月老牵线搭桥不收一分钱", ""),
    ],
)
def test_passwords_that_are_easy_to_guess_break_a_rule(name: str, password: str, rule: str) -> None:
    assert weakness(name, password) == rule


def test_a_long_password_is_checked_in_a_moment() -> None:
    started = time.thread_time()
    assert weakness("anna", ("1111" * LONGEST)[: LONGEST - 2] + "ab") != ""
    assert time.thread_time() - started < 1


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
    together = threading.Barrier(CONCURRENT_HASHES)

    def verify(_hasher: PasswordHasher, stored: str, password: str) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        together.wait(WAIT_SECONDS)
        time.sleep(0.01)
        running -= 1
        return True

    monkeypatch.setattr(PasswordHasher, "verify", verify)
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
