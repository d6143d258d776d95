"""Authentication and roles of the operators' API."""

import re
from typing import Any, NamedTuple

import pytest

from handlers.openapi.endpoints import endpoints
from handlers.operator_routes import OPS_ROUTES
from handlers.routes import ROUTES
from runtime.process import ServerProcess
from services.operators.roles import INCLUDED, ROLES, Access
from storage.operators.audit import MONEY_OUT
from tests.support.api import ApiFixture
from tests.support.operators import operator_as

MACHINE_TOKEN = "machine"
OPS = "/ops/api/"
OPERATIONS: dict[Access, str] = {
    "machine": "GET charts fleet overview",
    "viewer": """DELETE session, PATCH account, GET account approvals audit audit.csv blocks configs
        gifts ledger lives lives.csv moderation moderation/policy orders rooms rooms/N
        rooms/N/people session switches users users/N users/N/sessions""",
    "moderator": """GET moderation/N/evidence, PATCH users/N, DELETE users/N/sessions,
        POST moderation/N/decide rooms/N/end rooms/N/let_in rooms/N/put_out
        rooms/N/streams""",
    "finance": """GET bills bills/differences inbox refunds refunds/N withdrawals withdrawals/days
        withdrawals/report.csv, POST approvals/N/confirm approvals/N/decline
        bills/differences/settle inbox/again ledger/reverse refunds refunds/N/confirm refunds/N/drop
        refunds/N/settle users/N/grant users/N/settle withdrawals/N/approve
        withdrawals/N/decline""",
    "admin": """GET operators webhooks webhooks/N/deliveries,
        POST gifts blocks configs operators operators/N/reset switches/checks webhooks
        webhooks/N/rotate webhooks/N/deliveries/N/again,
        PATCH gifts/N blocks/N configs/N operators/N webhooks/N,
        DELETE gifts/N blocks/N configs/N blocks/N/next configs/N/next webhooks/N""",
}
"""Every operation by the least role that permits it."""


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"ops": {"token": MACHINE_TOKEN}}


class Operation(NamedTuple):
    """An operation that requires an operator; `name` as `POST users/N/grant`."""

    name: str
    method: str
    path: str
    access: Access


def operations() -> list[Operation]:
    found = []
    for endpoint in endpoints(ROUTES):
        if endpoint.access:
            method, path = endpoint.method.upper(), re.sub(r"\{.*?\}", "12345678", endpoint.path)
            name = re.sub(r"\{.*?\}", "N", f"{method} {endpoint.path.removeprefix(OPS)}")
            found.append(Operation(name, method, path, endpoint.access))
    return found


async def test_every_operator_endpoint_requires_an_operator(api: ApiFixture, db: Any) -> None:
    anna, operator = await api.user("anna", 2), await api.operator_token()
    no_header, wrong_scheme = {}, {"Authorization": f"QLiveToken {operator}"}
    others = (
        *("", "Bearer", "Bearer ", "Bearer wrong", "Bearer ключ"),
        *(f"Bearer {anna.token}", f"QLiveToken {anna.token}", f"Bearer {operator}x"),
    )
    one, *_ = found = operations()
    cases = [
        *((operation, headers) for operation in found for headers in (no_header, wrong_scheme)),
        *((one, {"Authorization": other}) for other in others),
    ]
    for (name, method, path, _), headers in cases:
        reply = await api.request(method, path, headers=headers)
        assert reply.refusal == (401, "ops_token"), (name, headers)
        assert reply.headers["WWW-Authenticate"] == "Bearer", (name, headers)
    assert db.audit.count_documents({}) == 0
    for token in (MACHINE_TOKEN, operator):
        headers = {"Authorization": f"QLiveToken {token}"}
        reply = await api.request("GET", "/wx/api/qlive/get_configs/", headers=headers)
        assert reply.refusal == (401, "token"), "in the API of users"


def test_every_operation_requires_its_role_in_the_table() -> None:
    listed = {
        (f"{method} {name}", role)
        for role, lines in OPERATIONS.items()
        for method, *names in map(str.split, lines.split(","))
        for name in names
    }
    assert {(one.name, one.access) for one in operations()} == listed
    logins = {one.path for one in endpoints(ROUTES) if "/ops/" in one.path and not one.access}
    assert logins == {f"{OPS}login{path}" for path in ("", "/first", "/options", "/setup")}


