import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.jobs.outbox import LOOKAHEAD, NEWEST, OutboxMessage, OutboxStore
from storage.write_batch import GroupCommit, WriteBatch
from tests.support.storage import StoresFixture

gen_test = pytest.mark.gen_test(timeout=60)
LEASE = timedelta(minutes=1)


async def claim(stores: StoresFixture, now: datetime | None = None) -> OutboxMessage | None:
    return await claim_one(stores.outbox, now or datetime.now(UTC))


async def claim_one(outbox: OutboxStore, now: datetime) -> OutboxMessage | None:
    messages = await outbox.claim(now, now + LEASE, 1)
    return messages[0] if messages else None


async def claim_due(stores: StoresFixture, now: datetime | None = None) -> OutboxMessage:
    message = await claim(stores, now)
    assert message is not None
    return message


@gen_test
async def test_message_is_claimed_once_as_it_was_added(stores: StoresFixture) -> None:
    await stores.outbox.add("import", {"user_id": "1"})
    message = await claim_due(stores)
    assert (message.kind, message.payload, message.tries) == ("import", {"user_id": "1"}, 1)
    assert await claim(stores) is None
    assert await stores.outbox.waiting() == 1


@gen_test
async def test_earliest_due_message_is_claimed_first(stores: StoresFixture) -> None:
    for kind in "abc":
        await stores.outbox.add(kind, {})
        rows = stores.database.collection("outbox")
        await rows.update_many({}, [{"$set": {"due_at": {"$add": ["$due_at", -1000]}}}])
    assert [(await claim_due(stores)).kind for _ in range(3)] == ["a", "b", "c"]


@gen_test
async def test_message_is_claimed_again_after_its_lease_expires(stores: StoresFixture) -> None:
    await stores.outbox.add("a", {})
    now = datetime.now(UTC)
    first = await claim_due(stores, now)
    assert await claim(stores, now + LEASE - timedelta(seconds=1)) is None
    again = await claim_due(stores, now + LEASE)
    assert (again.id, again.tries) == (first.id, 2)


@gen_test
async def test_done_message_is_deleted(stores: StoresFixture) -> None:
    await stores.outbox.add("a", {})
    message = await claim_due(stores)
    for _ in range(2):
        await stores.outbox.mark_done(message.id)
    assert await stores.outbox.waiting() == 0
    assert await claim(stores, datetime.now(UTC) + 2 * LEASE) is None


@gen_test
async def test_rescheduled_message_waits_until_it_is_due(stores: StoresFixture) -> None:
    await stores.outbox.add("a", {})
    message, later = await claim_due(stores), datetime.now(UTC) + timedelta(hours=1)
    await stores.outbox.reschedule(message.id, later, "busy")
    assert await claim(stores, later - timedelta(seconds=1)) is None
    assert (await claim_due(stores, later + timedelta(seconds=1))).tries == 2


@gen_test
async def test_failed_message_is_kept_and_never_retried(stores: StoresFixture) -> None:
    await stores.outbox.add("a", {})
    await stores.outbox.mark_failed((await claim_due(stores)).id, "no such user")
    assert await claim(stores, datetime.now(UTC) + timedelta(days=9)) is None
    assert await stores.outbox.waiting() == 0
    row = await stores.database.collection("outbox").find_one({})
    assert row is not None
    assert (row["state"], row["why"]) == ("failed", "no such user")


@gen_test
async def test_concurrent_claims_get_different_messages(stores: StoresFixture) -> None:
    for n in range(10):
        await stores.outbox.add("a", {"n": n})
    now = datetime.now(UTC)
    claims = await asyncio.gather(*(stores.outbox.claim(now, now + LEASE, 4) for _ in range(15)))
    while more := await stores.outbox.claim(now, now + LEASE, 4):
        claims.append(more)
    assert all(len(messages) <= 4 for messages in claims)
    numbers = [message.payload["n"] for messages in claims for message in messages]
    assert sorted(numbers) == list(range(10))


@gen_test
async def test_message_of_an_aborted_transaction_is_not_added(stores: StoresFixture) -> None:
    await stores.outbox.add("a", {})

    async def work(session: Any) -> None:
        await stores.outbox.add("b", {}, session)
        raise ValueError("undone")

    with pytest.raises(ValueError, match="undone"):
        await stores.database.transaction(work)
    assert await stores.outbox.waiting() == 1


