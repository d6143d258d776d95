"""Leases of processes, and the members of dead processes, on a real MongoDB."""

import uuid

import pytest

from tests.support.room_builders import ANNA, BERT, CARL, GRACE
from tests.support.storage import StoresFixture
from tests.support.stored_members import (
    LATER,
    OTHER_PROCESS,
    PROCESS,
    member_fields,
    member_row,
    register_socket,
)
from tests.support.stored_rooms import accept_user, open_room
from tests.support.waiting import until

gen_test = pytest.mark.gen_test(timeout=60)
LEASE_SECONDS = 3_600.0


def new_process() -> str:
    return uuid.uuid4().hex


@gen_test
async def test_second_renewal_finds_a_valid_lease(stores: StoresFixture) -> None:
    process = new_process()
    assert not await stores.presence.renew(process, LEASE_SECONDS)
    assert await stores.presence.renew(process, LEASE_SECONDS)
    assert await stores.presence.expired_processes() == []


@gen_test
async def test_process_expires_when_its_lease_is_not_renewed(stores: StoresFixture) -> None:
    """Leases expire by the database's clock, so the test waits for the shortest lease."""
    live_id = await open_room(stores, BERT, ANNA)
    first, second = new_process(), new_process()
    await register_socket(stores, BERT, live_id, first)
    await register_socket(stores, ANNA, live_id, second)
    await stores.presence.renew(first, 0.001)
    await stores.presence.renew(second, LEASE_SECONDS)
    assert await until(stores.presence.expired_processes) == [first]
    assert not await stores.presence.renew(first, LEASE_SECONDS), (
        "other processes may have presumed it dead"
    )
    assert await stores.presence.renew(first, LEASE_SECONDS)
    assert await stores.presence.expired_processes() == []


@gen_test
async def test_only_members_of_the_dead_process_are_marked_away(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA, CARL)
    await accept_user(stores, live_id, BERT)
    first, second = new_process(), new_process()
    await stores.presence.renew(first, LEASE_SECONDS)
    for person, process in ((BERT, first), (ANNA, first), (CARL, second)):
        await register_socket(stores, person, live_id, process)
    version = (await member_row(stores, BERT))["v"]
    assert await stores.presence.mark_members_away(first, LATER) == 2
    names = ("process", "away_at", "due_at", "v")
    assert await member_fields(stores, BERT, *names) == (
        None,
        LATER,
        LATER + GRACE.shown,
        version + 1,
    )
    assert await member_fields(stores, ANNA, *names[:3]) == (None, LATER, LATER + GRACE.viewer)
    assert await member_fields(stores, CARL, *names[:3]) == (second, None, None)
    assert await stores.presence.expired_processes() == [second]


@gen_test
async def test_marking_members_away_keeps_the_lease(stores: StoresFixture) -> None:
    """The process may still be alive and renew concurrently."""
    live_id = await open_room(stores, BERT)
    process = new_process()
    await stores.presence.renew(process, LEASE_SECONDS)
    await register_socket(stores, BERT, live_id, process)
    await stores.presence.mark_members_away(process, LATER)
    assert await stores.presence.renew(process, LEASE_SECONDS)


@gen_test
async def test_process_that_serves_members_without_a_lease_is_expired(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, BERT, ANNA)
    first, second = new_process(), new_process()
    await register_socket(stores, BERT, live_id, first)
    await register_socket(stores, ANNA, live_id, second)
    await stores.presence.renew(second, LEASE_SECONDS)
    assert await stores.presence.expired_processes() == [first]
    await stores.presence.forget(second)
    assert sorted(await stores.presence.expired_processes()) == sorted([first, second])
    for process in (first, second):
        await stores.presence.mark_members_away(process, LATER)
    assert await stores.presence.expired_processes() == []


@gen_test
async def test_marking_members_away_twice_changes_nothing_more(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await register_socket(stores, BERT, live_id)
    assert await stores.presence.mark_members_away(PROCESS, LATER) == 1
    assert await stores.presence.mark_members_away(PROCESS, LATER + 5) == 0
    assert await member_fields(stores, BERT, "away_at") == (LATER,)


@gen_test
async def test_member_connected_to_another_process_is_not_marked_away(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, BERT)
    await register_socket(stores, BERT, live_id, PROCESS)
    await register_socket(stores, BERT, live_id, OTHER_PROCESS)
    assert await stores.presence.mark_members_away(PROCESS, LATER) == 0
    assert await member_fields(stores, BERT, "process", "away_at") == (OTHER_PROCESS, None)
