"""Streams that are dropped through the outbox when their seats end, on a real MongoDB."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.errors import WriteConflict
from storage.jobs.outbox import NEWEST, OutboxMessage, OutboxStore
from storage.write_batch import WriteBatch
from tests.support.room_builders import ANNA, BERT, NOW
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import (
    accept_user,
    change_profile,
    change_room,
    load_room,
    open_room,
    remove_user,
    save_room,
)

gen_test = pytest.mark.gen_test(timeout=60)


async def claim_all(outbox: OutboxStore) -> list[OutboxMessage]:
    """All messages that are due, earliest first, leased for an hour."""
    now, messages = datetime.now(UTC), []
    while claimed := await outbox.claim(now, now + timedelta(hours=1), 10):
        messages += claimed
    return messages


async def queued_messages(stores: StoresFixture) -> list[dict[str, Any]]:
    """The payload of each outbox message by its kind, oldest first."""
    rows = await stores.database.collection("outbox").find().sort("due_at", 1).to_list()
    return [{row["kind"]: row["payload"]} for row in rows]


@gen_test
async def test_stream_is_dropped_when_its_seat_ends(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA)
    for person in (BERT, ANNA):
        await change_room(
            stores, live_id, lambda r, p=person: r.accept(p, "open", p.nickname, ""), person.user_id
        )
    assert await queued_messages(stores) == []
    await change_room(
        stores, live_id, lambda r: r.leave_mic(BERT.user_id, BERT.user_id), BERT.user_id
    )
    bert = {"streams": ["bert"]}
    assert await queued_messages(stores) == [{"drop_stream": bert}]
    await change_room(stores, live_id, lambda room: room.close("host"))
    dropped = [row["drop_stream"]["streams"][0] for row in (await queued_messages(stores))[1:]]
    assert sorted(dropped) == ["anna", "s"]
    (message,) = await claim_all(stores.outbox)
    assert (message.kind, message.payload) == ("drop_stream", bert)


@gen_test
async def test_streams_that_were_taken_away_are_urgent(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA)
    await accept_user(stores, live_id, BERT, "bert")
    await accept_user(stores, live_id, ANNA, "anna")
    await change_room(stores, live_id, lambda room: room.leave(ANNA.user_id), ANNA.user_id)
    await remove_user(stores, live_id, BERT, NOW + 1)
    await change_room(stores, live_id, lambda room: room.close("offline"))
    urgent = await claim_all(stores.outbox.view(urgent=True))
    dropped = [message.payload for message in urgent if message.kind == "drop_stream"]
    assert dropped == [{"streams": ["bert"]}, {"streams": ["s"]}]
    (given_up,) = await claim_all(stores.outbox)
    assert given_up.payload["streams"][-1] == "anna"


@gen_test
async def test_streams_that_one_user_gave_up_wait_in_one_message(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA)
    for n in range(NEWEST + 2):
        for person in (BERT, ANNA):
            await accept_user(stores, live_id, person, f"{person.nickname}{n}")
            await change_room(
                stores,
                live_id,
                lambda room, p=person: room.leave_mic(p.user_id, p.user_id),
                person.user_id,
            )
    messages = await claim_all(stores.outbox)
    assert [message.payload for message in messages] == [
        {"streams": [f"{name}{n}" for n in range(2, NEWEST + 2)]} for name in ("bert", "anna")
    ]


@gen_test
async def test_a_stream_is_not_added_to_a_message_that_is_being_delivered(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, BERT)
    for stream in ("first", "second"):
        await accept_user(stores, live_id, BERT, stream)
        await change_room(
            stores, live_id, lambda r: r.leave_mic(BERT.user_id, BERT.user_id), BERT.user_id
        )
        (message,) = await claim_all(stores.outbox)
        assert message.payload["streams"] == [stream]


@gen_test
async def test_conflicting_change_drops_no_stream(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await accept_user(stores, live_id, BERT, "b")
    outdated = [await load_room(stores, live_id, BERT.user_id) for _ in range(2)]
    await change_profile(stores, live_id, 1)
    outdated[0].leave(BERT.user_id)
    outdated[1].close("host")
    for room in outdated:
        with pytest.raises(WriteConflict):
            await save_room(stores, room)
    assert await queued_messages(stores) == []
    assert (await load_room(stores, live_id)).male is not None


@gen_test
async def test_membership_conflict_drops_no_stream(stores: StoresFixture) -> None:
    """The version of the room still matches, that of the membership does not."""
    live_id = await open_room(stores, BERT)
    await accept_user(stores, live_id, BERT, "b")
    outdated = await load_room(stores, live_id, BERT.user_id)
    await stores.presence.register_socket(BERT.user_id, live_id, "process-1", NOW)
    outdated.leave(BERT.user_id)
    with pytest.raises(WriteConflict):
        await save_room(stores, outdated)
    assert await queued_messages(stores) == []
    assert (await load_room(stores, live_id)).male is not None


@gen_test
async def test_a_conflict_in_the_transaction_drops_no_stream(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await accept_user(stores, live_id, BERT, "b")
    room = await load_room(stores, live_id, BERT.user_id)
    room.leave(BERT.user_id)

    def add(batch: WriteBatch) -> None:
        batch.update("users", {"_id": "unknown"}, {"$set": {"gold": 1}})

    with pytest.raises(WriteConflict):
        await save_room(stores, room, add_writes=[add])
    assert await queued_messages(stores) == []
    assert (await load_room(stores, live_id)).male is not None
