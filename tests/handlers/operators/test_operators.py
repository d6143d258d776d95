"""Operators who are managed over HTTP, one's own account, and requests for a second operator."""

import re
from typing import Any

import pytest
from structlog.testing import capture_logs

from runtime.process import ServerProcess
from tests.support.api import ApiFixture, Reply
from tests.support.operators import PASSWORD, code_now, first_login, operator_as

NEXT = "another horse battery"


async def test_an_admin_manages_operators_and_each_change_is_audited_without_passwords(
    api: ApiFixture, db: Any
) -> None:
    with capture_logs() as logs:
        added = (await api.ops("POST", "operators", name="anna", role="viewer", reason="new")).ok()
        [anna] = [
            row
            for row in (await api.ops("GET", "operators")).ok()["items"]
            if row["name"] != "demo"
        ]
        changes: list[tuple[str, str, dict[str, Any]]] = [
            ("PATCH", "operators/anna", {"role": "finance"}),
            ("PATCH", "operators/anna", {"disabled": True}),
            ("PATCH", "operators/anna", {"disabled": False}),
            ("PATCH", "operators/anna", {"end_sessions": True}),
        ]
        for method, path, body in changes:
            (await api.ops(method, path, **body, reason="because")).ok()
            assert (await api.ops(method, path, **body)).status == 400, "without a reason"
        again = (await api.ops("POST", "operators/anna/reset", reason="lost")).ok()
    assert (anna["role"], anna["state"]) == ("viewer", "waiting")
    assert not {"password_hash", "totp_secret", "credential"} & anna.keys()
    assert added["password"] != again["password"]
    found = (await api.ops("GET", "audit?q=anna")).ok()["items"]
    done = [(entry["what"], entry["before"], entry["after"]) for entry in found if entry["done"]]
    assert done == [
        ("POST Reset", {}, {}),
        ("PATCH OneOperator", {}, {}),
        ("PATCH OneOperator", {"state": "disabled"}, {"state": "waiting"}),
        ("PATCH OneOperator", {"state": "waiting"}, {"state": "disabled"}),
        ("PATCH OneOperator", {"role": "viewer"}, {"role": "finance"}),
        ("POST Operators", {}, {"role": "viewer", "state": "waiting"}),
    ]
    for password in (added["password"], again["password"]):
        assert password not in str([*db.audit.find(), logs])


async def test_ones_own_password_and_app_end_the_other_sessions_and_leave_no_trace(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    first, secret = await first_login(server, "viewer")

    async def send(method: str, path: str, token: str, **body: str) -> Reply:
        headers = {"Authorization": f"Bearer {token}"}
        return await api.request(method, f"/ops/api/{path}", headers=headers, json=body)

    with capture_logs() as logs:
        proofs = {"password": PASSWORD, "code": code_now(secret, 1)}
        weak = await send("PATCH", "account", first.token, **proofs, new_password="abcdefghijkl")
        assert "sequence" in weak.json["fields"]["new_password"]
        factor = (await send("GET", "account", first.token)).ok()
        changes = {"secret": factor["secret"], "new_code": code_now(factor["secret"])}
        changed = await send(
            "PATCH", "account", first.token, **proofs, **changes, new_password=NEXT
        )
        token = changed.ok()["token"]
        assert (await send("GET", "session", first.token)).refusal == (401, "ops_token")
        assert (await send("GET", "session", token)).ok()["name"] == "anna"
    stored = [*db.audit.find({"who": "anna"})]
    assert [(row["what"], row["done"]) for row in stored] == [
        ("PATCH Account", False),
        ("PATCH Account", True),
    ]
    written = str([stored, logs])
    for typed in (PASSWORD, NEXT, "abcdefghijkl", factor["secret"]):
        assert typed not in written
    code = rf"(?<![0-9a-f.]){proofs['code']}(?![0-9a-f])"  # ids and times have its digits by chance
    assert not re.search(code, written)


LARGE_GRANT = {"gold": 101, "reason": "compensation", "request_id": "one"}
YES = {"reason": "seen the ticket"}


@pytest.mark.parametrize("changes", [{"ops": {"second_person_gold": 100}}])
async def test_a_large_grant_is_answered_202_and_booked_once_another_operator_confirms(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna, pavel = await api.user("anna", 2), await operator_as(server, "pavel", "finance")
    reply = await api.ops("POST", f"users/{anna.id}/grant", **LARGE_GRANT)
    assert reply.status == 202
    waiting = reply.json
    assert (waiting["state"], waiting["by"], waiting["on"]) == ("waiting", "demo", anna.id)
    [listed] = (await api.ops("GET", "approvals?waiting=true")).ok()["items"]
    assert listed == waiting
    path = f"approvals/{waiting['id']}/confirm"
    assert (await api.ops("POST", path, **YES)).refusal == (403, "second_person")
    done = (await api.request("POST", f"/ops/api/{path}", headers=pavel, json=YES)).ok()
    assert (done["state"], done["decided_by"]) == ("done", "pavel")
    repeated = await api.ops("POST", f"users/{anna.id}/grant", **LARGE_GRANT)
    assert repeated.ok() == {"gold": 101, "income": 0}
    db.approvals.delete_many({})
    entries = (await api.ops("GET", f"audit?q={anna.id}")).ok()["items"]
    _, confirmed, asked = [entry for entry in entries if entry["done"]]
    assert (asked["who"], asked["what"], asked["before"]) == ("demo", "POST GrantGold", {})
    assert asked["after"] == {"approval": waiting["id"], "state": "waiting"}
    request = {"kind": "grant", "on": anna.id, "gold": 101, "by": "demo", "key": "grant:one"}
    assert (confirmed["who"], confirmed["what"]) == ("pavel", "POST Confirm")
    assert confirmed["parameters"] == {"approval": {**request, "state": "waiting"}}
    assert confirmed["reason"] == YES["reason"]
    assert (confirmed["before"], confirmed["after"]) == ({"state": "waiting"}, {"state": "done"})
