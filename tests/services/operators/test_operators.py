"""Logins, resets and codes of operators, against a real MongoDB."""

import asyncio
import re
import time
from base64 import b32encode
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pyotp
import pytest

from core.errors import InvalidParameter
from services.errors import LoginRefused, OperatorLocked
from services.operators.operators import (
    STEP_SECONDS,
    OperatorService,
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


class OperatorStores(NamedTuple):
    operators: OperatorStore
    operator_sessions: OperatorSessionStore


@pytest.fixture
def own_stores(database: Database) -> OperatorStores:
    sessions = OperatorSessionStore(database, timedelta(minutes=30), timedelta(hours=12))
    return OperatorStores(OperatorStore(database, CIPHER), sessions)


@pytest.fixture
def operators(own_stores: OperatorStores) -> OperatorService:
    return OperatorService(*own_stores)


async def enrol(operators: OperatorService, own_stores: OperatorStores) -> tuple[str, str]:
    """Add anna and log her in; returns her token and the next code."""
    once = await operators.add("anna", "finance")
    secret = (await own_stores.operators.get("anna")).totp_secret
    step = int(time.time()) // STEP_SECONDS
    login = await operators.first_log_in("anna", once, PASSWORD, code_of(secret, step))
    return login.token, code_of(secret, step + 1)


async def test_a_code_works_once_even_at_the_same_time(
    operators: OperatorService, own_stores: OperatorStores
) -> None:
    _, code = await enrol(operators, own_stores)
    logins = (operators.log_in("anna", PASSWORD, code) for _ in range(4))
    results = await asyncio.gather(*logins, return_exceptions=True)
    assert [type(it) for it in results if isinstance(it, Exception)] == [LoginRefused] * 3


async def test_the_demo_operator_and_its_sessions_are_refused_unless_admitted(
    database: Database, own_stores: OperatorStores
) -> None:
    development = OperatorStore(database, CIPHER, admits_demo=True)
    await development.add(OperatorAccount(DEMO, "admin", "-", "", "credential", None))
    token, _ = await own_stores.operator_sessions.issue(DEMO, "credential")
    sessions = own_stores.operator_sessions
    admitting, refusing = OperatorService(development, sessions), OperatorService(*own_stores)
    assert await admitting.operator_of(token, in_use=True) == (DEMO, "admin")
    for _ in range(2):
        assert await refusing.operator_of(token, in_use=True) is None
        assert [it.disabled for it in await own_stores.operators.all()] == [True]
        await refusing.reset(DEMO)
        await refusing.enable(DEMO)
        token, _ = await sessions.issue(DEMO, (await development.get(DEMO)).credential)


async def test_an_unknown_name_and_a_wrong_code_are_refused_alike(
    operators: OperatorService, own_stores: OperatorStores
) -> None:
    _, code = await enrol(operators, own_stores)
    for name, password, given in (
        ("bert", PASSWORD, code),
        ("anna", "wrong", code),
        ("anna", PASSWORD, ""),
        ("anna", PASSWORD, "000000"),
    ):
        with pytest.raises(LoginRefused):
            await operators.log_in(name, password, given)
    assert await operators.log_in("anna", PASSWORD, code)


async def test_wrong_codes_after_the_right_password_lock_until_a_reset(
    operators: OperatorService, own_stores: OperatorStores
) -> None:
    _, code = await enrol(operators, own_stores)

    async def guess(times: int, password: str = PASSWORD) -> list[str]:
        guesses = (operators.log_in("anna", password, "000000") for _ in range(times))
        results = await asyncio.gather(*guesses, return_exceptions=True)
        return [type(it).__name__ for it in results]

    await guess(MAX_WRONG_CODES + 2, "wrong")
    await guess(MAX_WRONG_CODES - 1)
    assert await operators.log_in("anna", PASSWORD, code), "which forgets the wrong ones"
    assert sorted(await guess(MAX_WRONG_CODES + 2)) == (
        ["LoginRefused"] * MAX_WRONG_CODES + ["OperatorLocked"] * 2
    )
    assert (await own_stores.operators.get("anna")).is_locked
    later = code_of((await own_stores.operators.get("anna")).totp_secret, int(time.time()) // 30)
    with pytest.raises(OperatorLocked):
        await operators.log_in("anna", PASSWORD, later)
    await operators.reset("anna")
    assert not (await own_stores.operators.get("anna")).is_locked


async def test_each_setup_has_a_new_secret_and_the_last_one_counts(
    operators: OperatorService, own_stores: OperatorStores
) -> None:
    once = await operators.add("anna", "finance")
    first = await operators.second_factor("anna", once)
    second = await operators.second_factor("anna", once)
    assert first.secret != second.secret
    step = int(time.time()) // STEP_SECONDS
    with pytest.raises(InvalidParameter):
        await operators.first_log_in("anna", once, PASSWORD, code_of(first.secret, step))
    assert await operators.first_log_in("anna", once, PASSWORD, code_of(second.secret, step))
    with pytest.raises(LoginRefused):
        await operators.second_factor("anna", PASSWORD)


async def test_secrets_are_encrypted_and_no_code_is_right_under_another_key(
    database: Database, operators: OperatorService, own_stores: OperatorStores
) -> None:
    once = await operators.add("bert", "finance")
    secret = (await operators.second_factor("bert", once)).secret
    row = await database.collection("operators").find_one({"_id": "bert"})
    assert row
    assert secret.encode() not in row["totp_secret"]
    step = int(time.time()) // STEP_SECONDS
    assert await operators.first_log_in("bert", once, PASSWORD, code_of(secret, step))
    other_key = OperatorStore(database, FieldCipher("another key"))
    other = OperatorService(other_key, own_stores.operator_sessions)
    with pytest.raises(LoginRefused):
        await other.log_in("bert", PASSWORD, code_of(secret, step + 1))
    assert await operators.log_in("bert", PASSWORD, code_of(secret, step + 1))


async def test_setups_at_once_leave_one_secret_that_counts(
    operators: OperatorService, own_stores: OperatorStores
) -> None:
    once = await operators.add("anna", "finance")
    setups = (operators.second_factor("anna", once) for _ in range(4))
    results = await asyncio.gather(*setups, return_exceptions=True)
    stored = (await own_stores.operators.get("anna")).totp_secret
    given = [it.secret for it in results if not isinstance(it, BaseException)]
    assert stored in given
    assert {type(it) for it in results if isinstance(it, Exception)} <= {LoginRefused}


async def test_the_one_time_password_is_no_new_password(
    operators: OperatorService, own_stores: OperatorStores
) -> None:
    once = await operators.add("anna", "finance")
    secret = (await operators.second_factor("anna", once)).secret
    code = code_of(secret, int(time.time()) // STEP_SECONDS)
    with pytest.raises(InvalidParameter) as refused:
        await operators.first_log_in("anna", once, once, code)
    assert list(refused.value.fields) == ["new_password"]


async def test_disable_stops_a_login_in_progress(
    operators: OperatorService, own_stores: OperatorStores
) -> None:
    await enrol(operators, own_stores)
    account = await own_stores.operators.get("anna")
    late, _ = await own_stores.operator_sessions.issue("anna", account.credential)
    await own_stores.operators.update("anna", disabled=True)  # after the password was compared
    step = int(time.time()) // STEP_SECONDS + 1
    assert not await own_stores.operators.use_code(account, step)
    await operators.enable("anna")
    assert await operators.operator_of(late, in_use=True) is None
    assert await own_stores.operators.use_code(account, step)


async def test_a_reset_ends_sessions_password_and_second_factor(
    operators: OperatorService, own_stores: OperatorStores
) -> None:
    token, code = await enrol(operators, own_stores)
    before = await own_stores.operators.get("anna")
    await operators.reset("anna")
    late, _ = await own_stores.operator_sessions.issue("anna", before.credential)
    for ended in (token, late):
        assert await operators.operator_of(ended, in_use=True) is None
    with pytest.raises(LoginRefused):
        await operators.log_in("anna", PASSWORD, code)
    assert (await own_stores.operators.get("anna")).totp_secret != before.totp_secret


async def test_a_disabled_operator_is_logged_out_and_cannot_log_in_until_enabled(
    operators: OperatorService, own_stores: OperatorStores
) -> None:
    token, code = await enrol(operators, own_stores)
    await own_stores.operators.update("anna", disabled=True)
    assert await operators.operator_of(token, in_use=True) is None
    with pytest.raises(LoginRefused):
        await operators.log_in("anna", PASSWORD, code)
    await own_stores.operators.update("anna", disabled=False)
    assert await operators.operator_of(token, in_use=True) == ("anna", "finance")


async def test_a_new_role_counts_from_the_next_request(
    operators: OperatorService, own_stores: OperatorStores
) -> None:
    token, _ = await enrol(operators, own_stores)
    await own_stores.operators.update("anna", role="viewer")
    assert await operators.operator_of(token, in_use=True) == ("anna", "viewer")


async def test_a_one_time_password_expires(
    operators: OperatorService, own_stores: OperatorStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = await operators.add("anna", "admin")
    until = (await own_stores.operators.get("anna")).one_time_until
    assert until
    assert timedelta(hours=23) < until - datetime.now(UTC) <= timedelta(hours=24)
    monkeypatch.setattr("services.operators.operators.ONE_TIME_HOURS", 0)
    late = await operators.reset("anna")
    for password in (once, late):
        with pytest.raises(LoginRefused):
            await operators.second_factor("anna", password)


async def test_a_second_operator_of_the_same_name_is_refused(operators: OperatorService) -> None:
    await operators.add("anna", "admin")
    with pytest.raises(OperatorExists):
        await operators.add("anna", "viewer")


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
