"""The audit log on a real MongoDB."""

import bson
import pytest
from structlog.testing import capture_logs

from storage.database import Database
from storage.operators.audit import AuditStore
from tests.support.storage import StoresFixture


@pytest.fixture
def audit(stores: StoresFixture) -> AuditStore:
    return stores.audit


async def test_request_is_stored_and_logged_before_it_is_executed_and_then_its_outcome(
    audit: AuditStore, database: Database
) -> None:
    who = {"who": "li", "role": "admin", "address": "::1", "what": "PATCH", "on": "1"}
    with capture_logs() as lines:
        entry = await audit.begin(
            "li", "PATCH", "1", "spam", {"banned": True}, role="admin", address="::1"
        )
        ((row,), _) = await audit.page("", 10)
        requested = {**who, "reason": "spam", "parameters": {"banned": True}, "at": row["at"]}
        requested["id"] = str(entry["_id"])
        assert row == {**requested, "before": {}, "after": {}, "done": False}
        await audit.done(entry, {"banned": False, "gold": 5}, {"banned": True, "gold": 5})
    ((row,), _) = await audit.page("", 10)
    outcome = {"before": {"banned": False}, "after": {"banned": True}, "done": True}
    assert row == {**requested, **outcome}
    both = {"entry": str(entry["_id"]), **who, "reason": "spam", "log_level": "info"}
    states = {"before": '{"banned": false}', "after": '{"banned": true}'}
    assert lines == [
        {"event": "audit_entry", **both, "parameters": '{"banned": true}'},
        {"event": "audit_outcome", **both, **states},
    ]
    kept = [await database.collection("audit").find_one({})]
    await AuditStore(database, days=0).begin("li", "PATCH", "2", "", {})
    kept.append(await database.collection("audit").find_one({"on": "2"}))
    assert [row and "expires_at" in row for row in kept] == [True, False]
    assert kept[0]
    assert (kept[0]["expires_at"] - kept[0]["at"]).days == 400


async def test_outcome_has_the_fields_that_differ_even_in_type_only(audit: AuditStore) -> None:
    states = [
        ({"value": 1, "key": "A"}, {"value": True, "key": "A"}),
        ({}, {"value": {"$gt": 1, "a.b": "\0"}}),
        ({"value": None}, {}),
    ]
    for before, after in states:
        await audit.done(await audit.begin("ops", "x", "", "", {}), before, after)
    first, *rest = [(row["before"], row["after"]) for row in (await audit.page("", 9))[0][::-1]]
    assert repr(first) == repr(({"value": 1}, {"value": True}))
    assert rest == states[1:]


async def test_an_entry_is_found_by_the_starts_of_its_words(audit: AuditStore) -> None:
    await audit.begin("ops@10.0.0.1", "PATCH OneUser", "10000001", "Spam.", {"banned": True})
    await audit.begin("ops@10.0.0.12", "POST RemoveUser", "7", "发布广告", {"user_id": "10000002"})

    async def found(text: str) -> list[str]:
        rows, _ = await audit.page("", 9, search=text)
        return [row["what"] for row in rows]

    ban, removal = "PATCH OneUser", "POST RemoveUser"
    assert await found("spam.") == await found("SPAM") == await found("banned") == [ban]
    assert await found("10000001") == await found("patch oneuser") == [ban]
    assert await found("10000002") == await found("广告") == await found("广") == [removal]
    assert await found("1000000") == await found("ops@10.0.0.1") == [removal, ban]
    assert await found("ops@10.0.0.12 7") == [removal]
    [entry], _ = await audit.page("", 9, what=ban)
    assert entry["on"] == "10000001"
    assert await audit.page("", 9, what=ban, search="10000002") == ([], None)
    assert await found("spam 7") == await found("pam") == await found("...") == []


async def test_an_entry_of_4_kb_is_found_by_its_ids(audit: AuditStore, database: Database) -> None:
    long, many = "字" * 500, {f'{n}"': n for n in range(5_000)}
    for reason, sent in (
        (long, {"id": "10000002", "value": '\\"' * 20_000}),
        ("😀" * 999, many),
    ):
        entry = await audit.begin("ops", "POST RemoveUser", "7" * 999, reason, sent)
        await audit.done(entry, {"value": long, **many}, {"value": [long] * 20, "n": {long: 1}})
    rows = await database.collection("audit").find().to_list()
    assert [3_000 < len(bson.encode(row)) <= 4096 for row in rows] == [True, True]
    [found], _ = await audit.page("", 9, search="10000002")
    assert (found["parameters"]["id"], found["parameters"]["value"][-1]) == ("10000002", "…")
    assert found["after"]["value"].startswith('["字字')