@gen_test
async def test_urgent_messages_are_claimed_apart_from_the_others(stores: StoresFixture) -> None:
    await stores.outbox.add("a", {})
    await stores.outbox.add("b", {}, urgent=True)
    now = datetime.now(UTC)
    urgent = stores.outbox.view(urgent=True, only=("a", "b"))
    message = await claim_one(urgent, now)
    assert message is not None
    assert (message.kind, await claim_one(urgent, now)) == ("b", None)
    assert await stores.outbox.waiting() == 2
    assert (await claim_due(stores)).kind == "a"
    assert await claim(stores) is None


@gen_test
async def test_rescheduled_urgent_message_stays_urgent(stores: StoresFixture) -> None:
    await stores.outbox.add("a", {}, urgent=True)
    urgent, now = stores.outbox.view(urgent=True), datetime.now(UTC)
    message = await claim_one(urgent, now)
    assert message is not None
    await stores.outbox.reschedule(message.id, now, "busy")
    assert await claim(stores) is None
    again = await claim_one(urgent, now)
    assert again is not None
    assert (again.id, again.tries) == (message.id, 2)


@gen_test
async def test_messages_with_a_key_are_one_until_it_is_claimed(stores: StoresFixture) -> None:
    for n in range(LOOKAHEAD):
        await stores.outbox.add("a", {"n": n}, key="1")
    message = await claim_due(stores)
    assert (message.kind, message.payload, message.tries) == ("a", {"n": LOOKAHEAD - 1}, 1)
    assert await claim(stores) is None, "there is one message"
    await stores.outbox.add("a", {}, key="1")
    assert (await claim_due(stores)).id != message.id, "a claimed message may have been sent"


@gen_test
async def test_only_messages_of_one_kind_key_and_lane_are_merged(stores: StoresFixture) -> None:
    for kind, key in (("a", "1"), ("b", "1"), ("a", "2"), ("a", ""), ("a", "")):
        await stores.outbox.add(kind, {}, key=key)
    await stores.outbox.add("a", {}, key="1", urgent=True)
    now = datetime.now(UTC)
    assert len(await stores.outbox.claim(now, now + LEASE, 10)) == 5
    assert len(await stores.outbox.view(urgent=True).claim(now, now + LEASE, 10)) == 1


@gen_test
async def test_values_are_collected_in_one_message_that_keeps_the_newest(
    stores: StoresFixture,
) -> None:
    async def add(value: str) -> None:
        batch = WriteBatch()
        stores.outbox.add_to(batch, "drop", {"streams": [value]}, key="1")
        await GroupCommit(stores.database).commit(batch)

    for n in (0, *range(NEWEST + 1)):
        await add(f"s{n}")
    payload = {"streams": [f"s{n}" for n in range(1, NEWEST + 1)]}
    now = datetime.now(UTC)
    message = await claim_due(stores, now)
    assert message.payload == payload
    assert await stores.outbox.waiting() == 1
    await add("next")
    assert (await claim_due(stores)).payload == {"streams": ["next"]}
    again = await claim_due(stores, now + LEASE)
    assert (again.id, again.payload, again.tries) == (message.id, payload, 2)


@gen_test
async def test_no_value_is_lost_to_concurrent_claims(stores: StoresFixture) -> None:
    """Neither one that is added to a message while it is claimed, nor one that is joined."""
    values = [f"{key}{n}" for n in range(NEWEST) for key in "abcd"]
    claimed: list[str] = []

    async def add(value: str) -> None:
        batch = WriteBatch()
        stores.outbox.add_to(batch, "drop", {"streams": [value]}, key=value[0])
        await GroupCommit(stores.database).commit(batch)

    async def claim_some() -> int:
        now = datetime.now(UTC)
        messages = await stores.outbox.claim(now, now + LEASE, 2)
        for message in messages:
            claimed.extend(message.payload["streams"])
            await stores.outbox.mark_done(message.id)
        return len(messages)

    await asyncio.gather(
        *(add(value) for value in values), *(claim_some() for _ in range(len(values)))
    )
    while await claim_some():
        pass
    assert set(claimed) == set(values)
    assert await stores.outbox.waiting() == 0
