"""Requests that wait for a second operator, over HTTP."""

from typing import Any

import pytest

from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.operators import operator_as

GRANT = {"gold": 101, "reason": "compensation", "request_id": "one"}
YES = {"reason": "seen the ticket"}


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"ops": {"second_person_gold": 100}}


@pytest.mark.gen_test(timeout=30)
async def test_a_large_grant_is_answered_202_and_booked_once_another_operator_confirms(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna, pavel = await api.user("anna", 2), await operator_as(server, "pavel", "finance")
    reply = await api.ops("POST", f"users/{anna.id}/grant", **GRANT)
    assert reply.status == 202
    waiting = reply.json
    assert (waiting["state"], waiting["by"], waiting["on"]) == ("waiting", "demo", anna.id)
    [listed] = (await api.ops("GET", "approvals?waiting=true")).ok()["items"]
    assert listed == waiting
    path = f"/ops/api/approvals/{waiting['id']}/confirm"
    assert (await api.ops("POST", path.removeprefix("/ops/api/"), **YES)).refusal == (
        *(403, "second_person"),
    )
    done = (await api.request("POST", path, headers=pavel, json=YES)).ok()
    assert (done["state"], done["decided_by"]) == ("done", "pavel")
    repeated = await api.ops("POST", f"users/{anna.id}/grant", **GRANT)
    assert repeated.ok() == {"gold": 101, "income": 0}
    assert (await api.ops("GET", "approvals?waiting=true")).ok()["items"] == []
    [entry] = (await api.ops("GET", "ledger")).ok()["items"]
    assert entry["by"] == "demo+pavel"
    audited = [(row["who"], row["what"], row["done"]) for row in db.audit.find({"done": True})]
    assert audited == [
        ("demo", "POST GrantGold", True),
        ("pavel", "POST Confirm", True),
        ("demo", "POST GrantGold", True),
    ]


@pytest.mark.gen_test(timeout=30)
async def test_the_audit_log_names_what_waits_and_what_was_confirmed(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna, pavel = await api.user("anna", 2), await operator_as(server, "pavel", "finance")
    waiting = (await api.ops("POST", f"users/{anna.id}/grant", **GRANT)).json
    path = f"/ops/api/approvals/{waiting['id']}/confirm"
    (await api.request("POST", path, headers=pavel, json=YES)).ok()
    db.approvals.delete_many({})
    found = (await api.ops("GET", f"audit?q={anna.id}")).ok()["items"]
    confirmed, asked = found
    assert asked["after"] == {"approval": waiting["id"], "state": "waiting"}
    assert (asked["before"], asked["what"]) == ({}, "POST GrantGold")
    request = {"kind": "grant", "on": anna.id, "gold": 101, "by": "demo", "key": "grant:one"}
    assert (confirmed["parameters"], confirmed["reason"]) == (
        {"approval": {**request, "state": "waiting"}},
        YES["reason"],
    )
    assert (confirmed["before"], confirmed["after"]) == ({"state": "waiting"}, {"state": "done"})


@pytest.mark.gen_test(timeout=30)
async def test_a_declined_grant_books_nothing(api: ApiFixture, server: ServerProcess) -> None:
    anna, pavel = await api.user("anna", 2), await operator_as(server, "pavel", "admin")
    waiting = (await api.ops("POST", f"users/{anna.id}/grant", **GRANT)).json
    path = f"/ops/api/approvals/{waiting['id']}"
    no_reason = await api.request("POST", f"{path}/decline", headers=pavel, json={})
    assert no_reason.json["fields"] == {"reason": "this is required"}
    for _ in range(2):
        declined = await api.request("POST", f"{path}/decline", headers=pavel, json=YES)
        assert declined.ok()["state"] == "declined"
    late = await api.request("POST", f"{path}/confirm", headers=pavel, json=YES)
    assert late.refusal == (409, "decided")
    repeated = await api.ops("POST", f"users/{anna.id}/grant", **GRANT)
    assert (repeated.status, repeated.json["state"]) == (202, "declined")
    assert (await api.ops("GET", "ledger")).ok()["items"] == []
    unknown = f"/ops/api/approvals/{24 * '0'}/confirm"
    reply = await api.request("POST", unknown, headers=pavel, json=YES)
    assert reply.refusal == (404, "no_such_approval")


@pytest.mark.gen_test(timeout=30)
async def test_large_settlements_and_reversals_wait_as_well(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna, pavel = await api.user("anna", 2), await operator_as(server, "pavel", "finance")
    waiting = (await api.ops("POST", f"users/{anna.id}/grant", **GRANT)).json
    confirm = f"/ops/api/approvals/{waiting['id']}/confirm"
    (await api.request("POST", confirm, headers=pavel, json=YES)).ok()
    db.users.update_one({"_id": anna.id}, {"$set": {"owed": 101}})
    settle = await api.ops("POST", f"users/{anna.id}/settle", **GRANT, paid_by="house")
    reverse = await api.ops("POST", "ledger/reverse", entry="grant:one", reason="a mistake")
    kinds = [(reply.status, reply.json["kind"], reply.json["gold"]) for reply in (settle, reverse)]
    assert kinds == [(202, "settle", 101), (202, "reverse", 101)]
    small = GRANT | {"gold": 100, "request_id": "two"}
    assert (await api.ops("POST", f"users/{anna.id}/grant", **small)).ok()["gold"] == 201


@pytest.mark.gen_test(timeout=30)
async def test_a_request_that_waits_names_the_unit_of_its_amount(api: ApiFixture, db: Any) -> None:
    anna = await api.user("anna", 2)
    owes = {"$set": {"owed_income": 200, "owed": 200}}
    db.users.update_one({"_id": anna.id}, owes)
    settlement = {"gold": 101, "reason": "as agreed", "paid_by": "house"}
    path = f"users/{anna.id}/settle"
    await api.ops("POST", path, **settlement, request_id="s1", unit="income")
    await api.ops("POST", path, **settlement, request_id="s2")
    listed = (await api.ops("GET", "approvals")).ok()["items"]
    assert [(row["gold"], row["unit"]) for row in listed] == [(101, "gold"), (101, "income")]
