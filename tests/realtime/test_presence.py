from dataclasses import replace
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from realtime.presence import AT_ONCE, CLOCKS_MS
from rooms.keeper import now_ms
from rooms.people import Person
from rooms.presence import Connection, Patience
from rooms.refusals import NotYourRoom, TryAgain
from tests.realtime.ward import ANNA, BERT, HOST, Process, Ward

IMPATIENT = Patience(shown=0, viewer=0, guest=0, host=0)


def a_while_ago(gone: Connection, ms: int) -> Connection:
    return replace(gone, at=now_ms() - ms)


async def lose(process: Process, gone: Connection, ms: int) -> None:
    process.presence.part(a_while_ago(gone, ms))
    await process.presence.flush()


# ---- sockets


@pytest.mark.gen_test(timeout=20)
async def test_each_socket_of_somebody_has_a_higher_number(ward: Ward) -> None:
    await ward.enter(BERT)
    one, two = await ward.process("one"), await ward.process("two")
    numbers = [(await ward.connect(process, BERT)).number for process in (one, two, one)]
    assert numbers == sorted(set(numbers))
    assert (await ward.row(BERT))["process"] == "one"


@pytest.mark.gen_test(timeout=20)
async def test_whoever_is_no_member_has_no_socket(ward: Ward) -> None:
    presence = (await ward.process("one")).presence
    with pytest.raises(NotYourRoom):
        await presence.arrive(BERT.user_id, ward.live_id)
    await ward.enter(BERT)
    with pytest.raises(NotYourRoom):
        await presence.arrive(BERT.user_id, ward.live_id + 1)


@pytest.mark.gen_test(timeout=20)
async def test_the_end_of_an_older_socket_makes_nobody_away(ward: Ward) -> None:
    await ward.enter(BERT)
    one, two = await ward.process("one"), await ward.process("two")
    older, newer = await ward.connect(one, BERT), await ward.connect(two, BERT)
    await lose(one, older, 0)
    assert not await ward.is_away(BERT)
    await lose(two, newer, 0)
    assert await ward.is_away(BERT)


@pytest.mark.gen_test(timeout=20)
async def test_what_could_not_be_written_is_written_later_with_its_own_time(ward: Ward) -> None:
    await ward.enter(BERT, ANNA)
    process = await ward.process("one")
    bert, anna = await ward.connect(process, BERT), await ward.connect(process, ANNA)
    ward.places.away = True
    process.presence.part(replace(bert, at=1_000))
    for _ in range(3):
        with pytest.raises(AutoReconnect):
            await process.presence.flush()
    process.presence.part(replace(anna, at=2_000))
    ward.places.away = False
    await process.presence.flush()
    assert [(await ward.row(who))["away_at"] for who in (BERT, ANNA)] == [1_000, 2_000]
    await ward.connect(process, BERT)
    await process.presence.flush()
    assert not await ward.is_away(BERT), "and only once"


# ---- what comes of absences


@pytest.mark.gen_test(timeout=20)
async def test_a_hosts_blip_is_not_shown(ward: Ward) -> None:
    process = await ward.process("one")
    gone = await ward.connect(process, HOST)
    await lose(process, gone, 2_000)
    await process.presence.look_after()
    await ward.connect(process, HOST)
    await process.presence.look_after()
    assert process.ears.words == []


@pytest.mark.gen_test(timeout=20)
async def test_who_was_shown_away_is_shown_back(ward: Ward) -> None:
    await ward.seat(BERT)
    one, two = await ward.process("one"), await ward.process("two")
    gone = await ward.connect(one, BERT)
    await lose(one, gone, 5_000)
    await two.presence.look_after()
    assert two.ears.words == ["member_away"]
    await ward.connect(one, BERT)
    assert one.ears.words == ["member_back"]
    await two.presence.look_after()
    assert two.ears.words == ["member_away"], "and the story is over"


@pytest.mark.gen_test(timeout=20)
async def test_a_host_who_stays_away_pauses_and_then_ends_the_live(ward: Ward) -> None:
    process = await ward.process("one")
    gone = await ward.connect(process, HOST)
    await lose(process, gone, 10_000)
    await process.presence.look_after()
    assert process.ears.words == ["member_away", "live_pause"]
    await ward.set(HOST, away_at=now_ms() - 121_000, due_at=now_ms())
    await process.presence.look_after()
    assert process.ears.words[2:] == ["live_end"]
    assert process.ears.said[-1][1]["reason"] == "offline"