async def test_every_operation_admits_its_role_and_refuses_one_that_does_not_include_it(
    api: ApiFixture, server: ServerProcess
) -> None:
    headers = {role: await operator_as(server, role, role) for role in ROLES}
    headers["machine"] = {"Authorization": f"Bearer {MACHINE_TOKEN}"}
    logout = "DELETE session"  # last, since it ends the session
    for name, method, path, access in sorted(operations(), key=lambda one: one.name == logout):
        without = [role for role in reversed(INCLUDED) if access not in INCLUDED[role]]
        for role in (*without[:1], access):
            reply = await api.request(method, path, headers=headers[role])
            if role == access:
                assert reply.status in (200, 400, 404), (name, role, reply.text)
            else:
                assert reply.refusal == (403, "ops_role"), (name, role)


async def test_a_change_that_the_role_does_not_permit_is_audited_without_its_body(
    api: ApiFixture, server: ServerProcess
) -> None:
    headers = await operator_as(server, "anna", "viewer")
    body = {"name": "rose", "gold": 1, "reason": "x" * 50_000}
    refused = await api.request("POST", "/ops/api/gifts", headers=headers, json=body)
    assert refused.refusal == (403, "ops_role")
    [entry] = (await api.ops("GET", "audit")).ok()["items"]
    assert (entry["who"], entry["what"], entry["done"]) == ("anna", "POST Gifts", False)
    assert (entry["parameters"], entry["reason"]) == ({}, "")


async def test_entries_of_withdrawals_and_refunds_are_shown_to_finance_only(
    api: ApiFixture, server: ServerProcess
) -> None:
    money_out = [
        route for route in OPS_ROUTES if re.match("withdrawals|refunds|bills/|inbox/", route.path)
    ]
    assert all(re.search(MONEY_OUT, route.label) for route in money_out)
    await api.ops("POST", "refunds/R1/confirm", reason="x")
    for role, shown in (("moderator", []), ("finance", ["POST ConfirmRefund"])):
        headers = await operator_as(server, role, role)
        for path in ("audit", "audit?what=POST%20ConfirmRefund", "audit?q=R1"):
            found = (await api.request("GET", f"/ops/api/{path}", headers=headers)).ok()["items"]
            assert [entry["what"] for entry in found] == shown, (role, path)
        file = await api.request("GET", "/ops/api/audit.csv", headers=headers)
        assert ("ConfirmRefund" in file.text) is bool(shown)


async def test_addresses_of_webhooks_are_shown_to_admins_only(
    api: ApiFixture, server: ServerProcess
) -> None:
    url = "https://hooks.invalid/?key=secret"
    new = {"url": url, "types": ["user.banned"], "enabled": False}
    made = (await api.ops("POST", "webhooks", **new)).ok()
    (await api.ops("PATCH", f"webhooks/{made['id']}", url=f"{url}2")).ok()
    for role, shown in (("viewer", 0), ("finance", 0), ("admin", 2)):
        headers = await operator_as(server, role, role)
        for path in ("audit", "audit?q=demo"):
            found = await api.request("GET", f"/ops/api/{path}", headers=headers)
            assert [row["what"] for row in found.ok()["items"] if "Webhook" in row["what"]] == [
                *("PATCH OneWebhook", "POST Webhooks")[:shown]
            ], (role, path)
            assert ("hooks.invalid" in found.text) is bool(shown)
            assert "secret" not in found.text


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("POST", "webhooks", {"url": "https://a.example/", "types": ["live.ended"]}),
        ("PATCH", "gifts/1", {"gold": 2}),
        ("DELETE", "gifts/1", {}),
        ("GET", "audit", {"q": "anna"}),
    ],
)
async def test_a_field_that_a_call_does_not_have_is_named_and_nothing_is_done(
    api: ApiFixture, method: str, path: str, sent: dict[str, Any]
) -> None:
    reply = await api.ops(method, path, **sent, enable=False, typ="gift")
    assert reply.refusal == (400, "bad_parameter")
    reason = "this call has no such field"
    assert reply.json["fields"] == {"enable": reason, "typ": reason}
    assert (await api.ops("GET", "webhooks")).ok()["items"] == []


async def test_a_role_that_this_release_does_not_know_permits_nothing(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    headers = await operator_as(server, "anna", "viewer")
    db.operators.update_many({}, {"$set": {"role": "auditor"}})
    for method, path in (("GET", "session"), ("GET", "audit"), ("POST", "gifts")):
        reply = await api.request(method, f"/ops/api/{path}", headers=headers)
        assert reply.refusal == (403, "ops_role"), path
