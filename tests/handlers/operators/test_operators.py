"""Operators who are managed over HTTP, and one's own account."""

from typing import Any

from structlog.testing import capture_logs

from runtime.process import ServerProcess
from tests.support.api import ApiFixture, Reply
from tests.support.operators import PASSWORD, code_now, first_login

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
    for typed in (PASSWORD, NEXT, "abcdefghijkl", factor["secret"], proofs["code"]):
        assert typed not in str([stored, logs])
