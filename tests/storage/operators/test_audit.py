import bson
from structlog.testing import capture_logs

from storage.operators.audit import AuditStore
from tests.support.query_profile import profile_queries
from tests.support.storage import StoresFixture


async def test_request_is_recorded_before_it_is_executed(stores: StoresFixture) -> None:
    audit = AuditStore(stores.database)
    sent = {"banned": True}
    entry = await audit.begin("li", "PATCH", "1", "spam", sent, role="admin", address="10.0.0.1")
    (row,) = await audit.page(None, 10)
    assert row.pop("at").tzinfo is not None
    requested = {
        "id": str(entry["_id"]),
        "who": "li",
        "role": "admin",
        "address": "10.0.0.1",
        "what": "PATCH",
        "on": "1",
        "reason": "spam",
        "parameters": {"banned": True},
        "before": {},
        "after": {},
        "done": False,
    }
    assert row == requested
    await audit.done(entry, {"banned": False, "gold": 5}, {"banned": True, "gold": 5})
    (row,) = await audit.page(None, 10)
    outcome = {"before": {"banned": False}, "after": {"banned": True}, "done": True}
    assert row == {**requested, **outcome, "at": row["at"]}


async def test_outcome_has_the_fields_that_differ_also_in_type_or_existence(
    stores: StoresFixture,
) -> None:
    audit = AuditStore(stores.database)
    for before, after in (
        ({"value": 1, "key": "A"}, {"value": True, "key": "A"}),
        ({}, {"value": {"$gt": 1, "a.b": "\0"}}),
        ({"value": None}, {}),
    ):
        await audit.done(await audit.begin("ops", "x", "", "", {}), before, after)
    rows = [(row["before"], row["after"]) for row in await audit.page(None, 9)]
    assert rows == [
        ({"value": None}, {}),
        ({}, {"value": {"$gt": 1, "a.b": "\0"}}),
        ({"value": 1}, {"value": True}),
    ]
    assert isinstance(rows[-1][0]["value"], int)


async def test_pages_run_from_newest_to_oldest(stores: StoresFixture) -> None:
    audit = AuditStore(stores.database)
    ids = []
    for n in range(5):
        entry = await audit.begin("ops", "x", "y", "z", {"n": n})
        await audit.done(entry, {}, {})
        ids.append(str(entry["_id"]))
    newest = await audit.page(None, 2)
    assert [row["id"] for row in newest] == ids[:2:-1]
    assert [row["id"] for row in await audit.page(newest[-1]["id"], 10)] == ids[2::-1]
    assert len(await audit.page("no id", 10)) == 5


async def test_an_entry_is_found_by_the_starts_of_its_words(stores: StoresFixture) -> None:
    audit = AuditStore(stores.database)
    await audit.begin("ops@10.0.0.1", "PATCH OneUser", "10000001", "Spam.", {"banned": True})
    await audit.begin("ops@10.0.0.12", "POST RemoveUser", "7", "发布广告", {"user_id": "10000002"})

    async def found(text: str) -> list[str]:
        return [row["what"] for row in await audit.page(None, 9, search=text)]

    ban, removal = "PATCH OneUser", "POST RemoveUser"
    assert await found("spam.") == await found("SPAM") == await found("banned") == [ban]
    assert await found("10000001") == await found("patch oneuser") == [ban]
    assert await found("10000002") == await found("广告") == await found("广") == [removal]
    assert await found("1000000") == await found("ops@10.0.0.1") == [removal, ban]
    assert await found("ops@10.0.0.12 7") == [removal]
    assert [row["on"] for row in await audit.page(None, 9, what=ban)] == ["10000001"]
    assert await audit.page(None, 9, what=ban, search="10000002") == []
    assert await found("spam 7") == await found("pam") == await found("...") == []


async def test_an_entry_is_at_most_4_kb_and_is_found_by_its_ids(stores: StoresFixture) -> None:
    audit, long = AuditStore(stores.database), "字" * 500
    many = {f'{n}"': n for n in range(5_000)}
    for reason, sent in (
        (long, {"id": "10000002", "value": '\\"' * 20_000}),
        ("😀" * 999, many),
    ):
        entry = await audit.begin("ops", "POST RemoveUser", "7" * 999, reason, sent)
        await audit.done(entry, {"value": long, **many}, {"value": [long] * 20, "n": {long: 1}})
    rows = await stores.database.collection("audit").find().to_list()
    assert [3_000 < len(bson.encode(row)) <= 4096 for row in rows] == [True, True]
    [found] = await audit.page(None, 9, search="10000002")
    assert (found["parameters"]["id"], found["parameters"]["value"][-1]) == ("10000002", "…")
    assert found["after"]["value"].startswith('["字字')


async def test_an_entry_and_its_outcome_are_log_lines(stores: StoresFixture) -> None:
    audit = AuditStore(stores.database)
    with capture_logs() as lines:
        entry = await audit.begin("li", "PATCH", "1", "spam", {"n": 1}, role="admin", address="::1")
        await audit.done(entry, {"n": 0}, {"n": 1})
    who = {"who": "li", "role": "admin", "address": "::1", "what": "PATCH", "on": "1"}
    both = {"entry": str(entry["_id"]), **who, "reason": "spam", "log_level": "info"}
    assert lines == [
        {"event": "audit_entry", **both, "parameters": '{"n": 1}'},
        {"event": "audit_outcome", **both, "before": '{"n": 0}', "after": '{"n": 1}'},
    ]


async def test_entries_of_withdrawals_and_refunds_are_left_out(stores: StoresFixture) -> None:
    audit = AuditStore(stores.database)
    money_out = ("POST ApproveWithdrawal", "POST ConfirmRefund", "POST RetryMessage")
    for what in (*money_out, "POST GrantGold"):
        await audit.begin("ops", what, "", "", {})
    shown = [row["what"] for row in await audit.page(None, 9, money_out=False)]
    assert shown == ["POST GrantGold"]
    assert await audit.page(None, 9, what="POST ConfirmRefund", money_out=False) == []
    assert len(await audit.page(None, 9)) == 4


async def test_a_search_examines_few_entries_of_many(stores: StoresFixture) -> None:
    audit, rows = AuditStore(stores.database), stores.database.collection("audit")
    await audit.make_indexes()
    terms = ["patch", "oneuser", "ops", "10.0.0.1"]
    many = [{"what": "PATCH OneUser", "terms": [str(10_000_000 + n), *terms]} for n in range(3_000)]
    await rows.insert_many(many)
    async with profile_queries(stores.database, "audit") as examined:
        for text in ("10002999", "1000299", "ops@10.0.0.1", "patch oneuser 10000007", "no match"):
            await audit.page(None, 50, search=text)
    assert len(examined) == 5
    assert max(examined) <= 150
