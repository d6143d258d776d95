from dataclasses import replace
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from core.clock import now_ms
from core.errors import TryAgain
from rooms.errors import NotAMember
from rooms.members import GracePolicy, MemberSocket, Person
from services.rooms.presence import ABSENCE_CONCURRENCY, CLOCK_SKEW_MS, SILENT_MS
from tests.support.presence import ANNA, BERT, GRACE, HOST, PresenceFixture, Process

NO_GRACE = GracePolicy(shown=0, viewer=0, guest=0, host=0)


def closed_ago(socket: MemberSocket, ms: int) -> MemberSocket:
    return replace(socket, at=now_ms() - ms)


async def disconnect_ago(process: Process, socket: MemberSocket, ms: int) -> None:
    process.presence.disconnect(closed_ago(socket, ms))
    await process.presence.flush()


# ---- sockets


async def test_each_new_socket_of_a_user_has_a_higher_number(
    presence_fixture: PresenceFixture,
) -> None:
    await presence_fixture.enter(BERT)
    first, second = await presence_fixture.process("one"), await presence_fixture.process("two")
    numbers = [
        (await presence_fixture.connect(process, BERT)).number for process in (first, second, first)
    ]
    assert numbers == sorted(set(numbers))
    assert (await presence_fixture.row(BERT))["process"] == "one"


async def test_non_member_cannot_register_a_socket(presence_fixture: PresenceFixture) -> None:
    presence = (await presence_fixture.process("one")).presence
    with pytest.raises(NotAMember):
        await presence.connect(BERT.user_id, presence_fixture.live_id)
    await presence_fixture.enter(BERT)
    with pytest.raises(NotAMember):
        await presence.connect(BERT.user_id, presence_fixture.live_id + 1)


async def test_closing_an_older_socket_does_not_mark_the_user_away(
    presence_fixture: PresenceFixture,
) -> None:
    first, older = await presence_fixture.connected(BERT)
    second = await presence_fixture.process("two")
    newer = await presence_fixture.connect(second, BERT)
    await disconnect_ago(first, older, 0)
    assert not await presence_fixture.is_away(BERT)
    await disconnect_ago(second, newer, 0)
    assert await presence_fixture.is_away(BERT)


async def test_disconnects_during_an_outage_are_stored_later_with_their_own_time(
    presence_fixture: PresenceFixture,
) -> None:
    await presence_fixture.enter(BERT, ANNA)
    process = await presence_fixture.process("one")
    bert, anna = (
        await presence_fixture.connect(process, BERT),
        await presence_fixture.connect(process, ANNA),
    )
    presence_fixture.presence_store.unavailable = True
    process.presence.disconnect(replace(bert, at=1_000))
    for _ in range(3):
        with pytest.raises(AutoReconnect):
            await process.presence.flush()
    process.presence.disconnect(replace(anna, at=2_000))
    presence_fixture.presence_store.unavailable = False
    await process.presence.flush()
    assert [(await presence_fixture.row(person))["away_at"] for person in (BERT, ANNA)] == [
        1_000,
        2_000,
    ]
    await presence_fixture.connect(process, BERT)
    await process.presence.flush()
    assert not await presence_fixture.is_away(BERT), "the disconnects are stored only once"


# ---- absences


async def test_brief_host_disconnect_is_not_published(presence_fixture: PresenceFixture) -> None:
    process = await presence_fixture.process("one")
    socket = await presence_fixture.connect(process, HOST)
    await disconnect_ago(process, socket, 0)
    await process.presence.process_absences()
    await presence_fixture.connect(process, HOST)
    await process.presence.process_absences()
    assert process.listener.event_types == []


async def test_returning_member_is_published_as_back(presence_fixture: PresenceFixture) -> None:
    first, socket = await presence_fixture.connected(BERT, seated=True)
    second = await presence_fixture.process("two")
    await disconnect_ago(first, socket, 5_000)
    await second.presence.process_absences()
    assert second.listener.event_types == ["member_away"]
    await presence_fixture.connect(first, BERT)
    assert first.listener.event_types == ["member_back"]
    await second.presence.process_absences()
    assert second.listener.event_types == ["member_away"], "the absence is no longer due"


async def test_absent_host_pauses_and_then_ends_the_live(
    presence_fixture: PresenceFixture,
) -> None:
    process = await presence_fixture.process("one")
    socket = await presence_fixture.connect(process, HOST)
    await disconnect_ago(process, socket, 10_000)
    await process.presence.process_absences()
    assert process.listener.event_types == ["member_away", "live_pause"]
    await presence_fixture.set(HOST, away_at=now_ms() - 121_000, due_at=now_ms())
    await process.presence.process_absences()
    assert process.listener.event_types[2:] == ["live_end"]
    assert process.listener.published[-1][1]["reason"] == "offline"


