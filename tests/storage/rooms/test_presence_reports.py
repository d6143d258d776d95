"""Signs of life without a socket, and Tencent's reports on users and streams, on a real MongoDB."""

from dataclasses import replace

import pytest

from rooms.members import ACTIVITY_INTERVAL_MS, is_known_present
from tests.support.room_builders import ANNA, BERT, CARL, DORA, GRACE, HOST, NOW
from tests.support.storage import StoresFixture
from tests.support.stored_members import (
    LATER,
    PROCESS,
    disconnect,
    find_membership,
    member_fields,
    member_row,
    pending_absence,
    register_socket,
    stream_state,
)
from tests.support.stored_rooms import accept_user, change_room, load_room, open_room

gen_test = pytest.mark.gen_test(timeout=60)


# ---- signs of life


@gen_test
async def test_sign_of_life_ends_the_absence_of_a_user_without_a_socket(
    stores: StoresFixture,
) -> None:
    await open_room(stores, BERT)
    await stores.presence.record_report(
        await find_membership(stores, BERT), present=False, now=LATER
    )
    assert await stores.presence.seen(BERT.user_id, LATER + 5)
    names = ("away_at", "due_at", "seen_at")
    assert await member_fields(stores, BERT, *names) == (None, None, LATER + 5)
    assert not await stores.presence.seen(BERT.user_id, LATER + 6)


@gen_test
async def test_sign_of_life_after_a_lost_socket_restarts_the_grace_period(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, BERT)
    await disconnect(stores, BERT, live_id)
    assert not await stores.presence.seen(BERT.user_id, LATER + 50_000)
    seen_at = LATER + 50_000
    assert await member_fields(stores, BERT, "away_at", "due_at", "seen_at") == (
        seen_at,
        seen_at + GRACE.viewer,
        seen_at,
    )


