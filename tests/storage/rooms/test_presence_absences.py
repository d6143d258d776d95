"""Due absences: claimed, rescheduled and evaluated by the rules of the room, on a real MongoDB."""

import asyncio

import pytest

from core.clock import now_ms
from rooms.members import Person
from storage.rooms.presence import CLAIM_MS
from tests.support.room_builders import ANNA, BERT, CARL, GRACE, HOST, NOW
from tests.support.storage import StoresFixture
from tests.support.stored_members import (
    LATER,
    disconnect,
    find_membership,
    member_fields,
    pending_absence,
    register_socket,
    stream_state,
)
from tests.support.stored_rooms import accept_user, change_room, load_room, open_room, save_room

gen_test = pytest.mark.gen_test(timeout=60)


# ---- claims


@gen_test
async def test_due_member_is_claimed_by_one_process_at_a_time(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA)
    for person in (BERT, ANNA):
        await disconnect(stores, person, live_id)
    now = LATER + GRACE.viewer
    claims = await asyncio.gather(*(stores.presence.claim(now) for _ in range(6)))
    assert sorted(it.user_id for it in claims if it) == [BERT.user_id, ANNA.user_id]
    assert await stores.presence.claim(now + CLAIM_MS - 1) is None
    assert await stores.presence.claim(now + CLAIM_MS) is not None


@gen_test
async def test_earliest_due_member_is_claimed_first(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA, CARL)
    for person, at in ((BERT, LATER + 2), (ANNA, LATER), (CARL, LATER + 1)):
        await disconnect(stores, person, live_id, at)
    now = LATER + 2 + GRACE.viewer
    claims = [await stores.presence.claim(now) for _ in range(4)]
    assert [it and it.user_id for it in claims] == [ANNA.user_id, CARL.user_id, BERT.user_id, None]


