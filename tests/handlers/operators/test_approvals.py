"""Requests that wait for a second operator; tests/services/operators shows their rules."""

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


async def test_a_large_grant_is_answered_202_and_booked_once_another_operator_confirms(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna, pavel = await api.user("anna", 2), await operator_as(server, "pavel", "finance")
    small = GRANT | {"gold": 100, "request_id": "small"}
    assert (await api.ops("POST", f"users/{anna.id}/grant", **small)).ok()["gold"] == 100
    reply = await api.ops("POST", f"users/{anna.id}/grant", **GRANT)
    assert reply.status == 202
    waiting = reply.json
    assert (waiting["state"], waiting["by"], waiting["on"]) == ("waiting", "demo", anna.id)
    [listed] = (await api.ops("GET", "approvals?waiting=true")).ok()["items"]
    assert listed == waiting
    path = f"approvals/{waiting['id']}/confirm"
    assert (await api.ops("POST", path, **YES)).refusal == (403, "second_person")
    done = (await api.request("POST", f"/ops/api/{path}", headers=pavel, json=YES)).ok()
    assert (done["state"], done["decided_by"]) == ("done", "pavel")
    repeated = await api.ops("POST", f"users/{anna.id}/grant", **GRANT)
    assert repeated.ok() == {"gold": 201, "income": 0}
    assert (await api.ops("GET", "approvals?waiting=true")).ok()["items"] == []
    [entry, _] = (await api.ops("GET", "ledger")).ok()["items"]
    assert entry["by"] == "demo+pavel"
    db.approvals.delete_many({})
    entries = (await api.ops("GET", f"audit?q={anna.id}")).ok()["items"]
    _, confirmed, asked, _ = [entry for entry in entries if entry["done"]]
    assert (asked["who"], asked["what"], asked["before"]) == ("demo", "POST GrantGold", {})
    assert asked["after"] == {"approval": waiting["id"], "state": "waiting"}
    request = {"kind": "grant", "on": anna.id, "gold": 101, "by": "demo", "key": "grant:one"}
    assert (confirmed["who"], confirmed["what"]) == ("pavel", "POST Confirm")
    assert confirmed["parameters"] == {"approval": {**request, "state": "waiting"}}
    assert confirmed["reason"] == YES["reason"]
    assert (confirmed["before"], confirmed["after"]) == ({"state": "waiting"}, {"state": "done"})


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


async def test_large_settlements_of_both_units_and_reversals_wait_as_well(
    api: ApiFixture, db: Any
) -> None:
    anna = await api.user("anna", 2)
    small = GRANT | {"gold": 100}
    (await api.ops("POST", f"users/{anna.id}/grant", **small)).ok()
    db.users.update_one({"_id": anna.id}, {"$set": {"owed": 200, "owed_income": 200}})
    settlement = {"gold": 101, "reason": "as agreed", "paid_by": "house"}
    path = f"users/{anna.id}/settle"
    replies = [
        await api.ops("POST", path, **settlement, request_id="s1", unit="income"),
        await api.ops("POST", path, **settlement, request_id="s2"),
    ]
    assert [reply.status for reply in replies] == [202, 202]
    listed = (await api.ops("GET", "approvals")).ok()["items"]
    found = [(row["kind"], row["gold"], row["unit"]) for row in listed]
    assert found == [("settle", 101, "gold"), ("settle", 101, "income")]
    reverse = await api.ops("POST", "ledger/reverse", entry="grant:one", reason="a mistake")
    assert (reverse.status, reverse.json["kind"]) == (202, "reverse")