@pytest.mark.gen_test(timeout=20)
async def test_nobodys_patience_ends_while_nobody_could_have_come_back(ward: Ward) -> None:
    await ward.enter(BERT)
    process = await ward.process("one")
    gone = await ward.connect(process, BERT)
    await lose(process, gone, 3_600_000)
    process.held_for(1)
    await process.presence.look_after()
    assert await ward.is_away(BERT)
    assert (await ward.row(BERT))["due_at"] > now_ms() + 50_000
    process.held_for(61)
    await ward.set(BERT, due_at=now_ms())
    await process.presence.look_after()
    assert await ward.row(BERT) == {}


@pytest.mark.gen_test(timeout=120)
async def test_more_than_are_looked_after_at_once_may_be_due(ward: Ward) -> None:
    crowd = [Person(f"2{n:07d}", f"viewer {n}", "", n % 3) for n in range(3 * AT_ONCE)]
    process = await ward.process("one", patience=IMPATIENT)
    for person in crowd:
        await ward.enter(person)
        await lose(process, await ward.connect(process, person), 0)
    await ward.database.collection("members").update_many(
        {"role": "viewer"}, {"$set": {"due_at": 1}}
    )
    await process.presence.look_after()
    left = ward.database.collection("members").find({})
    assert [row["_id"] async for row in left] == [HOST.user_id]


@pytest.mark.gen_test(timeout=30)
async def test_one_whose_room_is_gone_does_not_keep_the_others_waiting(ward: Ward) -> None:
    await ward.enter(BERT, ANNA)
    process = await ward.process("one", patience=IMPATIENT)
    for person in (BERT, ANNA):
        await lose(process, await ward.connect(process, person), 0)
    await ward.set(BERT, live_id=999_999, due_at=1)
    await ward.set(ANNA, due_at=2)
    await process.presence.look_after()
    assert [await ward.row(person) for person in (BERT, ANNA)] == [{}, {}]


@pytest.mark.gen_test(timeout=20)
async def test_a_place_in_a_life_that_is_over_is_dropped(ward: Ward) -> None:
    await ward.enter(BERT)
    await ward.set(BERT, epoch="epoch-0", away_at=1, due_at=1)
    await (await ward.process("one")).presence.look_after()
    assert await ward.row(BERT) == {}


@pytest.mark.gen_test(timeout=20)
async def test_hours_without_a_sign_make_somebody_without_a_socket_away(ward: Ward) -> None:
    await ward.enter(BERT, ANNA)
    process = await ward.process("one")
    await ward.connect(process, ANNA)
    for person in (BERT, ANNA):
        await ward.set(person, seen_at=now_ms() - 3_700_000)
    await process.presence.miss_silent()
    assert (await ward.is_away(BERT), await ward.is_away(ANNA)) == (True, False)
    await process.presence.seen(BERT.user_id, ward.live_id)
    assert not await ward.is_away(BERT)


# ---- what Tencent tells: the answer says what came of it


@pytest.mark.gen_test(timeout=20)
async def test_im_speaks_for_people_without_a_socket(ward: Ward) -> None:
    await ward.seat(BERT)
    process = await ward.process("one", patience=replace(IMPATIENT, guest=45_000))
    heard, now = process.presence.heard_state, now_ms()
    assert await heard(BERT.user_id, online=False, at_ms=now) == "done"
    assert await ward.is_away(BERT)
    await ward.set(BERT, due_at=1)
    await process.presence.look_after()
    assert await heard(BERT.user_id, online=True, at_ms=now - 1) == "old_event"
    assert await ward.is_away(BERT)
    assert await heard(BERT.user_id, online=True, at_ms=now + 1) == "done"
    assert not await ward.is_away(BERT)
    assert process.ears.words == ["member_away", "member_back"]