async def test_grace_period_does_not_end_until_the_lease_was_held_long_enough(
    presence_fixture: PresenceFixture,
) -> None:
    process, socket = await presence_fixture.connected(BERT)
    await disconnect_ago(process, socket, 3_600_000)
    process.held_for(1)
    await process.presence.process_absences()
    assert await presence_fixture.is_away(BERT)
    assert (await presence_fixture.row(BERT))["due_at"] > now_ms() + 50_000
    process.held_for(61)
    await presence_fixture.set(BERT, due_at=now_ms())
    await process.presence.process_absences()
    assert await presence_fixture.row(BERT) == {}


async def test_more_absences_than_the_concurrency_limit_are_all_processed(
    presence_fixture: PresenceFixture,
) -> None:
    viewers = [
        Person(f"2{n:07d}", f"viewer {n}", "", n % 3) for n in range(3 * ABSENCE_CONCURRENCY)
    ]
    process = await presence_fixture.process("one", grace=NO_GRACE)
    for person in viewers:
        await presence_fixture.enter(person)
        await disconnect_ago(process, await presence_fixture.connect(process, person), 0)
    await presence_fixture.database.collection("members").update_many(
        {"role": "viewer"}, {"$set": {"due_at": 1}}
    )
    await process.presence.process_absences()
    remaining = presence_fixture.database.collection("members").find({})
    assert [row["_id"] async for row in remaining] == [HOST.user_id]


async def test_absence_in_a_missing_room_does_not_block_others(
    presence_fixture: PresenceFixture,
) -> None:
    await presence_fixture.enter(BERT, ANNA)
    process = await presence_fixture.process("one", grace=NO_GRACE)
    for person in (BERT, ANNA):
        await disconnect_ago(process, await presence_fixture.connect(process, person), 0)
    await presence_fixture.set(BERT, live_id=999_999, due_at=1)
    await presence_fixture.set(ANNA, due_at=2)
    await process.presence.process_absences()
    assert [await presence_fixture.row(person) for person in (BERT, ANNA)] == [{}, {}]


async def test_membership_of_an_ended_epoch_is_deleted(presence_fixture: PresenceFixture) -> None:
    await presence_fixture.enter(BERT)
    await presence_fixture.set(BERT, epoch="epoch-0", away_at=1, due_at=1)
    await (await presence_fixture.process("one")).presence.process_absences()
    assert await presence_fixture.row(BERT) == {}


async def test_inactive_member_without_a_socket_is_marked_away(
    presence_fixture: PresenceFixture,
) -> None:
    await presence_fixture.enter(BERT)
    process, _ = await presence_fixture.connected(ANNA)
    for person in (BERT, ANNA):
        await presence_fixture.set(person, seen_at=now_ms() - SILENT_MS - 100_000)
    await process.presence.mark_silent_away()
    assert (await presence_fixture.is_away(BERT), await presence_fixture.is_away(ANNA)) == (
        True,
        False,
    )
    await presence_fixture.see(process, BERT)
    assert not await presence_fixture.is_away(BERT)


async def test_entry_by_http_restarts_the_grace_period_of_a_lost_socket(
    presence_fixture: PresenceFixture,
) -> None:
    process, socket = await presence_fixture.connected(BERT)
    await presence_fixture.see(process, BERT)
    assert not await presence_fixture.is_away(BERT)
    await disconnect_ago(process, socket, 50_000)
    entered_at = now_ms()
    await presence_fixture.see(process, BERT)
    row = await presence_fixture.row(BERT)
    assert row["away_at"] >= entered_at
    assert row["due_at"] == row["away_at"] + GRACE.viewer


async def test_socket_lost_after_the_entry_has_loaded_the_room_starts_its_own_grace_period(
    presence_fixture: PresenceFixture,
) -> None:
    process, socket = await presence_fixture.connected(BERT)
    loaded = await presence_fixture.load(BERT)
    closed = closed_ago(socket, 0)
    process.presence.disconnect(closed)
    await process.presence.flush()
    await process.presence.seen(BERT.user_id, loaded)
    row = await presence_fixture.row(BERT)
    assert (row["away_at"], row["due_at"]) == (closed.at, closed.at + GRACE.viewer)


# ---- reports from Tencent; the return value is the outcome


async def test_im_state_sets_the_presence_of_a_member_without_a_socket(
    presence_fixture: PresenceFixture,
) -> None:
    await presence_fixture.seat(BERT)
    process = await presence_fixture.process("one", grace=replace(NO_GRACE, guest=45_000))
    on_im_state, now = process.presence.on_im_state, now_ms()
    assert await on_im_state(BERT.user_id, online=False, at_ms=now) == "done"
    assert await presence_fixture.is_away(BERT)
    await presence_fixture.set(BERT, due_at=1)
    await process.presence.process_absences()
    assert await on_im_state(BERT.user_id, online=True, at_ms=now - 1) == "old_event"
    assert await presence_fixture.is_away(BERT)
    assert await on_im_state(BERT.user_id, online=True, at_ms=now + 1) == "done"
    assert not await presence_fixture.is_away(BERT)
    assert process.listener.event_types == ["member_away", "member_back"]


