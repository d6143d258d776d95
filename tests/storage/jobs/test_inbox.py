"""Webhooks as received, on a real MongoDB: each processed once, forgeries apart and bounded."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock

import pytest

from storage.database import Database
from storage.jobs.inbox import (
    BRIEF_RETENTION,
    DONE,
    IM_RETENTION,
    QUERY_BYTES,
    RAW_BYTES,
    REFUSED_BYTES,
    REFUSED_RETENTION,
    REFUSED_SLOTS,
    RETENTION,
    CallbackOutcome,
    InboxMessage,
    InboxStore,
    ignored,
    refused,
)
from tests.support.storage import StoresFixture

MESSAGE = InboxMessage(
    "im", "1", "CallbackCommand=State.StateChange", '{"EventTime": 5, "名": "\x00"}'
)
PUSH = replace(MESSAGE, source="xpay")


@pytest.fixture
def inbox(stores: StoresFixture) -> InboxStore:
    return stores.inbox


async def rows(database: Database) -> list[dict[str, Any]]:
    return await database.collection("inbox").find().sort("_id", 1).to_list()


async def row(database: Database) -> dict[str, Any]:
    (stored,) = await rows(database)
    return stored


def is_close(actual: datetime, expected: datetime) -> bool:
    return abs(actual - expected) < timedelta(minutes=2)


# ---- genuine messages


async def test_message_is_stored_and_then_closed(inbox: InboxStore, database: Database) -> None:
    assert await inbox.receive(PUSH) == "received"
    stored = await row(database)
    now = datetime.now(UTC)
    assert is_close(stored.pop("received_at"), now)
    assert is_close(stored.pop("expires_at"), now + RETENTION)
    assert stored == {
        "_id": "xpay:1",
        "source": "xpay",
        "query": PUSH.query,
        "raw": PUSH.raw,
        "genuine": True,
        "outcome": "received",
        "reason": "",
        "times": 1,
    }
    assert "answer" not in await inbox.stored(PUSH)
    answer = {"result_code": 1}
    done = DONE._replace(event="asked", answer=answer, lasting=True)
    assert await inbox.close(PUSH, done)
    assert not await inbox.close(PUSH, ignored("old_event")._replace(answer={"result_code": 0}))
    assert await inbox.stored(PUSH) == {
        "_id": "xpay:1",
        "outcome": "done",
        "reason": "",
        "answer": answer,
    }
    assert (await row(database))["expires_at"] is None


async def test_callbacks_of_im_are_kept_for_a_week_and_ignored_ones_for_a_day(
    inbox: InboxStore, database: Database
) -> None:
    now = datetime.now(UTC)
    for outcome, days in ((DONE, IM_RETENTION), (ignored("old"), BRIEF_RETENTION)):
        message = replace(MESSAGE, id=outcome.outcome)
        await inbox.receive(message)
        stored = await inbox.find(f"im:{message.id}") or {}
        assert is_close(stored["expires_at"], now + IM_RETENTION)
        await inbox.close(message, outcome)
        stored = await inbox.find(f"im:{message.id}") or {}
        assert is_close(stored["expires_at"], now + days)


async def test_closed_message_is_only_counted(inbox: InboxStore, database: Database) -> None:
    found = await asyncio.gather(*(inbox.receive(MESSAGE) for _ in range(12)))
    assert found == ["received"] * 12
    await inbox.close(MESSAGE, ignored("not_in_a_room"))
    assert await inbox.receive(replace(MESSAGE, raw="other")) == "ignored"
    stored = await row(database)
    assert (stored["times"], stored["reason"], stored["raw"]) == (13, "not_in_a_room", MESSAGE.raw)
    assert await inbox.receive(replace(MESSAGE, source="live")) == "received", "another source"


@pytest.mark.parametrize(
    ("outcome", "repeated"),
    [
        (DONE, None),
        (ignored("unknown_event"), None),
        (refused("amount"), refused("amount")),
    ],
)
async def test_a_repeated_message_is_not_carried_out_and_refused_if_it_was(
    inbox: InboxStore, outcome: CallbackOutcome, repeated: CallbackOutcome | None
) -> None:
    handle = AsyncMock(return_value=outcome)
    assert [await inbox.process(MESSAGE, "", handle) for _ in range(2)] == [outcome, repeated]
    assert handle.await_count == 1


async def test_concurrent_deliveries_have_one_stored_reason(inbox: InboxStore) -> None:
    async def overtaken() -> CallbackOutcome:
        first = await inbox.process(MESSAGE, "", AsyncMock(return_value=refused("amount")))
        assert first == refused("amount")
        return refused("payer")

    assert await inbox.process(MESSAGE, "", overtaken) == refused("amount")
    assert (await inbox.stored(MESSAGE))["reason"] == "amount"


# ---- forged messages


async def test_a_message_that_is_not_verified_is_refused_each_time(inbox: InboxStore) -> None:
    handle = AsyncMock(return_value=DONE)
    assert [await inbox.process(MESSAGE, "sign", handle) for _ in range(2)] == [refused("sign")] * 2
    assert not handle.await_count
    assert await inbox.process(MESSAGE, "", handle) == DONE


async def test_forged_message_is_kept_with_its_reason_for_a_week_and_blocks_no_genuine_one(
    inbox: InboxStore, database: Database
) -> None:
    for _ in range(3):
        await inbox.refuse(MESSAGE, "sign")
    stored = await row(database)
    assert (stored["outcome"], stored["reason"], stored["times"]) == ("refused", "sign", 3)
    assert (stored["source"], stored["query"], stored["raw"]) == ("im", MESSAGE.query, MESSAGE.raw)
    assert is_close(stored["expires_at"], datetime.now(UTC) + REFUSED_RETENTION)
    assert not await inbox.reopen(stored["_id"])
    assert await inbox.receive(MESSAGE) == "received"
    await inbox.close(MESSAGE, DONE)
    await inbox.refuse(MESSAGE, "sign")
    assert sorted(stored["outcome"] for stored in await rows(database)) == ["done", "refused"]
    assert await inbox.receive(MESSAGE) == "done"
    assert await inbox.reopen("im:1")
    assert await inbox.receive(MESSAGE) == "received"
    assert not await inbox.reopen("im:0")
    assert await inbox.find("im:0") is None


async def test_forged_messages_take_few_slots_and_are_counted_for_their_own_reasons(
    inbox: InboxStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 8 * REFUSED_SLOTS * (REFUSED_BYTES + QUERY_BYTES) <= 21 * 1024 * 1024
    monkeypatch.setattr("storage.jobs.inbox.REFUSED_SLOTS", 2)
    for number in range(20):
        reason = ("sign", "probe", "sign")[number % 3]
        await inbox.refuse(replace(MESSAGE, id=str(number)), reason)
    stored = await rows(database)
    assert len(stored) == 4
    times = {
        reason: sum(kept["times"] for kept in stored if kept["reason"] == reason)
        for reason in ("sign", "probe")
    }
    assert times == {"sign": 13, "probe": 7}


async def test_long_message_is_truncated(inbox: InboxStore, database: Database) -> None:
    long_message = replace(MESSAGE, query="q" * 100_000, raw="名" * 100_000)
    await inbox.receive(long_message)
    await inbox.refuse(long_message, "sign")
    lengths = {
        stored["outcome"]: (len(stored["query"].encode()), len(stored["raw"].encode()))
        for stored in await rows(database)
    }
    assert lengths == {
        "received": (QUERY_BYTES, RAW_BYTES // 3 * 3),  # cut between characters of three bytes
        "refused": (QUERY_BYTES, REFUSED_BYTES // 3 * 3),
    }


# ---- lists


async def test_page_is_filtered_by_source_outcome_and_event(inbox: InboxStore) -> None:
    for number in range(3):
        await inbox.receive(replace(MESSAGE, id=str(number)))
    await inbox.close(replace(MESSAGE, id="1"), DONE._replace(event="asked"))
    await inbox.refuse(replace(MESSAGE, source="live"), "sign")
    rows, more = await inbox.page("", "", "", 10)
    assert (sorted(row["source"] for row in rows), more) == (["im", "im", "im", "live"], None)
    for source, outcome, event in (("im", "done", ""), ("", "", "asked")):
        found, _ = await inbox.page(source, outcome, "", 10, event=event)
        assert [row["_id"] for row in found] == ["im:1"]
    assert await inbox.page("", "", "", 10, event="other") == ([], None)
