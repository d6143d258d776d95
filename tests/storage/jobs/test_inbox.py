import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from storage.database import Database
from storage.jobs.inbox import (
    QUERY_BYTES,
    RAW_BYTES,
    REFUSED_BYTES,
    REFUSED_RETENTION,
    REFUSED_SLOTS,
    RETENTION,
    InboxMessage,
    InboxStore,
)
from tests.support.query_profile import profile_queries

gen_test = pytest.mark.gen_test(timeout=60)
MESSAGE = InboxMessage(
    "im", "1", "CallbackCommand=State.StateChange", '{"EventTime": 5, "名": "\x00"}'
)


@pytest.fixture
def inbox(io_loop: IOLoop, database: Database) -> InboxStore:
    inbox = InboxStore(database)
    io_loop.run_sync(inbox.make_indexes)
    return inbox


async def rows(database: Database) -> list[dict[str, Any]]:
    return await database.collection("inbox").find().sort("_id", 1).to_list()


async def row(database: Database) -> dict[str, Any]:
    (stored,) = await rows(database)
    return stored


def is_close(actual: datetime, expected: datetime) -> bool:
    return abs(actual - expected) < timedelta(minutes=2)


@gen_test
async def test_message_is_stored_as_received_and_then_settled(
    inbox: InboxStore, database: Database
) -> None:
    assert await inbox.receive(MESSAGE) == "received"
    stored = await row(database)
    now = datetime.now(UTC)
    assert is_close(stored.pop("received_at"), now)
    assert is_close(stored.pop("expires_at"), now + RETENTION)
    assert stored == {
        "_id": "im:1",
        "source": "im",
        "query": MESSAGE.query,
        "raw": MESSAGE.raw,
        "genuine": True,
        "outcome": "received",
        "reason": "",
        "times": 1,
    }
    await inbox.settle(MESSAGE, "done")
    assert ((await row(database))["outcome"], (await row(database))["reason"]) == ("done", "")


@gen_test
async def test_settled_message_is_counted_but_not_processed_again(
    inbox: InboxStore, database: Database
) -> None:
    assert await inbox.receive(MESSAGE) == "received"
    await inbox.settle(MESSAGE, "ignored", "not_in_a_room")
    for _ in range(11):
        assert await inbox.receive(replace(MESSAGE, raw="other")) != "received"
    stored = await row(database)
    assert (stored["times"], stored["outcome"], stored["reason"]) == (
        12,
        "ignored",
        "not_in_a_room",
    )
    assert stored["raw"] == MESSAGE.raw


@gen_test
async def test_unsettled_message_is_processed_again_on_redelivery(inbox: InboxStore) -> None:
    assert await inbox.receive(MESSAGE) == "received"
    assert await inbox.receive(MESSAGE) == "received"
    await inbox.settle(MESSAGE, "done")
    assert await inbox.receive(MESSAGE) != "received"


@gen_test
async def test_first_settlement_of_a_message_wins(inbox: InboxStore, database: Database) -> None:
    await inbox.receive(MESSAGE)
    await inbox.settle(MESSAGE, "done")
    await inbox.settle(MESSAGE, "ignored", "old_event")
    assert (await row(database))["outcome"] == "done"


@gen_test
async def test_concurrent_deliveries_are_stored_as_one_message(
    inbox: InboxStore, database: Database
) -> None:
    await asyncio.gather(*(inbox.receive(MESSAGE) for _ in range(12)))
    assert (await row(database))["times"] == 12


@gen_test
async def test_same_id_from_another_source_is_a_separate_message(
    inbox: InboxStore, database: Database
) -> None:
    await inbox.receive(MESSAGE)
    await inbox.settle(MESSAGE, "done")
    assert await inbox.receive(replace(MESSAGE, source="live")) == "received"
    assert len(await rows(database)) == 2


@gen_test
async def test_refused_message_is_kept_with_its_reason_for_a_week(
    inbox: InboxStore, database: Database
) -> None:
    for _ in range(3):
        await inbox.refuse(MESSAGE, "sign")
    stored = await row(database)
    assert (stored["outcome"], stored["reason"], stored["times"]) == ("refused", "sign", 3)
    assert (stored["source"], stored["query"], stored["raw"]) == ("im", MESSAGE.query, MESSAGE.raw)
    assert is_close(stored["expires_at"], datetime.now(UTC) + REFUSED_RETENTION)