@pytest.mark.gen_test(timeout=20)
async def test_what_im_says_of_a_time_before_somebody_came_in_makes_nobody_away(
    ward: Ward,
) -> None:
    await ward.enter(BERT)
    heard = (await ward.process("one")).presence.heard_state
    came_in = (await ward.row(BERT))["entered_at"]
    assert await heard(BERT.user_id, online=False, at_ms=came_in - CLOCKS_MS - 1) == "old_event"
    assert not await ward.is_away(BERT)
    assert await heard(BERT.user_id, online=False, at_ms=came_in - CLOCKS_MS) == "done"
    assert await ward.is_away(BERT)


@pytest.mark.gen_test(timeout=20)
async def test_whoever_leaves_the_group_of_another_room_is_not_away_from_this_one(
    ward: Ward,
) -> None:
    await ward.enter(BERT)
    heard = (await ward.process("one")).presence.heard_state
    _, group_id, _ = await ward.rooms.of_host(HOST)
    gone: dict[str, Any] = {"online": False, "at_ms": now_ms()}
    assert await heard(BERT.user_id, **gone, group_id="another") == "other_group"
    assert not await ward.is_away(BERT)
    assert await heard(BERT.user_id, **gone, group_id=group_id) == "done"
    assert await ward.is_away(BERT)


@pytest.mark.gen_test(timeout=20)
async def test_im_says_nothing_about_people_with_a_socket_or_in_no_room(ward: Ward) -> None:
    await ward.enter(BERT)
    process = await ward.process("one")
    await ward.connect(process, BERT)
    heard = process.presence.heard_state
    assert await heard(BERT.user_id, online=False, at_ms=1) == "has_a_socket"
    assert not await ward.is_away(BERT)
    assert await heard("99999999", online=False, at_ms=1) == "not_in_a_room"


@pytest.mark.gen_test(timeout=20)
async def test_the_end_of_a_push_makes_a_guest_without_a_socket_away(ward: Ward) -> None:
    await ward.seat(BERT)
    heard, stream = (await ward.process("one")).presence.heard_stream, f"{BERT.user_id}_s"
    assert await heard(stream, on=True, sequence="5", at_s=100) == "done"
    assert await heard(stream, on=False, sequence="5", at_s=101) == "done"
    assert await ward.is_away(BERT)
    assert await heard(stream, on=True, sequence="5", at_s=100) == "old_sequence"
    assert await ward.is_away(BERT)
    assert await heard(stream, on=True, sequence="6", at_s=102) == "done"
    assert not await ward.is_away(BERT)


@pytest.mark.gen_test(timeout=20)
async def test_a_push_that_is_not_the_seats_own_is_not_believed(ward: Ward) -> None:
    await ward.seat(BERT)
    await ward.enter(ANNA)
    heard = (await ward.process("one")).presence.heard_stream
    for stream in (f"{BERT.user_id}_old", f"{ANNA.user_id}_s", f"{HOST.user_id}_s"):
        answer = await heard(stream, on=False, sequence="1", at_s=1)
        assert answer == "not_the_current_stream"
    assert await heard("99999999_s", on=False, sequence="1", at_s=1) == "not_in_a_room"
    assert not await ward.is_away(BERT)


@pytest.mark.gen_test(timeout=20)
async def test_a_picture_lends_time_to_a_guest_whose_socket_is_gone(ward: Ward) -> None:
    await ward.seat(BERT)
    process = await ward.process("one")
    heard, stream = process.presence.heard_stream, f"{BERT.user_id}_s"
    gone = await ward.connect(process, BERT)
    assert await heard(stream, on=True, sequence="5", at_s=100) == "done"
    await lose(process, gone, 50_000)
    await process.presence.look_after()
    assert process.ears.words == ["member_away"], "45 s are over, 90 s are not"
    assert await heard(stream, on=False, sequence="5", at_s=101) == "done"
    await process.presence.look_after()
    assert process.ears.words == ["member_away", "micro_leave"]


@pytest.mark.gen_test(timeout=20)
async def test_a_place_that_others_write_all_the_time_is_given_up(ward: Ward) -> None:
    await ward.seat(BERT)
    ward.places.outrun = True
    heard = (await ward.process("one")).presence.heard_stream
    with pytest.raises(TryAgain):
        await heard(f"{BERT.user_id}_s", on=True, sequence="5", at_s=1)
