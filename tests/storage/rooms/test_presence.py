"""Reports on users, due absences, and leases of processes, on a real MongoDB."""

import asyncio
import uuid
from dataclasses import replace

from core.clock import now_ms
from rooms.members import ACTIVITY_INTERVAL_MS, is_known_present
from storage.rooms.presence import CLAIM_MS
from tests.support.room_builders import ANNA, BERT, CARL, DORA, GRACE, HOST, KIM, NOW
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import (
    LATER,
    OTHER_PROCESS,
    accept_user,
    change_room,
    disconnect,
    find_membership,
    load_room,
    member_fields,
    member_row,
    open_room,
    register_socket,
    stream_state,
)
from tests.support.waiting import until

TIMES = ("away_at", "due_at", "seen_at")


async def report(
    stores: StoresFixture, *, present: bool, now: int, reported_at: int | None = None
) -> bool:
    """A report on BERT, whose membership is read before."""
    membership = await find_membership(stores, BERT)
    return await stores.presence.record_report(
        membership, present=present, now=now, reported_at=reported_at
    )


# ---- signs of life


async def test_sign_of_life_ends_an_absence_without_a_lost_socket(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, CARL)
    assert await report(stores, present=False, now=LATER)
    assert await stores.presence.seen(BERT.user_id, LATER + 5)
    assert await member_fields(stores, BERT, *TIMES) == (None, None, LATER + 5)
    assert not await stores.presence.seen(BERT.user_id, LATER + 6)
    await disconnect(stores, CARL, live_id)
    assert not await stores.presence.seen(CARL.user_id, LATER + 9)
    times = (LATER + 9, LATER + 9 + GRACE.viewer, LATER + 9)
    assert await member_fields(stores, CARL, *TIMES) == times
    assert not await stores.presence.seen("unknown", NOW)


async def test_sign_of_life_of_a_known_present_user_writes_nothing(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA, CARL, DORA, KIM)
    await accept_user(stores, live_id, ANNA)
    await disconnect(stores, ANNA, live_id)
    await register_socket(stores, ANNA, live_id)
    await disconnect(stores, CARL, live_id)
    await accept_user(stores, live_id, CARL)
    await register_socket(stores, DORA, live_id, OTHER_PROCESS)
    await stores.presence.mark_members_away(OTHER_PROCESS, LATER)
    kim = await find_membership(stores, KIM)
    assert await stores.presence.record_report(kim, present=False, now=LATER)
    for person, silent_ms, is_present in (
        (BERT, ACTIVITY_INTERVAL_MS, True),
        (BERT, ACTIVITY_INTERVAL_MS + 1, False),
        (ANNA, 10**9, True),
        (CARL, 0, False),
        (DORA, 0, False),
        (KIM, 0, False),
    ):
        before = await member_row(stores, person)
        member = (await load_room(stores, live_id, person.user_id)).members[person.user_id]
        assert is_known_present(member, NOW + silent_ms) == is_present
        await stores.presence.seen(person.user_id, NOW + silent_ms)
        assert (await member_row(stores, person) == before) == is_present, person


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
    others = [(await member_fields(stores, person, "away_at"))[0] for person in (ANNA, CARL, DORA)]
    assert others == [None, NOW + 7, None]


# ---- reports on users


async def test_newer_report_marks_a_user_without_socket_away_or_back(stores: StoresFixture) -> None:
    await open_room(stores, BERT)
    names = (*TIMES, "reported_at", "version")
    assert await report(stores, present=False, now=LATER, reported_at=500)
    away = (LATER, LATER + GRACE.viewer, LATER, 500, 1)
    assert await member_fields(stores, BERT, *names) == away
    for reported_at in (499, 500):
        assert not await report(stores, present=True, now=LATER + 1, reported_at=reported_at)
    assert await member_fields(stores, BERT, *names) == away
    assert await report(stores, present=False, now=LATER + 5), "without a time"
    again = (LATER, LATER + GRACE.viewer, LATER + 5, 500, 2)
    assert await member_fields(stores, BERT, *names) == again, "the grace period does not restart"
    assert await report(stores, present=True, now=LATER + 9, reported_at=501)
    assert await member_fields(stores, BERT, *names) == (None, None, LATER + 9, 501, 3)


