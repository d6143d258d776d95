"""Logins, resets and codes of operators, against a real MongoDB."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from services.errors import LoginRefused
from services.operators import OperatorService
from services.second_factor import STEP_SECONDS, code_of
from storage.database import Database
from storage.errors import OperatorExists
from storage.operator_sessions import OperatorSessionStore
from storage.operators import OperatorStore

PASSWORD = "correct horse battery"


class OperatorStores(NamedTuple):
    operators: OperatorStore
    operator_sessions: OperatorSessionStore


@pytest.fixture
def own_stores(database: Database) -> OperatorStores:
    sessions = OperatorSessionStore(database, timedelta(minutes=30), timedelta(hours=12))
    return OperatorStores(OperatorStore(database), sessions)


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


@pytest.mark.gen_test
async def test_a_code_works_once_even_at_the_same_time(
    operators: OperatorService, own_stores: OperatorStores
) -> None:
    _, code = await enrol(operators, own_stores)
    logins = (operators.log_in("anna", PASSWORD, code) for _ in range(4))
    results = await asyncio.gather(*logins, return_exceptions=True)
    assert [type(it) for it in results if isinstance(it, Exception)] == [LoginRefused] * 3


@pytest.mark.gen_test
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


@pytest.mark.gen_test
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


@pytest.mark.gen_test
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


@pytest.mark.gen_test
async def test_a_new_role_counts_from_the_next_request(
    operators: OperatorService, own_stores: OperatorStores
) -> None:
    token, _ = await enrol(operators, own_stores)
    await own_stores.operators.update("anna", role="viewer")
    assert await operators.operator_of(token, in_use=True) == ("anna", "viewer")


@pytest.mark.gen_test
async def test_a_one_time_password_expires(
    operators: OperatorService, own_stores: OperatorStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = await operators.add("anna", "admin")
    until = (await own_stores.operators.get("anna")).one_time_until
    assert until
    assert timedelta(hours=23) < until - datetime.now(UTC) <= timedelta(hours=24)
    monkeypatch.setattr("services.operators.ONE_TIME_HOURS", 0)
    late = await operators.reset("anna")
    for password in (once, late):
        with pytest.raises(LoginRefused):
            await operators.second_factor("anna", password)


@pytest.mark.gen_test
async def test_a_second_operator_of_the_same_name_is_refused(operators: OperatorService) -> None:
    await operators.add("anna", "admin")
    with pytest.raises(OperatorExists):
        await operators.add("anna", "viewer")
