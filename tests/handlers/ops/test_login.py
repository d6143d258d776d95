"""Logins of operators over HTTP."""

import asyncio
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from handlers.base import BODY_BYTES
from handlers.limits import OPERATORS_AT_ADDRESS
from runtime.process import ServerProcess
from services.operators.operators import STEP_SECONDS, code_of
from storage.operators.operators import MAX_WRONG_CODES
from tests.support.api import ApiFixture, Reply

PASSWORD = "correct horse battery"
GUESSES = 3
OTHER_ADDRESS = {"X-Forwarded-For": "203.0.113.9"}


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"limits": {"ops_login": f"0.001/{GUESSES}"}}


def current_code(secret: str, *, steps: int = 0) -> str:
    return code_of(secret, int(time.time()) // STEP_SECONDS + steps)


async def log_in(api: ApiFixture, name: str, password: str, code: str = "", **more: Any) -> Reply:
    body = {"name": name, "password": password, "code": code}
    return await api.request("POST", "/ops/api/login", json=body, **more)


async def first_login(api: ApiFixture, server: ServerProcess) -> tuple[dict[str, Any], str]:
    """The login of the new operator anna, and the secret of her second factor."""
    once = await server.context.services.operators.add("anna", "moderator")
    known = {"name": "anna", "password": once}
    factor = (await api.request("POST", "/ops/api/login/setup", json=known)).ok()
    first = {**known, "new_password": PASSWORD, "code": current_code(factor["secret"])}
    login = (await api.request("POST", "/ops/api/login/first", json=first)).ok()
    again = await api.request("POST", "/ops/api/login/first", json=first)
    assert again.refusal == (401, "ops_login"), "a one-time password works once"
    return login, factor["secret"]


async def who_is(api: ApiFixture, login: dict[str, Any]) -> Reply:
    headers = {"Authorization": f"Bearer {login['token']}"}
    return await api.request("GET", "/ops/api/session", headers=headers)


@pytest.mark.gen_test(timeout=30)
async def test_first_login_sets_password_and_second_factor(
    api: ApiFixture, server: ServerProcess
) -> None:
    login, secret = await first_login(api, server)
    assert (login["name"], login["role"]) == ("anna", "moderator")
    assert (await who_is(api, login)).ok()["name"] == "anna"
    second = (await log_in(api, "anna", PASSWORD, current_code(secret, steps=1))).ok()
    assert (await who_is(api, second)).ok() == (await who_is(api, login)).ok()


@pytest.mark.gen_test(timeout=30)
async def test_one_time_password_alone_does_not_log_in(
    api: ApiFixture, server: ServerProcess
) -> None:
    once = await server.context.services.operators.add("anna", "admin")
    assert (await log_in(api, "anna", once)).refusal == (409, "first_login")
    factor = await api.request(
        "POST", "/ops/api/login/setup", json={"name": "anna", "password": once}
    )
    assert factor.ok()["qr"].startswith("data:image/svg+xml")
    first = {"name": "anna", "password": once, "new_password": PASSWORD, "code": "000000"}
    wrong = await api.request("POST", "/ops/api/login/first", json=first)
    assert wrong.json["fields"] == {"code": "this is not the current code"}
    first |= {"new_password": "short"}
    short = await api.request("POST", "/ops/api/login/first", json=first)
    assert list(short.json["fields"]) == ["new_password"]


@pytest.mark.gen_test(timeout=30)
async def test_an_operator_whose_role_this_release_does_not_know_is_answered_403(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    _, secret = await first_login(api, server)
    db.operators.update_one({"_id": "anna"}, {"$set": {"role": "auditor"}})
    login = await log_in(api, "anna", PASSWORD, current_code(secret, steps=1))
    assert login.refusal == (403, "ops_role")


@pytest.mark.gen_test(timeout=30)
async def test_logout_ends_the_session(api: ApiFixture, server: ServerProcess) -> None:
    login, _ = await first_login(api, server)
    headers = {"Authorization": f"Bearer {login['token']}"}
    (await api.request("DELETE", "/ops/api/session", headers=headers)).ok()
    assert (await who_is(api, login)).refusal == (401, "ops_token")


@pytest.mark.gen_test(timeout=30)
async def test_failed_logins_are_audited_with_their_address_and_without_the_password(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    await server.context.services.operators.add("anna", "viewer")
    with capture_logs() as logs:
        refused = await log_in(api, "anna", PASSWORD, headers=OTHER_ADDRESS)
    assert refused.refusal == (401, "ops_login")
    [entry] = db.audit.find()
    assert (entry["who"], entry["what"], entry["done"]) == ("anna", "POST Login", False)
    assert entry["address"] == "203.0.113.9"
    assert PASSWORD not in str([entry, logs])
    [line] = [line for line in logs if line["event"] == "operator_login_refused"]
    assert (line["operator"], line["address"]) == ("anna", "203.0.113.9")


@pytest.mark.gen_test(timeout=30)
async def test_a_password_in_the_field_of_the_name_is_neither_audited_nor_logged(
    api: ApiFixture, db: Any
) -> None:
    with capture_logs() as logs:
        for typed in ("Correct horse", "correct-horse1"):
            assert (await log_in(api, typed, PASSWORD)).status in (400, 401)
    entries = [*db.audit.find()]
    assert [(entry["who"], entry["on"]) for entry in entries] == [("", "")] * 2
    assert "horse" not in str([entries, logs])


@pytest.mark.gen_test(timeout=30)
async def test_refused_logins_are_counted_also_those_of_a_locked_operator(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    await first_login(api, server)
    refused = server.context.metrics.operator_logins_refused
    before = refused._value.get()
    assert (await log_in(api, "anna", PASSWORD, "000000")).refusal == (401, "ops_login")
    db.operators.update_one({"_id": "anna"}, {"$set": {"wrong_codes": MAX_WRONG_CODES}})
    assert (await log_in(api, "anna", PASSWORD, "000000")).refusal == (403, "ops_locked")
    assert refused._value.get() == before + 2


@pytest.mark.gen_test(timeout=30)
async def test_logins_are_limited_by_address(api: ApiFixture) -> None:
    allowed = GUESSES * OPERATORS_AT_ADDRESS
    attempts = [log_in(api, f"guess{n}", PASSWORD) for n in range(allowed + 2)]
    replies = await asyncio.gather(*attempts)
    assert sorted(reply.status for reply in replies) == [401] * allowed + [429] * 2


@pytest.mark.gen_test(timeout=30)
async def test_logins_that_cannot_be_read_are_limited_as_well(api: ApiFixture) -> None:
    replies = [
        await api.request("POST", "/ops/api/login", data=data)
        for data in ("{", "{" * (BODY_BYTES + 1), "[1", "{")
    ]
    assert [reply.status for reply in replies] == [400, 413, 400, 429]


@pytest.mark.gen_test(timeout=30)
async def test_what_is_typed_as_a_name_is_not_logged_when_logins_are_limited(
    api: ApiFixture,
) -> None:
    with capture_logs() as logs:
        for _ in range(GUESSES + 1):
            reply = await log_in(api, "my-password", PASSWORD)
    assert reply.status == 429
    assert [entry["by"] for entry in logs if entry["event"] == "requests_limited"] == ["name"]
    assert "my-password" not in str(logs)


@pytest.mark.gen_test(timeout=30)
async def test_wrong_passwords_from_one_address_do_not_lock_the_operator_out_of_another(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    _, secret = await first_login(api, server)
    for _ in range(GUESSES):
        assert (await log_in(api, "anna", "wrong", headers=OTHER_ADDRESS)).status == 401
    assert (await log_in(api, "anna", "wrong", headers=OTHER_ADDRESS)).refusal == (429, "too_many")
    assert (await log_in(api, "bert", "wrong", headers=OTHER_ADDRESS)).status == 401
    db.operators.update_one({"_id": "anna"}, {"$set": {"totp_step": 0}})
    (await log_in(api, "anna", PASSWORD, current_code(secret))).ok()


@pytest.mark.gen_test(timeout=30)
async def test_logins_that_succeed_have_no_limit(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    _, secret = await first_login(api, server)
    for _ in range(GUESSES + 1):
        db.operators.update_one({"_id": "anna"}, {"$set": {"totp_step": 0}})
        (await log_in(api, "anna", PASSWORD, current_code(secret))).ok()
