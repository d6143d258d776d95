"""Logins, resets and codes of operators, against a real MongoDB."""

import asyncio
import re
import time
from base64 import b32encode
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from argon2 import PasswordHasher, extract_parameters

from core.errors import InvalidParameter
from services.errors import FirstLoginRequired, LoginRefused, OperatorLocked
from services.operators.operators import (
    CONCURRENT_HASHES,
    STEP_SECONDS,
    UNMATCHED_HASH,
    OperatorService,
    Passwords,
    code_of,
    second_factor,
    step_of,
)
from storage.database import Database
from storage.errors import OperatorExists
from storage.field_cipher import FieldCipher
from storage.operators.operators import (
    DEMO,
    MAX_WRONG_CODES,
    OperatorAccount,
    OperatorSessionStore,
    OperatorStore,
)
from tests.support.storage import CIPHER

PASSWORD = "correct horse battery"
RFC_SECRET = b32encode(b"12345678901234567890").decode()
"""Appendix B of RFC 6238, whose codes have eight digits; ours are the last six."""


class OperatorFixture:
    """The service with its stores, and no operator yet."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = OperatorStore(database, CIPHER)
        self.sessions = OperatorSessionStore(database, timedelta(minutes=30), timedelta(hours=12))
        self.service = OperatorService(self.store, self.sessions)

    async def enrol(self) -> tuple[str, str]:
        """Add anna and log her in; returns her token and the next code."""
        password = await self.service.add("anna", "finance")
        step = int(time.time()) // STEP_SECONDS
        code = code_of(await self.secret(), step)
        login = await self.service.first_log_in("anna", password, PASSWORD, code)
        return login.token, code_of(await self.secret(), step + 1)

    async def secret(self) -> str:
        return str((await self.store.get("anna")).totp_secret)

    async def operator_of(self, token: str) -> object:
        return await self.service.operator_of(token, in_use=True)


@pytest.fixture
def operators(database: Database) -> OperatorFixture:
    return OperatorFixture(database)


# ---- the first login


async def test_each_setup_has_a_secret_and_the_last_one_counts(operators: OperatorFixture) -> None:
    service, password = operators.service, await operators.service.add("anna", "finance")
    with pytest.raises(OperatorExists):
        await service.add("anna", "viewer")
    with pytest.raises(FirstLoginRequired):
        await service.log_in("anna", password, "")
    first = await service.second_factor("anna", password)
    second = await service.second_factor("anna", password)
    row = await operators.database.collection("operators").find_one({"_id": "anna"})
    assert row
    assert second.secret.encode() not in row["totp_secret"], "it is encrypted"
    step = int(time.time()) // STEP_SECONDS
    code = code_of(second.secret, step)
    for new_password, given, field in (
        (PASSWORD, code_of(first.secret, step), "code"),
        (password, code, "new_password"),
    ):
        with pytest.raises(InvalidParameter) as refused:
            await service.first_log_in("anna", password, new_password, given)
        assert list(refused.value.fields) == [field]
    assert await service.first_log_in("anna", password, PASSWORD, code)
    with pytest.raises(LoginRefused):
        await service.second_factor("anna", PASSWORD)


async def test_setups_at_once_leave_one_secret_that_counts(operators: OperatorFixture) -> None:
    password = await operators.service.add("anna", "finance")
    setups = (operators.service.second_factor("anna", password) for _ in range(4))
    results = await asyncio.gather(*setups, return_exceptions=True)
    given = [result.secret for result in results if not isinstance(result, BaseException)]
    assert await operators.secret() in given
    refused = {type(result) for result in results if isinstance(result, Exception)}
    assert refused <= {LoginRefused}


async def test_a_one_time_password_expires(
    operators: OperatorFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = await operators.service.add("anna", "admin")
    until = (await operators.store.get("anna")).one_time_until
    assert until
    assert timedelta(hours=23) < until - datetime.now(UTC) <= timedelta(hours=24)
    monkeypatch.setattr("services.operators.operators.ONE_TIME_HOURS", 0)
    late = await operators.service.reset("anna")
    for given in (password, late):
        with pytest.raises(LoginRefused):
            await operators.service.second_factor("anna", given)


# ---- logins


async def test_a_code_works_once_even_at_the_same_time(operators: OperatorFixture) -> None:
    _, code = await operators.enrol()
    logins = (operators.service.log_in("anna", PASSWORD, code) for _ in range(4))
    results = await asyncio.gather(*logins, return_exceptions=True)
    refused = [type(result) for result in results if isinstance(result, Exception)]
    assert refused == [LoginRefused] * 3


async def test_unknown_names_and_wrong_codes_are_refused_alike(operators: OperatorFixture) -> None:
    _, code = await operators.enrol()
    for name, password, given in (
        ("bert", PASSWORD, code),
        ("anna", "wrong", code),
        ("anna", PASSWORD, ""),
        ("anna", PASSWORD, "000000"),
    ):
        with pytest.raises(LoginRefused):
            await operators.service.log_in(name, password, given)
    other_key = OperatorStore(operators.database, FieldCipher("another key"))
    with pytest.raises(LoginRefused):
        await OperatorService(other_key, operators.sessions).log_in("anna", PASSWORD, code)
    assert await operators.service.log_in("anna", PASSWORD, code)


async def test_wrong_codes_lock_an_operator_until_a_reset(operators: OperatorFixture) -> None:
    _, code = await operators.enrol()
    log_in = operators.service.log_in

    async def guess(times: int, password: str = PASSWORD) -> list[str]:
        guesses = (log_in("anna", password, "000000") for _ in range(times))
        results = await asyncio.gather(*guesses, return_exceptions=True)
        return [type(result).__name__ for result in results]

    await guess(MAX_WRONG_CODES + 2, "wrong")
    await guess(MAX_WRONG_CODES - 1)
    assert await log_in("anna", PASSWORD, code), "which forgets the wrong ones"
    refused = ["LoginRefused"] * MAX_WRONG_CODES + ["OperatorLocked"] * 2
    assert sorted(await guess(MAX_WRONG_CODES + 2)) == refused
    assert (await operators.store.get("anna")).is_locked
    later = code_of(await operators.secret(), int(time.time()) // STEP_SECONDS)
    with pytest.raises(OperatorLocked):
        await log_in("anna", PASSWORD, later)
    await operators.service.reset("anna")
    assert not (await operators.store.get("anna")).is_locked


# ---- changes of an account


async def test_a_role_counts_at_once_unless_disabled(operators: OperatorFixture) -> None:
    token, code = await operators.enrol()
    await operators.store.update("anna", role="viewer")
    assert await operators.operator_of(token) == ("anna", "viewer")
    await operators.store.update("anna", disabled=True)
    assert await operators.operator_of(token) is None
    with pytest.raises(LoginRefused):
        await operators.service.log_in("anna", PASSWORD, code)
    await operators.store.update("anna", disabled=False)
    assert await operators.operator_of(token) == ("anna", "viewer")


async def test_disable_stops_a_login_in_progress(operators: OperatorFixture) -> None:
    await operators.enrol()
    account = await operators.store.get("anna")
    late, _ = await operators.sessions.issue("anna", account.credential)
    await operators.store.update("anna", disabled=True)  # after the password was compared
    step = int(time.time()) // STEP_SECONDS + 1
    assert not await operators.store.use_code(account, step)
    await operators.service.enable("anna")
    assert await operators.operator_of(late) is None
    assert await operators.store.use_code(account, step)


async def test_a_reset_ends_sessions_password_and_second_factor(operators: OperatorFixture) -> None:
    token, code = await operators.enrol()
    before = await operators.store.get("anna")
    await operators.service.reset("anna")
    late, _ = await operators.sessions.issue("anna", before.credential)
    for ended in (token, late):
        assert await operators.operator_of(ended) is None
    with pytest.raises(LoginRefused):
        await operators.service.log_in("anna", PASSWORD, code)
    assert await operators.secret() != before.totp_secret


async def test_the_demo_operator_is_refused_unless_admitted(operators: OperatorFixture) -> None:
    development = OperatorStore(operators.database, CIPHER, admits_demo=True)
    await development.add(OperatorAccount(DEMO, "admin", "-", "", "credential", None))
    token, _ = await operators.sessions.issue(DEMO, "credential")
    admitting = OperatorService(development, operators.sessions)
    assert await admitting.operator_of(token, in_use=True) == (DEMO, "admin")
    for _ in range(2):
        assert await operators.operator_of(token) is None
        assert [account.disabled for account in await operators.store.all()] == [True]
        await operators.service.reset(DEMO)
        await operators.service.enable(DEMO)
        credential = (await development.get(DEMO)).credential
        token, _ = await operators.sessions.issue(DEMO, credential)


# ---- codes


@pytest.mark.parametrize(
    ("now", "code"), [(59, "287082"), (1111111109, "081804"), (20000000000, "353130")]
)
def test_codes_are_those_of_the_standard(now: int, code: str) -> None:
    assert step_of(RFC_SECRET, code, now) == now // 30


def test_a_code_is_tolerated_for_one_step_before_and_after_its_own() -> None:
    code = code_of(RFC_SECRET, 100)
    accepted = [step for step in range(90, 110) if step_of(RFC_SECRET, code, step * 30)]
    assert accepted == [99, 100, 101]
    assert step_of(RFC_SECRET, "", 3000) is None


def test_the_qr_code_is_an_image_in_the_page_itself() -> None:
    factor = second_factor("anna", pyotp.random_base32())
    assert re.fullmatch(r"otpauth://totp/QLive:anna\?secret=[A-Z2-7]{32}&issuer=QLive", factor.uri)
    assert factor.qr.startswith("data:image/svg+xml")
    assert factor.secret not in repr(factor)


# ---- passwords


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