@gen_test
async def test_claim_includes_whether_the_stream_is_on(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    assert await stores.presence.record_stream(
        await find_membership(stores, BERT), stream_state(on=True), NOW
    )
    await disconnect(stores, BERT, live_id)
    assert await stores.presence.claim(NOW + 10**9) == pending_absence(BERT, live_id, streams=True)


@gen_test
async def test_rescheduled_absence_is_claimed_at_its_new_time(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await disconnect(stores, BERT, live_id)
    claimed = await stores.presence.claim(NOW + 10**7)
    assert claimed is not None
    await stores.presence.reschedule(claimed, NOW + 10**8)
    assert await stores.presence.claim(NOW + 10**8 - 1) is None
    later = await stores.presence.claim(NOW + 10**8)
    assert later == claimed
    await stores.presence.reschedule(later, None)
    assert await stores.presence.claim(NOW + 10**9) is None
    assert await member_fields(stores, BERT, "away_at") == (LATER,)


@gen_test
async def test_reschedule_is_ignored_after_a_return_or_in_another_live(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, BERT)
    await disconnect(stores, BERT, live_id)
    await stores.presence.reschedule(pending_absence(BERT, live_id, epoch="e0"), NOW)
    assert await member_fields(stores, BERT, "due_at") == (LATER + GRACE.viewer,)
    await register_socket(stores, BERT, live_id)
    await stores.presence.reschedule(pending_absence(BERT, live_id), NOW)
    assert await stores.presence.claim(NOW + 10**9) is None


@gen_test
async def test_reschedule_does_not_affect_the_next_absence(stores: StoresFixture) -> None:
    """The user reconnects and disconnects again while the first absence is evaluated."""
    live_id = await open_room(stores, BERT)
    await disconnect(stores, BERT, live_id)
    now = LATER + GRACE.viewer
    claimed = await stores.presence.claim(now)
    assert claimed is not None
    await disconnect(stores, BERT, live_id, at=now + 1)
    for at in (None, now + 10**9):
        await stores.presence.reschedule(claimed, at)
        assert await member_fields(stores, BERT, "due_at") == (now + 1 + GRACE.viewer,)


@gen_test
async def test_delete_membership_deletes_only_the_given_live(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    for other in (
        pending_absence(BERT, live_id, epoch="e0"),
        pending_absence(BERT, live_id + 1),
        pending_absence(CARL, live_id),
    ):
        await stores.presence.delete_membership(other)
    assert await stores.members.get(BERT.user_id) is not None
    await stores.presence.delete_membership(pending_absence(BERT, live_id))
    assert await stores.members.get(BERT.user_id) is None


# ---- evaluation by the rules of the room


async def evaluate_absence(
    stores: StoresFixture, live_id: int, person: Person, now: int
) -> int | None:
    """Apply the absence at `now`; when it is due again."""
    room = await load_room(stores, live_id, person.user_id)
    due_at = room.apply_absence(person.user_id, now, GRACE, since=0, streams=False)
    if room.changed:
        await save_room(stores, room, now)
    return due_at


@gen_test
async def test_absent_guest_is_shown_away_then_loses_seat_and_membership(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, BERT)
    await accept_user(stores, live_id, BERT)
    await disconnect(stores, BERT, live_id)
    assert await evaluate_absence(stores, live_id, BERT, LATER + 3_000) == LATER + 45_000
    assert await evaluate_absence(stores, live_id, BERT, LATER + 45_000) == LATER + 60_000
    assert await evaluate_absence(stores, live_id, BERT, LATER + 60_000) is None
    assert await stores.members.get(BERT.user_id) is None
    log = await stores.rooms.log_since(live_id, "e1", 1)
    assert log is not None
    assert [event.type for event in log] == ["member_away", "micro_leave"]


@gen_test
async def test_late_evaluation_removes_seat_and_membership_in_one_write(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, BERT)
    await accept_user(stores, live_id, BERT)
    await disconnect(stores, BERT, live_id)
    assert await evaluate_absence(stores, live_id, BERT, LATER + 90_000) is None
    assert await stores.members.get(BERT.user_id) is None
    assert (await load_room(stores, live_id)).male is None


@gen_test
async def test_absent_host_pauses_and_then_ends_the_live(stores: StoresFixture) -> None:
    live_id = await open_room(stores)
    await disconnect(stores, HOST, live_id)
    assert await evaluate_absence(stores, live_id, HOST, LATER + 3_000) == LATER + 120_000
    assert (await load_room(stores, live_id)).status == "paused"
    assert [room.live_id for room in await stores.rooms.live()] == [live_id]
    assert await evaluate_absence(stores, live_id, HOST, LATER + 120_000) is None
    assert not (await load_room(stores, live_id)).live


# ---- room changes while away


@gen_test
async def test_role_change_makes_a_pending_absence_due_at_once(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await disconnect(stores, BERT, live_id, at=NOW + 10**15)  # not due for a long time
    await change_room(stores, live_id, lambda room: room.apply(BERT, NOW, 600), BERT.user_id)
    (due_at,) = await member_fields(stores, BERT, "due_at")
    assert 0 < due_at < NOW + 10**15
    await stores.database.collection("members").update_one(
        {"_id": BERT.user_id}, {"$set": {"due_at": NOW + 10**15}}
    )
    await accept_user(stores, live_id, BERT)
    assert 0 < (await member_fields(stores, BERT, "due_at"))[0] < NOW + 10**15


@pytest.mark.parametrize("change", ["apply", "accept"])
@gen_test
async def test_new_role_while_away_restarts_the_grace_period(
    stores: StoresFixture, change: str
) -> None:
    live_id = await open_room(stores, BERT)
    await disconnect(stores, BERT, live_id)
    before = now_ms()
    if change == "apply":
        await change_room(stores, live_id, lambda room: room.apply(BERT, NOW, 600), BERT.user_id)
    else:
        await accept_user(stores, live_id, BERT)
    away_at, due_at = await member_fields(stores, BERT, "away_at", "due_at")
    assert before <= away_at
    assert due_at == away_at
    assert await evaluate_absence(stores, live_id, BERT, away_at + 1) is not None
    assert (await find_membership(stores, BERT)).role == (
        "applied" if change == "apply" else "male"
    )


@gen_test
async def test_losing_the_seat_while_away_keeps_the_start_of_the_absence(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, BERT)
    await accept_user(stores, live_id, BERT)
    await disconnect(stores, BERT, live_id)
    await change_room(
        stores, live_id, lambda room: room.leave_mic(BERT.user_id, BERT.user_id), BERT.user_id
    )
    assert await member_fields(stores, BERT, "role", "away_at") == ("viewer", LATER)


@gen_test
async def test_connected_user_who_takes_a_seat_is_not_away(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await register_socket(stores, BERT, live_id)
    await accept_user(stores, live_id, BERT)
    assert await member_fields(stores, BERT, "role", "away_at") == ("male", None)


@gen_test
async def test_invitation_keeps_the_due_time(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await disconnect(stores, BERT, live_id)
    await change_room(
        stores, live_id, lambda room: room.invite(HOST.user_id, BERT, NOW, 60), BERT.user_id
    )
    assert await member_fields(stores, BERT, "due_at", "v") == (LATER + GRACE.viewer, 3)