@gen_test
async def test_sign_of_life_of_a_connected_user_writes_nothing(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await register_socket(stores, BERT, live_id)
    before = await member_row(stores, BERT)
    assert not await stores.presence.seen(BERT.user_id, NOW + 10**9)
    assert await member_row(stores, BERT) == before
    assert not await stores.presence.seen("unknown", NOW)


@gen_test
async def test_frequent_signs_of_life_are_stored_once(stores: StoresFixture) -> None:
    await open_room(stores, BERT)
    before = await member_row(stores, BERT)
    assert not await stores.presence.seen(BERT.user_id, NOW + ACTIVITY_INTERVAL_MS)
    assert await member_row(stores, BERT) == before
    assert not await stores.presence.seen(BERT.user_id, NOW + ACTIVITY_INTERVAL_MS + 1)
    assert await member_fields(stores, BERT, "seen_at", "away_at") == (
        NOW + ACTIVITY_INTERVAL_MS + 1,
        None,
    )


async def take_step(stores: StoresFixture, live_id: int, step: str) -> None:
    match step:
        case "connect":
            await register_socket(stores, BERT, live_id)
        case "lose_socket":
            await disconnect(stores, BERT, live_id)
        case "lose_process":
            await stores.presence.mark_members_away(PROCESS, LATER)
        case "accept":
            await accept_user(stores, live_id, BERT)
        case "report_away" | "report_back":
            membership = await find_membership(stores, BERT)
            present = step == "report_back"
            await stores.presence.record_report(membership, present=present, now=LATER)


@pytest.mark.parametrize(
    ("steps", "silent_ms", "is_known"),
    [
        ([], ACTIVITY_INTERVAL_MS, True),
        ([], ACTIVITY_INTERVAL_MS + 1, False),
        (["connect"], 10**9, True),
        (["accept", "connect"], 10**9, True),
        (["lose_socket"], 0, False),
        (["lose_socket", "accept"], 0, False),
        (["lose_socket", "connect"], 10**9, True),
        (["connect", "lose_process"], 0, False),
        (["report_away"], 0, False),
        (["report_away", "report_back"], ACTIVITY_INTERVAL_MS, True),
    ],
)
@gen_test
async def test_sign_of_life_of_a_known_present_user_would_write_nothing(
    stores: StoresFixture, steps: list[str], silent_ms: int, is_known: bool
) -> None:
    live_id = await open_room(stores, BERT)
    for step in steps:
        await take_step(stores, live_id, step)
    before = await member_row(stores, BERT)
    member = (await load_room(stores, live_id, BERT.user_id)).members[BERT.user_id]
    assert is_known_present(member, NOW + silent_ms) == is_known
    await stores.presence.seen(BERT.user_id, NOW + silent_ms)
    assert (await member_row(stores, BERT) == before) == is_known


@gen_test
async def test_silent_user_without_a_socket_is_marked_away(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA, CARL, DORA)
    await register_socket(stores, ANNA, live_id)
    await disconnect(stores, CARL, live_id, at=NOW + 7)
    await stores.presence.seen(DORA.user_id, NOW + ACTIVITY_INTERVAL_MS + 1)
    await stores.presence.mark_silent_away(NOW - 1, LATER)
    assert await member_fields(stores, BERT, "away_at") == (None,)
    await stores.presence.mark_silent_away(NOW, LATER)
    assert await member_fields(stores, BERT, "away_at", "due_at") == (LATER, LATER + GRACE.viewer)
    assert await member_fields(stores, HOST, "away_at", "due_at") == (LATER, LATER + GRACE.shown)
    assert await member_fields(stores, ANNA, "away_at") == (None,)
    assert await member_fields(stores, CARL, "away_at") == (NOW + 7,)
    assert await member_fields(stores, DORA, "away_at") == (None,)


# ---- reports on users


@gen_test
async def test_reports_mark_a_user_without_a_socket_away_and_back(stores: StoresFixture) -> None:
    await open_room(stores, BERT)
    present = await find_membership(stores, BERT)
    assert await stores.presence.record_report(present, present=False, now=LATER, reported_at=500)
    names = ("away_at", "due_at", "seen_at", "reported_at", "v")
    assert await member_fields(stores, BERT, *names) == (
        *(LATER, LATER + GRACE.viewer, LATER),
        *(500, 1),
    )
    away = await find_membership(stores, BERT)
    assert away.away_at is not None
    assert await stores.presence.record_report(away, present=True, now=LATER + 9, reported_at=501)
    assert await member_fields(stores, BERT, *names) == (None, None, LATER + 9, 501, 2)


@gen_test
async def test_report_not_newer_than_the_last_changes_nothing(stores: StoresFixture) -> None:
    await open_room(stores, BERT)
    present = await find_membership(stores, BERT)
    assert await stores.presence.record_report(present, present=True, now=NOW, reported_at=500)
    before = await member_row(stores, BERT)
    for reported_at in (499, 500):
        assert not await stores.presence.record_report(
            present, present=False, now=LATER, reported_at=reported_at
        )
    assert await member_row(stores, BERT) == before


@gen_test
async def test_report_without_a_time_is_always_stored(stores: StoresFixture) -> None:
    await open_room(stores, BERT)
    present = await find_membership(stores, BERT)
    await stores.presence.record_report(present, present=True, now=NOW, reported_at=500)
    assert await stores.presence.record_report(present, present=False, now=LATER)
    assert await member_fields(stores, BERT, "away_at", "reported_at") == (LATER, 500)


@gen_test
async def test_second_report_of_leaving_does_not_restart_the_grace_period(
    stores: StoresFixture,
) -> None:
    await open_room(stores, BERT)
    await stores.presence.record_report(
        await find_membership(stores, BERT), present=False, now=LATER
    )
    await stores.presence.record_report(
        await find_membership(stores, BERT), present=False, now=LATER + 9
    )
    assert await member_fields(stores, BERT, "away_at", "due_at", "seen_at") == (
        *(LATER, LATER + GRACE.viewer),
        LATER + 9,
    )


@gen_test
async def test_report_on_a_user_with_a_socket_is_ignored(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    present = await find_membership(stores, BERT)
    await register_socket(stores, BERT, live_id)
    assert not await stores.presence.record_report(present, present=False, now=LATER)
    assert await member_fields(stores, BERT, "away_at") == (None,)


@gen_test
async def test_report_on_another_membership_is_ignored(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    present = await find_membership(stores, BERT)
    for other in (
        replace(present, live_id=live_id + 1),
        replace(present, epoch="e0"),
        replace(present, user_id=CARL.user_id),
    ):
        assert not await stores.presence.record_report(other, present=False, now=LATER)


# ---- reports on streams


@gen_test
async def test_stream_is_recorded_by_compare_and_swap(stores: StoresFixture) -> None:
    await open_room(stores, BERT)
    membership = await find_membership(stores, BERT)
    assert await stores.presence.record_stream(membership, stream_state(on=True), NOW)
    assert not await stores.presence.record_stream(membership, stream_state("x", on=True), NOW)
    membership = await find_membership(stores, BERT)
    assert membership.stream == stream_state(on=True)
    assert await stores.presence.record_stream(membership, stream_state(on=False), NOW)
    assert (await find_membership(stores, BERT)).stream == stream_state(on=False)


@gen_test
async def test_stream_of_another_live_is_not_recorded(stores: StoresFixture) -> None:
    await open_room(stores, BERT)
    other = replace(await find_membership(stores, BERT), epoch="e0")
    assert not await stores.presence.record_stream(other, stream_state(on=True), NOW)
    assert (await find_membership(stores, BERT)).stream is None


@gen_test
async def test_stream_end_makes_an_away_user_due_at_once(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await stores.presence.record_stream(
        await find_membership(stores, BERT), stream_state(on=True), NOW
    )
    await disconnect(stores, BERT, live_id)
    assert await stores.presence.claim(LATER + 5) is None
    await stores.presence.record_stream(
        await find_membership(stores, BERT), stream_state(on=False), LATER + 5
    )
    assert await stores.presence.claim(LATER + 5) == pending_absence(BERT, live_id)


@gen_test
async def test_stream_start_keeps_the_due_time(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await disconnect(stores, BERT, live_id)
    await stores.presence.record_stream(
        await find_membership(stores, BERT), stream_state(on=True), NOW
    )
    assert await member_fields(stores, BERT, "due_at") == (LATER + GRACE.viewer,)


@gen_test
async def test_leaving_the_seat_clears_the_stream(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await accept_user(stores, live_id, BERT)
    await stores.presence.record_stream(
        await find_membership(stores, BERT), stream_state(on=True), NOW
    )
    await change_room(
        stores, live_id, lambda room: room.leave_mic(BERT.user_id, BERT.user_id), BERT.user_id
    )
    assert (await find_membership(stores, BERT)).stream is None
    assert (await find_membership(stores, BERT)).role == "viewer"
