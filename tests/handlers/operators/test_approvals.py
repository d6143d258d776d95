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
