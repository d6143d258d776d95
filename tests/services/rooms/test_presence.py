from dataclasses import replace
from typing import Any
from unittest.mock import AsyncMock

import pytest
from pymongo.errors import AutoReconnect

from core.clock import now_ms
from core.errors import TryAgain
from rooms.members import GracePolicy, MemberSocket, Person
from services.rooms import presence as module
from services.rooms.presence import CLOCK_SKEW_MS
from tests.support.presence import PresenceFixture, Process
from tests.support.races import run_before
from tests.support.room_builders import ANNA, BERT, GRACE, HOST

NO_GRACE = GracePolicy(shown=0, viewer=0, guest=0, host=0)


async def disconnect_ago(process: Process, socket: MemberSocket, ms: int) -> MemberSocket:
    closed = replace(socket, at=now_ms() - ms)
    process.presence.disconnect(closed)
    await process.presence.flush()
    return closed


async def away(presences: PresenceFixture, *people: Person) -> list[bool]:
    return [await presences.is_away(person) for person in people]


# ---- sockets


async def test_disconnects_during_an_outage_are_stored_later(presences: PresenceFixture) -> None:
    await presences.enter(BERT, ANNA)
    process = await presences.process("one")
    bert = await presences.connect(process, BERT)
    anna = await presences.connect(process, ANNA)
    outage = AsyncMock(side_effect=AutoReconnect("not now"))
    run_before(presences.presence_store, "mark_disconnected", outage)
    process.presence.disconnect(replace(bert, at=1_000))
    with pytest.raises(AutoReconnect):
        await process.presence.flush()
    process.presence.disconnect(replace(anna, at=2_000))
    await process.presence.flush()
    assert [(await presences.row(person))["away_at"] for person in (BERT, ANNA)] == [1_000, 2_000]
    await presences.connect(process, BERT)
    await process.presence.flush()
    assert not await presences.is_away(BERT), "the disconnects are stored only once"


# ---- absences


async def test_returning_member_is_published_as_back(presences: PresenceFixture) -> None:
    first, socket = await presences.connected(BERT, seated=True)
    second = await presences.process("two")
    await disconnect_ago(first, socket, 5_000)
    await second.presence.job.sweep()
    assert second.listener.event_types == ["member_away"]
    await presences.connect(first, BERT)
    assert first.listener.event_types == ["member_back"]
    await second.presence.job.sweep()
    assert second.listener.event_types == ["member_away"], "the absence is no longer due"


async def test_grace_period_lasts_until_the_lease_was_held(presences: PresenceFixture) -> None:
    process, socket = await presences.connected(BERT)
    await disconnect_ago(process, socket, 3_600_000)
    await process.hold_lease(1)
    await process.presence.job.sweep()
    assert await presences.is_away(BERT)
    assert (await presences.row(BERT))["due_at"] > now_ms() + 50_000
    await process.hold_lease(61)
    await presences.set(BERT, due_at=now_ms())
    await process.presence.job.sweep()
    assert await presences.row(BERT) == {}