async def test_im_state_from_before_the_user_entered_is_ignored(
    presence_fixture: PresenceFixture,
) -> None:
    await presence_fixture.enter(BERT)
    on_im_state = (await presence_fixture.process("one")).presence.on_im_state
    entered_at = (await presence_fixture.row(BERT))["entered_at"]
    assert (
        await on_im_state(BERT.user_id, online=False, at_ms=entered_at - CLOCK_SKEW_MS - 1)
        == "old_event"
    )
    assert not await presence_fixture.is_away(BERT)
    assert await on_im_state(BERT.user_id, online=False, at_ms=entered_at - CLOCK_SKEW_MS) == "done"
    assert await presence_fixture.is_away(BERT)


async def test_im_state_of_another_rooms_group_is_ignored(
    presence_fixture: PresenceFixture,
) -> None:
    await presence_fixture.enter(BERT)
    on_im_state = (await presence_fixture.process("one")).presence.on_im_state
    _, group_id, _ = await presence_fixture.rooms.get_or_create(HOST)
    offline: dict[str, Any] = {"online": False, "at_ms": now_ms()}
    assert await on_im_state(BERT.user_id, **offline, group_id="another") == "other_group"
    assert not await presence_fixture.is_away(BERT)
    assert await on_im_state(BERT.user_id, **offline, group_id=group_id) == "done"
    assert await presence_fixture.is_away(BERT)


async def test_im_state_is_ignored_for_users_with_a_socket_or_without_a_room(
    presence_fixture: PresenceFixture,
) -> None:
    process, _ = await presence_fixture.connected(BERT)
    on_im_state = process.presence.on_im_state
    assert await on_im_state(BERT.user_id, online=False, at_ms=1) == "has_a_socket"
    assert not await presence_fixture.is_away(BERT)
    assert await on_im_state("99999999", online=False, at_ms=1) == "not_in_a_room"


async def test_stream_end_marks_a_guest_without_a_socket_away(
    presence_fixture: PresenceFixture,
) -> None:
    await presence_fixture.seat(BERT)
    on_stream_event, stream = (
        (await presence_fixture.process("one")).presence.on_stream_event,
        f"{BERT.user_id}_s",
    )
    assert await on_stream_event(stream, on=True, sequence="5", at_s=100) == "done"
    assert await on_stream_event(stream, on=False, sequence="5", at_s=101) == "done"
    assert await presence_fixture.is_away(BERT)
    assert await on_stream_event(stream, on=True, sequence="5", at_s=100) == "old_sequence"
    assert await presence_fixture.is_away(BERT)
    assert await on_stream_event(stream, on=True, sequence="6", at_s=102) == "done"
    assert not await presence_fixture.is_away(BERT)


async def test_events_of_other_streams_are_ignored(
    presence_fixture: PresenceFixture,
) -> None:
    await presence_fixture.seat(BERT)
    await presence_fixture.enter(ANNA)
    on_stream_event = (await presence_fixture.process("one")).presence.on_stream_event
    for stream in (f"{BERT.user_id}_old", f"{ANNA.user_id}_s", f"{HOST.user_id}_s"):
        answer = await on_stream_event(stream, on=False, sequence="1", at_s=1)
        assert answer == "not_the_current_stream"
    assert await on_stream_event("99999999_s", on=False, sequence="1", at_s=1) == "not_in_a_room"
    assert not await presence_fixture.is_away(BERT)


async def test_live_stream_doubles_the_grace_period_of_a_disconnected_guest(
    presence_fixture: PresenceFixture,
) -> None:
    process, socket = await presence_fixture.connected(BERT, seated=True)
    on_stream_event, stream = process.presence.on_stream_event, f"{BERT.user_id}_s"
    assert await on_stream_event(stream, on=True, sequence="5", at_s=100) == "done"
    await disconnect_ago(process, socket, 50_000)
    await process.presence.process_absences()
    assert process.listener.event_types == ["member_away"], "45 s have passed, 90 s have not"
    assert await on_stream_event(stream, on=False, sequence="5", at_s=101) == "done"
    await process.presence.process_absences()
    assert process.listener.event_types == ["member_away", "micro_leave"]


async def test_stream_event_gives_up_after_repeated_write_conflicts(
    presence_fixture: PresenceFixture,
) -> None:
    await presence_fixture.seat(BERT)
    presence_fixture.presence_store.always_loses = True
    on_stream_event = (await presence_fixture.process("one")).presence.on_stream_event
    with pytest.raises(TryAgain):
        await on_stream_event(f"{BERT.user_id}_s", on=True, sequence="5", at_s=1)