@pytest.mark.parametrize("reasons", [("sign", "probe", "sign"), ("probe", "sign", "sign")])
@gen_test
async def test_messages_in_one_slot_are_counted_for_their_own_reasons(
    inbox: InboxStore,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    reasons: tuple[str, ...],
) -> None:
    monkeypatch.setattr("storage.jobs.inbox.REFUSED_SLOTS", 1)
    for number, reason in enumerate(reasons):
        await inbox.refuse(replace(MESSAGE, id=str(number % 2)), reason)
    counts = {stored["reason"]: stored["times"] for stored in await rows(database)}
    assert counts == {"sign": 2, "probe": 1}


@gen_test
async def test_refused_message_does_not_block_the_genuine_one(
    inbox: InboxStore, database: Database
) -> None:
    await inbox.refuse(MESSAGE, "sign")
    assert await inbox.receive(MESSAGE) == "received"
    await inbox.settle(MESSAGE, "done")
    await inbox.refuse(MESSAGE, "sign")
    assert sorted(it["outcome"] for it in await rows(database)) == ["done", "refused"]
    assert await inbox.receive(MESSAGE) != "received"


@gen_test
async def test_forged_messages_take_a_bounded_number_of_slots(
    inbox: InboxStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 8 * REFUSED_SLOTS * (REFUSED_BYTES + QUERY_BYTES) <= 21 * 1024 * 1024
    monkeypatch.setattr("storage.jobs.inbox.REFUSED_SLOTS", 8)
    for number in range(100):
        await inbox.refuse(replace(MESSAGE, id=str(number)), "sign")
    stored = await rows(database)
    assert len(stored) <= 8
    assert sum(it["times"] for it in stored) == 100


@gen_test
async def test_long_message_is_truncated(inbox: InboxStore, database: Database) -> None:
    long_message = replace(MESSAGE, query="q" * 100_000, raw="名" * 100_000)
    await inbox.receive(long_message)
    await inbox.refuse(long_message, "sign")
    lengths = {it["outcome"]: byte_lengths(it) for it in await rows(database)}
    assert lengths == {
        "received": (QUERY_BYTES, RAW_BYTES // 3 * 3),  # cut between characters of three bytes
        "refused": (QUERY_BYTES, REFUSED_BYTES // 3 * 3),
    }


def byte_lengths(row: dict[str, Any]) -> tuple[int, int]:
    return len(row["query"].encode()), len(row["raw"].encode())


@gen_test
async def test_messages_expire_at_their_own_time(inbox: InboxStore, database: Database) -> None:
    await inbox.make_indexes()
    found = await database.collection("inbox").index_information()
    assert found["expires_at_1"]["expireAfterSeconds"] == 0


@gen_test
async def test_refusal_of_a_genuine_message_lasts_until_it_is_reopened(inbox: InboxStore) -> None:
    await inbox.receive(MESSAGE)
    await inbox.settle(MESSAGE, "refused", "amount")
    assert await inbox.receive(MESSAGE) == "refused"
    row = await inbox.find("im:1")
    assert row
    assert (row["outcome"], row["reason"]) == ("refused", "amount")
    assert await inbox.reopen("im:1")
    assert await inbox.receive(MESSAGE) == "received"


@gen_test
async def test_forged_message_cannot_be_reopened(inbox: InboxStore, database: Database) -> None:
    await inbox.refuse(MESSAGE, "sign")
    message_id = (await row(database))["_id"]
    assert not await inbox.reopen(message_id)
    assert not await inbox.reopen("im:0")
    assert await inbox.find("im:0") is None


@gen_test
async def test_page_is_filtered_by_source_and_outcome(inbox: InboxStore) -> None:
    for number in range(3):
        await inbox.receive(replace(MESSAGE, id=str(number)))
    await inbox.settle(replace(MESSAGE, id="1"), "done")
    await inbox.refuse(replace(MESSAGE, source="live"), "sign")
    rows, more = await inbox.page("", "", "", 10)
    assert (sorted(row["source"] for row in rows), more) == (["im", "im", "im", "live"], None)
    found, _ = await inbox.page("im", "done", "", 10)
    assert [row["_id"] for row in found] == ["im:1"]


@gen_test
async def test_only_lasting_messages_never_expire(inbox: InboxStore, database: Database) -> None:
    await inbox.receive(MESSAGE)
    await inbox.settle(MESSAGE, "ignored", "unknown_event")
    other = replace(MESSAGE, id="other")
    await inbox.receive(other)
    await inbox.settle(other, "done", lasting=True)
    expiries = {it["outcome"]: it["expires_at"] for it in await rows(database)}
    assert is_close(expiries["ignored"], datetime.now(UTC) + RETENTION)
    assert expiries["done"] is None


@gen_test
async def test_search_finds_a_message_by_id_prefix_source_or_order(
    inbox: InboxStore, database: Database
) -> None:
    order = "Q20260101000000aaaa"
    ids = ("xpay:xpay_goods_deliver_notify:" + order + ":0a0b", "jsapi:EV-1", "im:0a0b0c")
    for message_id in ids:
        source, _, source_id = message_id.partition(":")
        await inbox.receive(replace(MESSAGE, source=source, id=source_id))
    for search, wanted in (
        (order, ids[0]),
        (order[:6], ids[0]),
        (ids[0], ids[0]),
        ("EV-", ids[1]),
        ("0a0b", ids[2]),
        ("im:", ids[2]),
    ):
        found, _ = await inbox.page("", "", "", 10, search=search)
        assert [row["_id"] for row in found] == [wanted], search
    for search in ("EV.", "V-1", ".*"):
        assert await inbox.page("", "", "", 10, search=search) == ([], None), search
    assert await inbox.page("im", "", "", 10, search=order) == ([], None)


@gen_test
async def test_inbox_pages_and_searches_read_few_documents(
    inbox: InboxStore, database: Database
) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        {"_id": f"jsapi:EV-{n:04}", "outcome": "done", "received_at": start + timedelta(seconds=n)}
        for n in range(3000)
    ]
    await database.collection("inbox").insert_many(rows)
    async with profile_queries(database, "inbox") as examined:
        for search in ("EV-1500", "jsapi:EV-1500"):
            found, _ = await inbox.page("", "", "", 10, search=search)
            assert len(found) == 1
        await inbox.page("", "done", "", 10)
    assert all(count <= 30 for count in examined), examined
    assert len(examined) == 3


# ---- events of WeChat


@gen_test
async def test_event_and_answer_are_stored_with_the_first_outcome(inbox: InboxStore) -> None:
    await inbox.receive(MESSAGE)
    assert "answer" not in await inbox.stored(MESSAGE)
    first, second = {"result_code": 1}, {"result_code": 0}
    assert await inbox.settle(MESSAGE, "done", event="asked", answer=first)
    assert not await inbox.settle(MESSAGE, "done", event="asked", answer=second)
    assert (await inbox.stored(MESSAGE))["answer"] == first
    ids = {}
    for event in ("asked", "other", ""):
        rows, _ = await inbox.page("", "", "", 10, event=event)
        ids[event] = [row["_id"] for row in rows]
    assert ids == {"asked": ["im:1"], "other": [], "": ["im:1"]}


@pytest.mark.parametrize(
    ("query", "order"),
    [
        ({"event": "asked"}, {"received_at": -1, "_id": -1}),
        ({"event": {"$gt": ""}, "received_at": {"$gte": datetime(2026, 1, 1, tzinfo=UTC)}}, {}),
    ],
    ids=["page", "overview"],
)
@gen_test
async def test_events_are_found_by_their_index(
    inbox: InboxStore, database: Database, query: dict[str, Any], order: dict[str, int]
) -> None:
    await inbox.receive(MESSAGE)
    await inbox.settle(MESSAGE, "done", event="asked")
    others = [{"_id": number, "received_at": datetime.now(UTC)} for number in range(300)]
    await database.collection("inbox").insert_many(others)
    explained = await database._db.command(
        {"explain": {"find": "inbox", "filter": query, "sort": order}}
    )
    plan = str(explained["queryPlanner"]["winningPlan"])
    assert "event_1_received_at_-1__id_-1" in plan
    assert "'COLLSCAN'" not in plan
    assert "'SORT'" not in plan
