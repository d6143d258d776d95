"""A user channel on a real MongoDB."""

import asyncio
from typing import Any

import pytest

from core.errors import WriteConflict
from people.user_events import USER_LOG_SIZE
from rooms.events import NewEvent
from storage.database import Session
from storage.user_channels import MAX_SOCKETS
from storage.write_batch import WriteBatch
from tests.support.storage import StoresFixture


def payment(order: str = "Q1", gold: int = 60) -> NewEvent:
    return NewEvent("payment", {"order": order, "gold": gold})


async def add(stores: StoresFixture, user_id: str, *events: NewEvent) -> None:
    for event in events:

        async def work(session: Session) -> None:
            await stores.user_channels.add(user_id, event, session)  # noqa: B023

        await stores.database.transaction_with_retry(work)


async def new_user(stores: StoresFixture) -> tuple[str, str]:
    """(user_id, epoch) of a new user."""
    [user_id] = await stores.create_users((0, 0))
    stores.changed.clear()
    return user_id, (await stores.user_channels.read(user_id)).epoch


async def test_events_are_numbered_and_the_last_64_are_kept(stores: StoresFixture) -> None:
    user_id, epoch = await new_user(stores)
    channels = stores.user_channels
    await add(stores, user_id, *(payment(f"Q{n}") for n in range(1, 71)))
    assert await channels.versions([user_id]) == {user_id: (epoch, 70)}
    oldest = 70 - USER_LOG_SIZE
    events = await channels.log_since(user_id, epoch, oldest)
    assert events is not None
    numbers = range(oldest + 1, 71)
    assert [(event.seq, event.data["order"]) for event in events] == [(n, f"Q{n}") for n in numbers]
    assert await channels.log_since(user_id, epoch, 70) == []
    for where in ((epoch, oldest - 1), (epoch, 71), ("other", 70)):
        assert await channels.log_since(user_id, *where) is None
    assert await channels.log_since("99999999", epoch, 0) is None
    assert stores.changed == [(user_id, "events")] * 70


async def test_events_of_transactions_at_the_same_time_have_no_gap(stores: StoresFixture) -> None:
    user_id, epoch = await new_user(stores)

    async def add_by_batch(event: NewEvent) -> None:
        batch = WriteBatch()
        stores.user_channels.add_to(batch, user_id, event)
        await batch.execute_alone(stores.database)

    orders = [f"Q{n}" for n in range(12)]
    await asyncio.gather(
        *(add(stores, user_id, payment(order)) for order in orders[::2]),
        *(add_by_batch(payment(order)) for order in orders[1::2]),
    )
    events = await stores.user_channels.log_since(user_id, epoch, 0)
    assert events is not None
    assert [event.seq for event in events] == [*range(1, 13)]
    assert sorted(event.data["order"] for event in events) == sorted(orders)


async def test_invitations_are_the_fold_of_their_events(stores: StoresFixture) -> None:
    user_id, _ = await new_user(stores)
    host: Any = {"user_id": "10000001", "nickname": "$红.{}", "face_url": ""}
    data: Any = {"kind": "seat", "live_id": 5, "room_name": "$a", "host": host, "expires_at": 9}
    first, again = (
        {**data, "invitation_id": "e-1"},
        {**data, "invitation_id": "e-1", "expires_at": 10},
    )
    second = {**data, "invitation_id": "T1", "kind": "room"}
    await add(stores, user_id, *(NewEvent("invitation", d) for d in (first, second, again)))
    assert (await stores.user_channels.read(user_id)).invitations == {"e-1": again, "T1": second}
    ends: Any = [{"invitation_id": id_, "reason": "expired"} for id_ in ("T1", "T2")]
    await add(stores, user_id, *(NewEvent("invitation_end", end) for end in ends))
    assert (await stores.user_channels.read(user_id)).invitations == {"e-1": again}


async def test_nothing_is_told_of_a_transaction_that_is_not_committed(
    stores: StoresFixture,
) -> None:
    user_id, epoch = await new_user(stores)

    async def work(session: Session) -> None:
        await stores.user_channels.add(user_id, payment(), session)
        raise WriteConflict

    with pytest.raises(WriteConflict):
        await stores.database.transaction(work)
    assert await stores.user_channels.versions([user_id]) == {user_id: (epoch, 0)}
    await add(stores, "99999999", payment())  # a deleted user has no channel, and gets none
    assert await stores.rows("user_channels").count_documents({"_id": "99999999"}) == 0
    assert stores.changed == [("99999999", "events")]


async def test_a_user_has_at_most_three_sockets_and_a_closed_one_frees_its_place(
    stores: StoresFixture,
) -> None:
    user_id, epoch = await new_user(stores)
    channels = stores.user_channels
    opened = [await channels.open_socket(user_id, "one") for _ in range(MAX_SOCKETS + 1)]
    numbers = [channel.sockets[-1] for channel in opened]
    assert numbers == sorted(set(numbers))
    assert numbers[0] > 1_700_000_000_000, "at least the time in ms"
    assert [*opened[-1].sockets] == numbers[1:]
    await channels.close_sockets([(user_id, numbers[2]), (user_id, numbers[0])])
    last = await channels.open_socket(user_id, "one")
    assert [*last.sockets[:2]] == [numbers[1], numbers[3]]
    await channels.open_socket(user_id, "two")
    assert await channels.processes([user_id, "99999999"]) == {user_id: {"one", "two"}}
    row = await stores.rows("user_channels").find_one({"_id": user_id})
    assert row
    assert [served["number"] for served in row["served"]] == row["sockets"]
    assert last.epoch == epoch


async def test_a_missing_channel_is_made_once(stores: StoresFixture) -> None:
    """Of a user from before there were channels."""
    user_id, _ = await new_user(stores)
    await stores.rows("user_channels").delete_one({"_id": user_id})
    read = await stores.user_channels.read(user_id)
    assert (await stores.user_channels.open_socket(user_id, "one")).epoch == read.epoch
    await stores.rows("user_channels").delete_one({"_id": user_id})
    opened = await stores.user_channels.open_socket(user_id, "one")
    assert (await stores.user_channels.read(user_id)).epoch == opened.epoch != read.epoch
    await add(stores, user_id, payment())
    assert await stores.user_channels.versions([user_id]) == {user_id: (opened.epoch, 1)}
