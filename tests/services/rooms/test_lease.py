from dataclasses import replace

import pytest
from pymongo.errors import AutoReconnect

from tests.support.presence import ANNA, BERT, HOST, PresenceFixture


async def test_members_of_a_process_with_a_lapsed_lease_are_marked_away(
    presence_fixture: PresenceFixture,
) -> None:
    await presence_fixture.enter(BERT, ANNA)
    dead, alive = await presence_fixture.process("dead"), await presence_fixture.process("alive")
    await presence_fixture.connect(dead, BERT)
    await presence_fixture.connect(alive, ANNA)
    await alive.lease.sweep()
    assert not await presence_fixture.is_away(BERT), "its lease is valid"
    await presence_fixture.expire_lease(dead)
    await alive.lease.sweep()
    assert (await presence_fixture.is_away(BERT), await presence_fixture.is_away(ANNA)) == (
        True,
        False,
    )
    assert (await presence_fixture.row(BERT))["process"] is None


async def test_process_does_not_sweep_until_its_lease_was_held_long_enough(
    presence_fixture: PresenceFixture,
) -> None:
    """After a MongoDB outage every lease has lapsed, so the first process to return must wait."""
    await presence_fixture.enter(BERT)
    other, returning = (
        await presence_fixture.process("other"),
        await presence_fixture.process("returning", lease=60),
    )
    await presence_fixture.connect(other, BERT)
    await presence_fixture.expire_lease(other)
    returning.held_for(30)
    await returning.lease.sweep()
    assert not await presence_fixture.is_away(BERT)
    returning.held_for(61)
    await returning.lease.sweep()
    assert await presence_fixture.is_away(BERT)


async def test_lease_held_time_is_zero_before_the_first_renewal_and_after_a_lapse(
    presence_fixture: PresenceFixture,
) -> None:
    process = presence_fixture.new_process("one", lease=15)
    assert process.lease.held_ms == 0
    await process.lease.renew()
    process.held_for(100)
    assert process.lease.held_ms >= 100_000
    process.sleep(16)
    assert process.lease.held_ms == 0
    await process.lease.renew()
    assert process.lease.held_ms < 15_000, "it is counted from the renewal"


async def test_lease_renewed_in_time_is_held_without_a_gap(
    presence_fixture: PresenceFixture,
) -> None:
    process = await presence_fixture.process("one", lease=15)
    process.sleep(14)
    await process.lease.renew()
    assert process.lease.held_ms >= 3_600_000


async def test_process_does_not_sweep_its_own_members(presence_fixture: PresenceFixture) -> None:
    process, _ = await presence_fixture.connected(BERT)
    await presence_fixture.expire_lease(process)
    await process.lease.sweep()
    assert not await presence_fixture.is_away(BERT)


async def test_renewal_after_the_stored_lease_has_expired_counts_as_a_lapse(
    presence_fixture: PresenceFixture,
) -> None:
    process = await presence_fixture.process("one")
    await process.lease.renew()
    assert process.lease.lapses == 0
    await presence_fixture.expire_lease(process)
    await process.lease.renew()
    await process.lease.renew()
    assert process.lease.lapses == 1


async def test_member_without_a_local_socket_in_two_comparisons_is_marked_away(
    presence_fixture: PresenceFixture,
) -> None:
    """The process died before opening the socket, or the answer of MongoDB was lost."""
    await presence_fixture.enter(BERT)
    process, _ = await presence_fixture.connected(ANNA)
    presence_fixture.presence_store.reply_lost = True
    with pytest.raises(AutoReconnect):
        await presence_fixture.connect(process, BERT)
    presence_fixture.presence_store.reply_lost = False
    assert (await presence_fixture.row(BERT))["process"] == "one"
    await process.reconciler._compare_stored()
    assert not await presence_fixture.is_away(BERT), "the socket may be joining"
    await process.reconciler._compare_stored()
    assert (await presence_fixture.is_away(BERT), await presence_fixture.is_away(ANNA)) == (
        True,
        False,
    )


async def test_member_missing_in_nonconsecutive_comparisons_is_not_marked_away(
    presence_fixture: PresenceFixture,
) -> None:
    process, bert = await presence_fixture.connected(BERT)
    process.sockets.clear()
    await process.reconciler._compare_stored()
    process.sockets.append(bert)
    await process.reconciler._compare_stored()
    process.sockets.clear()
    await process.reconciler._compare_stored()
    assert not await presence_fixture.is_away(BERT)


async def test_ending_a_lease_marks_its_remaining_members_away(
    presence_fixture: PresenceFixture,
) -> None:
    await presence_fixture.enter(ANNA)
    first, socket = await presence_fixture.connected(BERT)
    second = await presence_fixture.process("two")
    await presence_fixture.connect(first, HOST)
    await presence_fixture.connect(second, ANNA)
    first.presence.disconnect(replace(socket, at=1_000))
    await first.presence.flush()
    await first.lease.end()
    assert (await presence_fixture.row(BERT))["away_at"] == 1_000
    assert await presence_fixture.is_away(HOST)
    assert not await presence_fixture.is_away(ANNA)
    assert (
        await presence_fixture.database.collection("processes").count_documents({"_id": "one"}) == 0
    )
