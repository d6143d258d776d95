from dataclasses import replace

import pytest
from pymongo.errors import AutoReconnect

from tests.realtime.ward import ANNA, BERT, HOST, Ward

a_lease = pytest.mark.gen_test(timeout=20)


@a_lease
async def test_the_people_of_a_process_whose_lease_has_lapsed_are_away(ward: Ward) -> None:
    await ward.enter(BERT, ANNA)
    dead, alive = await ward.process("dead"), await ward.process("alive")
    await ward.connect(dead, BERT)
    await ward.connect(alive, ANNA)
    await alive.lease.sweep()
    assert not await ward.is_away(BERT), "its lease is good"
    await ward.let_lapse(dead)
    await alive.lease.sweep()
    assert (await ward.is_away(BERT), await ward.is_away(ANNA)) == (True, False)
    assert (await ward.row(BERT))["process"] is None


@a_lease
async def test_a_process_that_is_not_steady_buries_nobody(ward: Ward) -> None:
    """After an outage of MongoDB all leases have lapsed: the first to come back must wait."""
    await ward.enter(BERT)
    other, back = await ward.process("other"), await ward.process("back", lease=60)
    await ward.connect(other, BERT)
    await ward.let_lapse(other)
    back.held_for(30)
    await back.lease.sweep()
    assert not await ward.is_away(BERT)
    back.held_for(61)
    await back.lease.sweep()
    assert await ward.is_away(BERT)


@a_lease
async def test_a_process_that_has_said_nothing_yet_or_not_in_time_is_not_steady(
    ward: Ward,
) -> None:
    process = ward.fresh_process("one", lease=15)
    assert process.lease.steady_ms == 0
    await process.lease.renew()
    process.held_for(100)
    assert process.lease.steady_ms >= 100_000
    process.sleep(16)
    assert process.lease.steady_ms == 0
    await process.lease.renew()
    assert process.lease.steady_ms < 1_000, "it begins anew"


@a_lease
async def test_a_lease_that_is_renewed_in_time_has_no_gap(ward: Ward) -> None:
    process = await ward.process("one", lease=15)
    process.sleep(14)
    await process.lease.renew()
    assert process.lease.steady_ms >= 3_600_000


@a_lease
async def test_nobody_buries_themselves(ward: Ward) -> None:
    await ward.enter(BERT)
    process = await ward.process("one")
    await ward.connect(process, BERT)
    await ward.let_lapse(process)
    await process.lease.sweep()
    assert not await ward.is_away(BERT)


@a_lease
async def test_whoever_was_taken_for_dead_stamps_what_they_still_serve(ward: Ward) -> None:
    await ward.enter(BERT, ANNA)
    alive, other = await ward.process("alive"), await ward.process("other")
    await ward.connect(alive, BERT)
    await ward.connect(alive, ANNA)
    await ward.let_lapse(alive)
    await other.lease.sweep()
    assert await ward.is_away(BERT)
    await ward.connect(other, ANNA)  # who has moved on meanwhile
    await alive.lease.renew()
    assert (await ward.row(BERT))["process"] == "alive"
    assert not await ward.is_away(BERT)
    assert (await ward.row(BERT))["due_at"] is None
    assert (await ward.row(ANNA))["process"] == "other"


@a_lease
async def test_a_stamp_that_failed_is_made_up_for(ward: Ward) -> None:
    await ward.enter(BERT)
    alive, other = await ward.process("alive"), await ward.process("other")
    await ward.connect(alive, BERT)
    await ward.let_lapse(alive)
    await other.lease.sweep()
    ward.places.away = True
    with pytest.raises(AutoReconnect):
        await alive.lease.renew()
    ward.places.away = False
    assert await ward.is_away(BERT)
    await alive.lease.renew()  # its lease is known by now, its people are not
    assert not await ward.is_away(BERT)


@a_lease
async def test_whoever_stands_as_served_here_and_is_not_is_away_at_the_second_look(
    ward: Ward,
) -> None:
    """A process that was stopped between the number and the socket, or an answer that was lost."""
    await ward.enter(BERT, ANNA)
    process = await ward.process("one")
    await ward.connect(process, ANNA)
    ward.places.silent = True
    with pytest.raises(AutoReconnect):
        await ward.connect(process, BERT)
    ward.places.silent = False
    assert (await ward.row(BERT))["process"] == "one"
    await process.lease.compare()
    assert not await ward.is_away(BERT), "it may be joining"
    await process.lease.compare()
    assert (await ward.is_away(BERT), await ward.is_away(ANNA)) == (True, False)


@a_lease
async def test_whoever_comes_between_two_looks_is_no_suspect(ward: Ward) -> None:
    await ward.enter(BERT)
    process = await ward.process("one")
    here = await ward.connect(process, BERT)
    process.here.clear()
    await process.lease.compare()
    process.here.append(here)
    await process.lease.compare()
    process.here.clear()
    await process.lease.compare()
    assert not await ward.is_away(BERT)


@a_lease
async def test_a_socket_that_nobody_says_is_here_is_stamped(ward: Ward) -> None:
    await ward.enter(BERT)
    process, other = await ward.process("one"), await ward.process("other")
    here = await ward.connect(process, BERT)
    await ward.let_lapse(process)
    await other.lease.sweep()
    await process.lease.stamp([here])
    assert ((await ward.row(BERT))["process"], await ward.is_away(BERT)) == ("one", False)


@a_lease
async def test_a_process_that_ends_in_peace_leaves_nobody_connected(ward: Ward) -> None:
    await ward.enter(BERT, ANNA)
    one, two = await ward.process("one"), await ward.process("two")
    gone = await ward.connect(one, BERT)
    await ward.connect(one, HOST)
    await ward.connect(two, ANNA)
    one.presence.part(replace(gone, at=1_000))
    await one.presence.flush()
    await one.lease.end()
    assert (await ward.row(BERT))["away_at"] == 1_000
    assert await ward.is_away(HOST)
    assert not await ward.is_away(ANNA)
    assert await ward.database.collection("processes").count_documents({"_id": "one"}) == 0
