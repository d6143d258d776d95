"""The outbox on a real MongoDB: each message is leased by one process, none is lost."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.jobs.due import claim_unchanged
from storage.jobs.outbox import (
    FAILED_KEPT,
    LOOKAHEAD,
    NEWEST,
    NORMAL,
    URGENT,
    OutboxMessage,
    OutboxStore,
)
from storage.write_batch import GroupCommit, WriteBatch
from tests.support.storage import StoresFixture, profile_queries

LEASE = timedelta(minutes=1)
A_SECOND = timedelta(seconds=1)


async def claim(outbox: OutboxStore, now: datetime | None = None) -> OutboxMessage | None:
    now = now or datetime.now(UTC)
    messages = await outbox.claim(now, now + LEASE, 1)
    return messages[0] if messages else None


async def claim_due(outbox: OutboxStore, now: datetime | None = None) -> OutboxMessage:
    message = await claim(outbox, now)
    assert message is not None
    return message


async def add_stream(stores: StoresFixture, stream: str, key: str) -> None:
    batch = WriteBatch()
    stores.outbox.add_to(batch, "drop", {"streams": [stream]}, key=key)
    await GroupCommit(stores.database).commit(batch)


async def waiting(stores: StoresFixture) -> int:
    """Messages in the lanes, claimed ones included."""
    rows = stores.rows("outbox")
    return await rows.count_documents({"state": {"$in": [NORMAL, URGENT]}})


# ---- claims


async def test_concurrent_claims_get_different_messages(stores: StoresFixture) -> None:
    for n in range(10):
        await stores.outbox.add("a", {"n": n})
    now = datetime.now(UTC) + A_SECOND
    claims = await asyncio.gather(*(stores.outbox.claim(now, now + LEASE, 4) for _ in range(8)))
    while more := await stores.outbox.claim(now, now + LEASE, 4):
        claims.append(more)
    numbers = [message.payload["n"] for messages in claims for message in messages]
    assert sorted(numbers) == list(range(10))


async def test_message_is_claimed_as_it_was_added_once_in_each_lease(stores: StoresFixture) -> None:
    await stores.outbox.add("import", {"user_id": "1"})
    now = datetime.now(UTC)
    message = await claim_due(stores.outbox, now)
    assert (message.kind, message.payload, message.tries) == ("import", {"user_id": "1"}, 1)
    assert await claim(stores.outbox, now + LEASE - A_SECOND) is None
    assert await waiting(stores) == 1
    again = await claim_due(stores.outbox, now + LEASE)
    assert (again.id, again.tries) == (message.id, 2)


async def test_the_messages_that_wait_longest_are_claimed_first(stores: StoresFixture) -> None:
    rows = stores.rows("outbox")
    for n in range(3):
        await stores.outbox.add("a", {"n": n})
        await rows.update_many({}, [{"$set": {"due_at": {"$add": ["$due_at", -1000]}}}])
    now = datetime.now(UTC)
    claims = [await stores.outbox.claim(now, now + LEASE, 2) for _ in range(2)]
    assert [[message.payload["n"] for message in claim] for claim in claims] == [[0, 1], [2]]


async def test_urgent_messages_are_claimed_apart_and_stay_urgent(stores: StoresFixture) -> None:
    await stores.outbox.add("a", {})
    await stores.outbox.add_urgent("b", {"1": {"n": 1}, "2": {"n": 2}})
    await stores.outbox.add_urgent("b", {})
    urgent, now = stores.outbox.view(URGENT, only=("a", "b")), datetime.now(UTC)
    claimed = await urgent.claim(now, now + LEASE, 10)
    assert sorted(message.payload["n"] for message in claimed) == [1, 2]
    assert await claim(stores.outbox.view(URGENT, without=("b",)), now + LEASE) is None
    assert await waiting(stores) == 3
    assert (await claim_due(stores.outbox)).kind == "a"
    assert await claim(stores.outbox) is None
    await stores.outbox.reschedule(claimed[0].id, now, "busy")
    again = await claim_due(urgent, now)
    assert (again.id, again.tries) == (claimed[0].id, 2)


# ---- outcomes


async def test_message_waits_if_rescheduled_and_is_deleted_when_done(stores: StoresFixture) -> None:
    await stores.outbox.add("a", {})
    message, later = await claim_due(stores.outbox), datetime.now(UTC) + timedelta(hours=1)
    await stores.outbox.reschedule(message.id, later, "busy")
    assert await claim(stores.outbox, later - A_SECOND) is None
    assert (await claim_due(stores.outbox, later + A_SECOND)).tries == 2
    for _ in range(2):
        await stores.outbox.mark_done(message.id)
    assert await waiting(stores) == 0


async def test_failed_message_is_kept_for_its_time_and_never_retried(stores: StoresFixture) -> None:
    await stores.outbox.add("a", {})
    await stores.outbox.mark_failed((await claim_due(stores.outbox)).id, "no such user")
    assert await claim(stores.outbox, datetime.now(UTC) + timedelta(days=9)) is None
    assert await waiting(stores) == 0
    row = await stores.rows("outbox").find_one({})
    assert row is not None
    assert (row["state"], row["why"]) == ("failed", "no such user")
    assert abs(row["expires_at"] - datetime.now(UTC) - FAILED_KEPT) < timedelta(minutes=5)


# ---- messages of one key


async def test_messages_with_a_key_are_one_until_it_is_claimed(stores: StoresFixture) -> None:
    rows = [
        {"kind": "a", "state": "due", "tries": 0, "payload": {"n": n}, "key": "1"}
        for n in range(LOOKAHEAD)
    ]
    due_at = datetime.now(UTC) - timedelta(minutes=1)
    await stores.rows("outbox").insert_many([{**row, "due_at": due_at} for row in rows])
    message = await claim_due(stores.outbox)
    assert (message.kind, message.payload, message.tries) == ("a", {"n": LOOKAHEAD - 1}, 1)
    assert await claim(stores.outbox) is None, "there is one message"
    await stores.outbox.add("a", {}, key="1")
    assert (await claim_due(stores.outbox)).id != message.id, "a claimed one may have been sent"


async def test_a_message_that_waits_is_added_once_and_again_after_its_claim(
    stores: StoresFixture,
) -> None:
    await stores.outbox.add("a", {"n": 0}, key="1", urgent=True)
    for n in range(20):
        await stores.outbox.add("b", {"n": n}, key=f"other {n}")
    async with profile_queries(stores.database, "outbox", "update") as examined:
        for n in range(20):
            await stores.outbox.add_once("a", {"n": n}, "1")
    assert max(examined) <= 2, "others that wait cost nothing"
    assert await waiting(stores) == 22
    now = datetime.now(UTC)
    claimed = await stores.outbox.view(NORMAL, only=("a",)).claim(now, now + LEASE, 9)
    assert [message.payload for message in claimed] == [{"n": 0}]
    await stores.outbox.add_once("a", {"n": 20}, "1")
    assert await waiting(stores) == 23, "a claimed one may have been sent"


async def test_only_messages_of_one_kind_key_and_lane_are_merged(stores: StoresFixture) -> None:
    for kind, key in (("a", "1"), ("b", "1"), ("a", "2"), ("a", ""), ("a", "")):
        await stores.outbox.add(kind, {}, key=key)
    await stores.outbox.add("a", {}, key="1", urgent=True)
    now = datetime.now(UTC)
    assert len(await stores.outbox.claim(now, now + LEASE, 10)) == 5
    assert len(await stores.outbox.view(URGENT).claim(now, now + LEASE, 10)) == 1


async def test_values_of_one_key_are_collected_in_one_message(stores: StoresFixture) -> None:
    for n in (0, *range(NEWEST + 1)):
        await add_stream(stores, f"s{n}", "1")
    payload = {"streams": [f"s{n}" for n in range(1, NEWEST + 1)]}
    message = await claim_due(stores.outbox)
    assert message.payload == payload
    assert await waiting(stores) == 1
    await add_stream(stores, "next", "1")
    assert (await claim_due(stores.outbox)).payload == {"streams": ["next"]}
    later = datetime.now(UTC) + LEASE
    claimed = await stores.outbox.claim(later, later + LEASE, 10)
    assert [message.payload for message in claimed] == [payload, {"streams": ["next"]}], (
        "each was sent"
    )
    assert (claimed[0].id, claimed[0].tries) == (message.id, 2)


async def test_joined_message_that_another_process_has_claimed_meanwhile_is_kept(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = stores.rows("outbox")
    for stream in ("first", "second"):
        await add_stream(stores, stream, "1")

    async def claim_late(*args: Any) -> set[object]:
        claimed = await claim_unchanged(*args)
        await rows.update_one({"tries": 0}, {"$inc": {"tries": 1}})
        return claimed

    monkeypatch.setattr("storage.jobs.outbox.claim_unchanged", claim_late)
    assert (await claim_due(stores.outbox)).payload == {"streams": ["first", "second"]}
    assert await waiting(stores) == 2
