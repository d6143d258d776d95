"""Logins, resets and codes of operators, against a real MongoDB."""

import asyncio
import re
import time
from base64 import b32encode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyotp
import pytest

from core.errors import InvalidParameter
from services.errors import FirstLoginRequired, LoginRefused, OperatorLocked, OwnAccount
from services.operators.operators import (
    STEP_SECONDS,
    OperatorService,
    code_of,
    second_factor,
    step_of,
)
from storage.database import Database
from storage.errors import NoLongerAdmin, OperatorExists, OperatorNotFound
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
        self.sessions = OperatorSessionStore(database)
        self.service = OperatorService(self.store, self.sessions)
        self.step = int(time.time()) // STEP_SECONDS
        """That of the code with which anna has logged in."""

    async def enrol(self) -> tuple[str, str]:
        """Add anna and log her in; returns her token and the next code."""
        password = await self.service.add("anna", "finance")
        self.step = int(time.time()) // STEP_SECONDS
        code = code_of(await self.secret(), self.step)
        login = await self.service.first_log_in("anna", password, PASSWORD, code)
        return login.token, code_of(await self.secret(), self.step + 1)

    async def secret(self) -> str:
        return str((await self.store.get("anna")).totp_secret)

    async def operator_of(self, token: str) -> object:
        return await self.service.operator_of(token, in_use=True)

    async def admin(self, name: str) -> None:
        """Add an admin who has logged in."""
        await self.store.add(OperatorAccount(name, "admin", "", "", name, None))


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
        ("anna's long password", code, "new_password"),
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
    assert not await operators.store.use_code(account, operators.step + 1)
    await operators.service.change("anna", disabled=False)
    assert await operators.operator_of(late) is None
    assert not await operators.store.use_code(account, operators.step + 1)


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


async def test_admins_change_others_and_never_themselves(operators: OperatorFixture) -> None:
    token, _ = await operators.enrol()
    service = operators.service
    await operators.admin("olga")
    for name, refusal in (("olga", OwnAccount), ("bert", OperatorNotFound)):
        for refused in (
            service.change(name, "olga", role="viewer"),
            service.reset(name, "olga"),
            service.change(name, "olga", end_sessions=True),
        ):
            with pytest.raises(refusal):
                await refused
    await service.change("anna", "olga", role="viewer")
    assert await operators.operator_of(token) == ("anna", "viewer")
    await service.change("anna", "olga", end_sessions=True)
    assert await operators.operator_of(token) is None
    for name in ("ops.token", DEMO, "check", "user", "wechat", "refund_case", "jsapi", "xpay"):
        with pytest.raises(InvalidParameter, match="name: this name is reserved"):
            await service.add(name, "viewer")


@pytest.mark.parametrize("change", ["disable", "demote", "reset"])
async def test_admins_who_remove_each_other_at_once_leave_one(
    operators: OperatorFixture, change: str
) -> None:
    changes: dict[str, Callable[[str, str], Awaitable[Any]]] = {
        "disable": lambda name, by: operators.service.change(name, by, disabled=True),
        "demote": lambda name, by: operators.service.change(name, by, role="viewer"),
        "reset": operators.service.reset,
    }
    names = [f"admin{n}" for n in range(4)]
    for name in names:
        await operators.admin(name)
    circle = zip(names, [*names[1:], names[0]], strict=True)
    results = await asyncio.gather(
        *(changes[change](name, by) for name, by in circle), return_exceptions=True
    )
    left = [
        account.name
        for account in await operators.store.all()
        if (account.role, account.state) == ("admin", "active")
    ]
    refused = [result for result in results if isinstance(result, BaseException)]
    assert {type(error) for error in refused} == {NoLongerAdmin}
    assert len(left) == len(refused) > 0


async def test_a_locked_admin_removes_no_operator(operators: OperatorFixture) -> None:
    for name in ("olga", "ada"):
        await operators.admin(name)
    for _ in range(MAX_WRONG_CODES):
        await operators.store.count_code(await operators.store.get("olga"))
    with pytest.raises(NoLongerAdmin):
        await operators.service.change("ada", "olga", disabled=True)


async def test_one_changes_ones_own_password_and_app_with_the_present_ones(
    operators: OperatorFixture,
) -> None:
    token, code = await operators.enrol()
    service, other, later = operators.service, "another horse battery", pyotp.random_base32()
    step = operators.step
    used = code_of(await operators.secret(), step)
    for password, given, new, field in (
        ("wrong", code, other, "password"),
        (PASSWORD, code, PASSWORD, "new_password"),
        (PASSWORD, code, "my name is anna", "new_password"),
        (PASSWORD, "000000", other, "code"),
        (PASSWORD, used, other, "code"),
    ):
        with pytest.raises(InvalidParameter) as refused:
            await service.change_own("anna", password, given, new_password=new)
        assert list(refused.value.fields) == [field]
    assert (await operators.store.get("anna")).wrong_codes == 2, "a refused password costs no code"
    login = await service.change_own("anna", PASSWORD, code, new_password=other)
    assert await operators.operator_of(token) is None
    assert await operators.operator_of(login.token) == ("anna", "finance")
    with pytest.raises(LoginRefused):
        await service.log_in("anna", other, code)

    await operators.database.collection("operators").update_one({}, {"$set": {"totp_step": 0}})
    for given, new_code, field in (
        (code, "000000", "new_code"),
        ("000000", code_of(later, step), "code"),
    ):
        with pytest.raises(InvalidParameter) as refused:
            await service.change_own("anna", other, given, secret=later, new_code=new_code)
        assert list(refused.value.fields) == [field]
    second = await service.change_own(
        "anna", other, code, secret=later, new_code=code_of(later, step)
    )
    assert await operators.secret() == later
    assert await operators.operator_of(login.token) is None
    assert await operators.operator_of(second.token) == ("anna", "finance")
    with pytest.raises(LoginRefused):
        await service.log_in("anna", other, code_of(later, step))


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
        await operators.service.change(DEMO, disabled=False)
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
    factor = second_factor("anna")
    assert re.fullmatch(r"otpauth://totp/QLive:anna\?secret=[A-Z2-7]{32}&issuer=QLive", factor.uri)
    assert factor.qr.startswith("data:image/svg+xml")
    assert factor.secret not in repr(factor)
