"""Leases of processes, and the members of dead processes, on a real MongoDB."""

import uuid

from tests.support.room_builders import ANNA, BERT, CARL, GRACE
from tests.support.storage import StoresFixture
from tests.support.stored_members import LATER, member_fields, member_row, register_socket
from tests.support.stored_rooms import accept_user, open_room
from tests.support.waiting import until

LEASE_SECONDS = 3_600.0


def new_process() -> str:
    return uuid.uuid4().hex


async def test_process_expires_when_its_lease_is_not_renewed(stores: StoresFixture) -> None:
    """Leases expire by the database's clock, so the test waits for the shortest lease."""
    live_id = await open_room(stores, BERT, ANNA)
    first, second = new_process(), new_process()
    await register_socket(stores, BERT, live_id, first)
    await register_socket(stores, ANNA, live_id, second)
    assert not await stores.presence.renew(first, 0.001)
    assert not await stores.presence.renew(second, LEASE_SECONDS)
    assert await until(stores.presence.expired_processes) == [first]
    assert await stores.presence.renew(second, LEASE_SECONDS)
    assert not await stores.presence.renew(first, LEASE_SECONDS), "it may be presumed dead"
    assert await stores.presence.renew(first, LEASE_SECONDS)
    assert await stores.presence.other_processes(first) == 1
    assert await stores.presence.expired_processes() == []
    await stores.presence.forget(second)
    assert await stores.presence.expired_processes() == [second]


async def test_members_of_a_dead_process_are_marked_away_once(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA, CARL)
    await accept_user(stores, live_id, BERT)
    first, second = new_process(), new_process()
    await stores.presence.renew(first, LEASE_SECONDS)
    for person, process in ((BERT, first), (ANNA, first), (CARL, first), (CARL, second)):
        await register_socket(stores, person, live_id, process)
    version = (await member_row(stores, BERT))["v"]
    assert await stores.presence.mark_members_away(first, LATER) == 2
    assert await stores.presence.mark_members_away(first, LATER + 5) == 0
    names = ("process", "away_at", "due_at", "v")
    away = (None, LATER, LATER + GRACE.shown, version + 1)
    assert await member_fields(stores, BERT, *names) == away
    assert await member_fields(stores, ANNA, *names[:3]) == (None, LATER, LATER + GRACE.viewer)
    assert await member_fields(stores, CARL, *names[:3]) == (second, None, None)
    assert await stores.presence.expired_processes() == [second]
    assert await stores.presence.renew(first, LEASE_SECONDS), "it may be alive, and keeps its lease"
