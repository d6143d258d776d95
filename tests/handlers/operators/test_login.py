"""Logins of operators over HTTP."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from core.limits import Rate
from handlers.base import MAX_BODY_BYTES
from handlers.limits import OPERATORS_AT_ADDRESS
from runtime.process import ServerProcess
from storage.operators.operators import MAX_WRONG_CODES
from tests.support.api import ApiFixture, Reply
from tests.support.no_limits import set_limits
from tests.support.operators import PASSWORD, code_now, first_login, operator_as

GUESSES = 3
OTHER_ADDRESS = {"X-Forwarded-For": "203.0.113.9"}


@pytest.fixture
def server(server: ServerProcess) -> ServerProcess:
    set_limits(server.context, ops_login=Rate(0.001, GUESSES))
    return server


async def log_in(api: ApiFixture, name: str, password: str, code: str = "", **more: Any) -> Reply:
    body = {"name": name, "password": password, "code": code}
    return await api.request("POST", "/ops/api/login", json=body, **more)


async def refused_logins(api: ApiFixture) -> float:
    count: float = (await api.metrics())["qlive_operator_logins_refused_total"]
    return count


async def test_failed_logins_are_audited_logged_and_counted_without_what_was_typed(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    await first_login(server, "moderator")
    before = await refused_logins(api)
    with capture_logs() as logs:
        refused = await log_in(api, "anna", PASSWORD, "000000", headers=OTHER_ADDRESS)
        db.operators.update_one({"_id": "anna"}, {"$set": {"wrong_codes": MAX_WRONG_CODES}})
        locked = await log_in(api, "anna", PASSWORD, "000000")
        for typed in ("Correct horse", "correct-horse1"):
            assert (await log_in(api, typed, PASSWORD)).status in (400, 401)
    assert (refused.refusal, locked.refusal) == ((401, "ops_login"), (403, "ops_locked"))
    assert await refused_logins(api) == before + 3, "an invalid name is no attempt"
    entry, *others = db.audit.find()
    assert (entry["who"], entry["what"], entry["done"]) == ("anna", "POST Login", False)
    assert entry["address"] == "203.0.113.9"
    assert [(other["who"], other["on"]) for other in others] == [("anna", "anna"), *[("", "")] * 2]
    line = next(line for line in logs if line["event"] == "operator_login_refused")
    assert (line["operator"], line["address"]) == ("anna", "203.0.113.9")
    for typed in (PASSWORD, "horse"):
        assert typed not in str([entry, others, logs])


# ---- limits


async def test_logins_are_limited_by_address(api: ApiFixture) -> None:
    allowed = GUESSES * OPERATORS_AT_ADDRESS
    attempts = [log_in(api, f"guess{n}", PASSWORD) for n in range(allowed + 2)]
    replies = await asyncio.gather(*attempts)
    assert sorted(reply.status for reply in replies) == [401] * allowed + [429] * 2


async def test_logins_that_cannot_be_read_are_limited_as_well(api: ApiFixture) -> None:
    replies = [
        await api.request("POST", "/ops/api/login", data=data)
        for data in ("{", "{" * (MAX_BODY_BYTES + 1), "[1", "{")
    ]
    assert [reply.status for reply in replies] == [400, 413, 400, 429]


async def test_wrong_passwords_from_one_address_do_not_lock_the_operator_out_of_another(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    _, secret = await first_login(server, "moderator")
    with capture_logs() as logs:
        replies = [
            await log_in(api, "anna", "wrong", headers=OTHER_ADDRESS) for _ in range(GUESSES + 1)
        ]
    assert [reply.status for reply in replies] == [401] * GUESSES + [429]
    [limited] = [entry for entry in logs if entry["event"] == "requests_limited"]
    assert limited["by"] == "name"
    assert "anna" not in limited.values(), "the field of the name may have a password"
    assert (await log_in(api, "bert", "wrong", headers=OTHER_ADDRESS)).status == 401
    for _ in range(GUESSES + 1):  # logins that succeed have no limit
        db.operators.update_one({"_id": "anna"}, {"$set": {"totp_step": 0}})
        (await log_in(api, "anna", PASSWORD, code_now(secret))).ok()


async def test_guesses_of_ones_own_password_are_limited_as_logins(
    api: ApiFixture, server: ServerProcess
) -> None:
    headers = await operator_as(server, "anna", "viewer")
    body = {"password": "guess", "code": "000000", "new_password": PASSWORD}
    replies = [
        await api.request("PATCH", "/ops/api/account", headers=headers, json=body)
        for _ in range(GUESSES + 1)
    ]
    assert [reply.status for reply in replies] == [400] * GUESSES + [429]