async def test_all_due_absences_are_processed_although_rooms_and_lives_are_gone(
    presences: PresenceFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ABSENCE_CONCURRENCY", 2)
    people = [Person(f"2{n:07d}", "", "", n % 3) for n in range(7)]
    await presences.enter(*people)
    process = await presences.process("one", grace=NO_GRACE)
    for n, person in enumerate(people):
        gone: dict[str, Any] = [{}, {"live_id": 999_999}, {"epoch": "epoch-0"}][n % 3]
        await presences.set(person, away_at=1, due_at=1, **gone)
    await process.presence.job.sweep()
    remaining = presences.database.collection("members").find({})
    assert [row["_id"] async for row in remaining] == [HOST.user_id]


async def test_entry_by_http_restarts_the_grace_period(presences: PresenceFixture) -> None:
    process, socket = await presences.connected(BERT)
    loaded_before = await presences.load(BERT)
    closed = await disconnect_ago(process, socket, 50_000)
    await process.presence.seen(BERT.user_id, loaded_before)
    row = await presences.row(BERT)
    assert (row["away_at"], row["due_at"]) == (closed.at, closed.at + GRACE.viewer)
    entered_at = now_ms()
    await presences.see(process, BERT)
    row = await presences.row(BERT)
    assert row["away_at"] >= entered_at
    assert row["due_at"] == row["away_at"] + GRACE.viewer


# ---- reports from Tencent; the return value is the outcome


async def test_im_state_counts_for_a_member_without_a_socket(presences: PresenceFixture) -> None:
    await presences.seat(BERT)
    process = await presences.process("one", grace=replace(NO_GRACE, guest=45_000))
    on_im_state, now = process.presence.on_im_state, now_ms()
    assert await on_im_state(BERT.user_id, online=False, at_ms=now) == "done"
    assert await presences.is_away(BERT)
    await presences.set(BERT, due_at=1)
    await process.presence.job.sweep()
    assert await on_im_state(BERT.user_id, online=True, at_ms=now - 1) == "old_event"
    assert await presences.is_away(BERT)
    assert await on_im_state(BERT.user_id, online=True, at_ms=now + 1) == "done"
    assert not await presences.is_away(BERT)
    assert process.listener.event_types == ["member_away", "member_back"]


async def test_im_state_of_another_membership_is_ignored(presences: PresenceFixture) -> None:
    await presences.enter(BERT)
    process, _ = await presences.connected(ANNA)
    on_im_state = process.presence.on_im_state
    _, group_id, _ = await presences.rooms.get_or_create(HOST)
    earliest = (await presences.row(BERT))["entered_at"] - CLOCK_SKEW_MS
    for user_id, group, at_ms, outcome in (
        ("99999999", None, earliest, "not_in_a_room"),
        (ANNA.user_id, None, earliest, "has_a_socket"),
        (BERT.user_id, "another", earliest, "other_group"),
        (BERT.user_id, group_id, earliest - 1, "old_event"),
        (BERT.user_id, group_id, earliest, "done"),
    ):
        assert await away(presences, BERT, ANNA) == [False, False]
        found = await on_im_state(user_id, online=False, at_ms=at_ms, group_id=group)
        assert found == outcome
    assert await away(presences, BERT, ANNA) == [True, False]


async def test_stream_end_marks_a_guest_without_a_socket_away(presences: PresenceFixture) -> None:
    await presences.seat(BERT)
    process, stream = await presences.process("one"), f"{BERT.user_id}_s"
    for on, sequence, outcome, is_away in (
        (True, "5", "done", False),
        (False, "5", "done", True),
        (True, "5", "old_sequence", True),
        (True, "6", "done", False),
    ):
        at = 101 if sequence == "6" or not on else 100
        found = await process.presence.on_stream_event(stream, on=on, sequence=sequence, at_s=at)
        assert (found, await presences.is_away(BERT)) == (outcome, is_away)


async def test_events_of_other_streams_are_ignored(presences: PresenceFixture) -> None:
    await presences.seat(BERT)
    await presences.enter(ANNA)
    on_stream_event = (await presences.process("one")).presence.on_stream_event
    for stream in (f"{BERT.user_id}_old", f"{ANNA.user_id}_s", f"{HOST.user_id}_s"):
        answer = await on_stream_event(stream, on=False, sequence="1", at_s=1)
        assert answer == "not_the_current_stream"
    assert await on_stream_event("99999999_s", on=False, sequence="1", at_s=1) == "not_in_a_room"
    assert not await presences.is_away(BERT)


async def test_live_stream_doubles_the_grace_period_of_a_guest(presences: PresenceFixture) -> None:
    process, socket = await presences.connected(BERT, seated=True)
    on_stream_event, stream = process.presence.on_stream_event, f"{BERT.user_id}_s"
    assert await on_stream_event(stream, on=True, sequence="5", at_s=100) == "done"
    await disconnect_ago(process, socket, 50_000)
    await process.presence.job.sweep()
    assert process.listener.event_types == ["member_away"], "45 s have passed, 90 s have not"
    assert await on_stream_event(stream, on=False, sequence="5", at_s=101) == "done"
    await process.presence.job.sweep()
    assert process.listener.event_types == ["member_away", "micro_leave"]


async def test_stream_event_gives_up_after_repeated_conflicts(
    presences: PresenceFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await presences.seat(BERT)
    loses = AsyncMock(return_value=False)
    monkeypatch.setattr(presences.presence_store, "record_stream", loses)
    on_stream_event = (await presences.process("one")).presence.on_stream_event
    with pytest.raises(TryAgain):
        await on_stream_event(f"{BERT.user_id}_s", on=True, sequence="5", at_s=1)


async def test_lease_is_held_from_a_renewal_until_it_lapses(presences: PresenceFixture) -> None:
    process = presences.new_process("one", lease=15)
    assert process.lease.held_ms == 0
    await process.hold_lease(100)
    process.clock.move(10)
    await process.lease.renew()
    assert process.lease.held_ms >= 110_000, "there was no gap"
    process.clock.move(16)
    assert process.lease.held_ms == 0
    await process.lease.renew()
    assert process.lease.held_ms < 15_000, "it is counted from the renewal"
    assert process.lease.lapses == 0
    await presences.expire_lease(process)
    for _ in range(2):
        await process.lease.renew()
    assert process.lease.lapses == 1, "another process may have noticed one"


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
