"""Authentication and roles of the operators' API."""

import re
from typing import Any

import pytest

from handlers.openapi.endpoints import endpoints
from handlers.ops.base import OperatorHandler
from handlers.ops.routes import OPS_ROUTES
from runtime.process import ServerProcess
from services.roles import INCLUDED, Access
from tests.support.api import ApiFixture
from tests.support.operators import operator_as

MACHINE_TOKEN = "machine"
MATRIX = {
    "machine": {"GET fleet", "GET metrics", "GET overview"},
    "viewer": {
        *(
            "DELETE session",
            "GET approvals",
            "GET audit",
            "GET audit.csv",
            "GET blocks",
            "GET configs",
            "GET gifts",
            "GET ledger",
        ),
        *("GET orders", "GET rooms", "GET rooms/N", "GET rooms/N/people"),
        *("GET session", "GET users", "GET users/N", "GET users/N/sessions"),
    },
    "moderator": {
        *("DELETE users/N/sessions", "PATCH users/N", "POST rooms/N/end", "POST rooms/N/let_in"),
        "POST rooms/N/put_out",
    },
    "finance": {
        *(
            "POST approvals/N/confirm",
            "POST approvals/N/decline",
            "GET inbox",
            "GET refunds",
            "GET refunds/N",
            "POST inbox/again",
            "POST ledger/reverse",
            "POST users/N/grant",
        ),
        *("POST refunds", "POST refunds/N/confirm", "POST refunds/N/drop"),
        "POST refunds/N/settle",
        *("POST users/N/settle", "GET withdrawals", "GET withdrawals/days"),
        *("GET withdrawals/report.csv", "POST withdrawals/N/approve"),
        "POST withdrawals/N/decline",
    },
    "admin": {
        f"{method} {name}"
        for name in ("gifts", "blocks", "configs")
        for method, name in (("POST", name), ("PATCH", f"{name}/N"), ("DELETE", f"{name}/N"))
    },
}
"""The operations that each role adds to those that it includes."""


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"ops": {"token": MACHINE_TOKEN}}


def requests() -> list[tuple[str, str, str]]:
    """Name in the matrix, method and path of every operation that requires an operator."""
    found = []
    for endpoint in endpoints(OPS_ROUTES):
        if issubclass(endpoint.handler, OperatorHandler):
            method = endpoint.method.upper()
            name = re.sub(r"\{.*?\}", "N", endpoint.path)
            path = re.sub(r"\{.*?\}", "12345678", endpoint.path)
            found.append((f"{method} {name}", method, f"/ops/api/{path}"))
    return found


@pytest.mark.gen_test(timeout=20)
async def test_every_operator_endpoint_requires_an_operator(api: ApiFixture, db: Any) -> None:
    anna, operator = await api.user("anna", 2), await api.operator_token()
    for header in (
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {anna.token}",
        f"QLiveToken {anna.token}",
        f"QLiveToken {operator}",
        f"Bearer {operator}x",
        "Bearer ключ",
    ):
        headers = {} if header is None else {"Authorization": header}
        for name, method, path in requests():
            reply = await api.request(method, path, headers=headers)
            assert reply.refusal == (401, "ops_token"), (header, name)
            assert "WWW-Authenticate" in reply.headers
    assert db.audit.count_documents({}) == 0


@pytest.mark.parametrize("role", MATRIX)
@pytest.mark.gen_test(timeout=20)
async def test_a_role_may_use_its_operations_and_no_others(
    api: ApiFixture, server: ServerProcess, role: Access
) -> None:
    permitted = set[str]().union(*(MATRIX[included] for included in INCLUDED[role]))
    if role == "machine":
        headers = {"Authorization": f"Bearer {MACHINE_TOKEN}"}
    else:
        headers = await operator_as(server, "anna", role)
    logout = "DELETE session"  # last, since it ends the session
    for name, method, path in sorted(requests(), key=lambda it: it[0] == logout):
        reply = await api.request(method, path, headers=headers)
        is_refused = reply.status == 403 and reply.json["code"] == "ops_role"
        assert is_refused == (name not in permitted), (name, reply.text)
        assert is_refused or reply.status in (200, 400, 404), (name, reply.text)


def test_the_matrix_names_every_operation_once() -> None:
    named = [name for names in MATRIX.values() for name in names]
    assert sorted(named) == sorted(name for name, _, _ in requests())


@pytest.mark.gen_test(timeout=20)
async def test_a_change_that_the_role_does_not_permit_is_audited(
    api: ApiFixture, server: ServerProcess
) -> None:
    headers = await operator_as(server, "anna", "viewer")
    await api.request("POST", "/ops/api/gifts", headers=headers)
    [entry] = (await api.ops("GET", "audit")).ok()["items"]
    assert (entry["who"], entry["what"], entry["done"]) == ("anna", "POST Gifts", False)


@pytest.mark.gen_test(timeout=20)
async def test_operators_are_told_what_they_may_do(api: ApiFixture, server: ServerProcess) -> None:
    headers = await operator_as(server, "anna", "moderator")
    me = (await api.request("GET", "/ops/api/session", headers=headers)).ok()
    assert (me["name"], me["role"]) == ("anna", "moderator")
    assert {"PATCH OneUser", "GET Overview"} < set(me["may"])
    assert not {"POST GrantGold", "GET Inbox", "POST Gifts"} & set(me["may"])


@pytest.mark.gen_test(timeout=20)
async def test_operator_token_is_not_accepted_by_the_user_api(api: ApiFixture) -> None:
    for token in (MACHINE_TOKEN, await api.operator_token()):
        headers = {"Authorization": f"QLiveToken {token}"}
        reply = await api.request("GET", "/wx/api/qlive/get_configs/", headers=headers)
        assert reply.refusal == (401, "token")
