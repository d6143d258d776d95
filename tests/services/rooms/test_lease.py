from dataclasses import replace

from tests.support.presence import PresenceFixture
from tests.support.room_builders import ANNA, BERT, HOST


async def test_lease_is_held_from_a_renewal_until_it_lapses(presences: PresenceFixture) -> None:
    process = presences.new_process("one", lease=15)
    assert process.lease.held_ms == 0
    await process.hold_lease(100)
    process.clock.move(14)
    await process.lease.renew()
    assert process.lease.held_ms >= 114_000, "there was no gap"
    process.clock.move(16)
    assert process.lease.held_ms == 0
    await process.lease.renew()
    assert process.lease.held_ms < 15_000, "it is counted from the renewal"


async def test_late_renewal_counts_as_a_lapse(presences: PresenceFixture) -> None:
    process = await presences.process("one")
    await process.lease.renew()
    assert process.lease.lapses == 0
    await presences.expire_lease(process)
    await process.lease.renew()
    await process.lease.renew()
    assert process.lease.lapses == 1


async def test_members_of_a_dead_process_are_marked_away(presences: PresenceFixture) -> None:
    await presences.enter(BERT, ANNA)
    dead, alive = await presences.process("dead"), await presences.process("alive")
    await presences.connect(dead, BERT)
    await presences.connect(alive, ANNA)
    await alive.lease.sweep()
    assert not await presences.is_away(BERT), "its lease is valid"
    await presences.expire_lease(dead)
    await dead.lease.sweep()
    assert not await presences.is_away(BERT), "a process does not sweep its own members"
    await alive.lease.sweep()
    assert (await presences.row(BERT))["process"] is None
    assert [await presences.is_away(person) for person in (BERT, ANNA)] == [True, False]


async def test_process_sweeps_after_a_full_term_of_its_lease(presences: PresenceFixture) -> None:
    """After a MongoDB outage every lease has lapsed, so the first process to return must wait."""
    await presences.enter(BERT)
    other = await presences.process("other")
    returning = await presences.process("returning", lease=60)
    await presences.connect(other, BERT)
    await presences.expire_lease(other)
    await returning.hold_lease(30)
    await returning.lease.sweep()
    assert not await presences.is_away(BERT)
    await returning.hold_lease(61)
    await returning.lease.sweep()
    assert await presences.is_away(BERT)


async def test_ending_a_lease_marks_its_members_away(presences: PresenceFixture) -> None:
    await presences.enter(ANNA)
    first, socket = await presences.connected(BERT)
    second = await presences.process("two")
    await presences.connect(first, HOST)
    await presences.connect(second, ANNA)
    first.presence.disconnect(replace(socket, at=1_000))
    await first.presence.flush()
    await first.lease.end()
    assert (await presences.row(BERT))["away_at"] == 1_000
    assert [await presences.is_away(person) for person in (HOST, ANNA)] == [True, False]
    assert await presences.database.collection("processes").count_documents({"_id": "one"}) == 0