async def test_report_on_a_connected_user_is_ignored(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    present = await find_membership(stores, BERT)
    await register_socket(stores, BERT, live_id)
    assert not await stores.presence.record_report(present, present=False, now=LATER)
    assert await member_fields(stores, BERT, "away_at") == (None,)


async def test_what_concerns_another_live_session_changes_nothing(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    member = await find_membership(stores, BERT)
    others = (
        replace(member, live_id=live_id + 1),
        replace(member, epoch="e0"),
        replace(member, user_id=CARL.user_id),
    )
    for other in others:
        assert not await stores.presence.record_report(other, present=False, now=LATER)
        assert not await stores.presence.record_stream(other, stream_state(on=True), NOW)
        await stores.presence.reschedule(other, NOW)
        await stores.presence.delete_membership(other)
    assert await find_membership(stores, BERT) == member
    await stores.presence.delete_membership(member)
    assert await stores.members.get(BERT.user_id) is None


# ---- reports on streams


async def test_stream_is_recorded_by_compare_and_swap(stores: StoresFixture) -> None:
    await open_room(stores, BERT)
    membership = await find_membership(stores, BERT)
    on, off = stream_state(on=True), stream_state(on=False)
    assert await stores.presence.record_stream(membership, on, NOW)
    assert not await stores.presence.record_stream(membership, stream_state("x", on=True), NOW)
    membership = await find_membership(stores, BERT)
    assert membership.stream == on
    assert await stores.presence.record_stream(membership, off, NOW)
    assert (await find_membership(stores, BERT)).stream == off


async def test_end_of_a_stream_makes_an_away_user_due_at_once(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await disconnect(stores, BERT, live_id)
    on, off = stream_state(on=True), stream_state(on=False)
    assert await stores.presence.record_stream(await find_membership(stores, BERT), on, NOW)
    due_at = LATER + GRACE.viewer
    assert await stores.presence.claim(due_at - 1) is None
    claimed = await stores.presence.claim(due_at)
    assert claimed is not None
    assert claimed.stream == on
    assert await stores.presence.record_stream(await find_membership(stores, BERT), off, LATER)
    assert await claim_id(stores, LATER) == BERT.user_id


async def claim_id(stores: StoresFixture, now: int) -> str | None:
    """The user whose absence is claimed."""
    member = await stores.presence.claim(now)
    return member and member.user_id


async def test_member_that_is_due_the_longest_is_claimed_once(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA, CARL)
    for person, at in ((BERT, LATER + 2), (ANNA, LATER), (CARL, LATER + 3)):
        await disconnect(stores, person, live_id, at)
    now = LATER + 2 + GRACE.viewer
    assert await claim_id(stores, now) == ANNA.user_id
    claims = await asyncio.gather(*(claim_id(stores, now) for _ in range(6)))
    assert [*filter(None, claims)] == [BERT.user_id]
    assert await claim_id(stores, now + CLAIM_MS - 1) == CARL.user_id
    assert await claim_id(stores, now + CLAIM_MS - 1) is None
    assert await claim_id(stores, now + CLAIM_MS) is not None, "both claims have lapsed"


async def test_claim_is_rescheduled_unless_the_member_has_returned(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await disconnect(stores, BERT, live_id)
    now = LATER + GRACE.viewer
    claimed = await stores.presence.claim(now)
    assert claimed is not None
    assert claimed.due_at == now + CLAIM_MS
    await stores.presence.reschedule(claimed, now + 10**8)
    assert await stores.presence.claim(now + 10**8 - 1) is None
    later = await stores.presence.claim(now + 10**8)
    assert later is not None
    await stores.presence.reschedule(later, None)
    assert await member_fields(stores, BERT, "away_at", "due_at") == (LATER, None)
    await disconnect(stores, BERT, live_id, at=now)  # the member was connected in between
    for at in (None, now + 10**9):
        await stores.presence.reschedule(later, at)
        assert await member_fields(stores, BERT, "due_at") == (now + GRACE.viewer,)


# ---- room changes while away


async def test_a_role_taken_while_away_restarts_the_grace_period(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA, CARL)
    for person in (BERT, ANNA):
        await disconnect(stores, person, live_id)
    await register_socket(stores, CARL, live_id)
    before = now_ms()
    await change_room(stores, live_id, lambda room: room.apply(BERT, NOW), BERT.user_id)
    await accept_user(stores, live_id, ANNA)
    for person, role in ((BERT, "applied"), (ANNA, "female")):
        names = ("role", "away_at", "due_at")
        role_stored, away_at, due_at = await member_fields(stores, person, *names)
        assert role_stored == role
        assert before <= away_at == due_at
    await accept_user(stores, live_id, CARL)
    assert await member_fields(stores, CARL, "role", "away_at") == ("male", None)


async def test_absence_is_kept_when_a_role_is_lost_or_offered(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, DORA)
    await accept_user(stores, live_id, BERT)
    on = stream_state(on=True)
    assert await stores.presence.record_stream(await find_membership(stores, BERT), on, NOW)
    for person in (BERT, DORA):
        await disconnect(stores, person, live_id, at=now_ms() + 10**9)
    away_at, due_at = await member_fields(stores, BERT, "away_at", "due_at")
    await change_room(stores, live_id, lambda r: r.leave_mic(BERT, BERT.user_id))
    names = ("role", "away_at", "stream")
    assert await member_fields(stores, BERT, *names) == ("viewer", away_at, None)
    assert (await member_fields(stores, BERT, "due_at"))[0] <= now_ms() < due_at
    before = await member_fields(stores, DORA, "role", "due_at")
    await change_room(
        stores, live_id, lambda room: room.invite(HOST.user_id, DORA, NOW), DORA.user_id
    )
    assert await member_fields(stores, DORA, "role", "due_at") == before


# ---- leases of processes


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
