"""Whose connection stands, on a real MongoDB: sockets, absences, streams, processes."""

import asyncio
import uuid
from typing import Any

import pytest

from rooms.keeper import Raced, now_ms
from rooms.people import Person
from rooms.presence import Connection, Due, Place, Standing
from storage.presence import CLAIM_MS, SEEN_MS
from tests.handlers.waiting import until
from tests.rooms.cast import ANNA, BERT, CARL, DORA, HOST, NOW, PATIENCE
from tests.storage.conftest import House
from tests.storage.test_rooms import change, load, opened, save

gen_test = pytest.mark.gen_test(timeout=60)
ONE, TWO = "process-1", "process-2"
LONG = 3_600.0
LATER = NOW + 1_000


async def row(house: House, person: Person) -> dict[str, Any]:
    found = await house.database.collection("members").find_one({"_id": person.user_id})
    assert found is not None
    return found


async def picked(house: House, person: Person, *names: str) -> tuple[Any, ...]:
    """These fields of a place as it is stored."""
    found = await row(house, person)
    return tuple(found.get(name) for name in names)


async def arrive(
    house: House, person: Person, live_id: int, process: str = ONE, now: int = NOW
) -> Connection:
    arrival = await house.presences.arrive(person.user_id, live_id, process, now)
    assert arrival is not None
    return Connection(person.user_id, live_id, arrival.epoch, arrival.number)


def closed(socket: Connection, at: int = LATER) -> Connection:
    return Connection(socket.user_id, socket.live_id, socket.epoch, socket.number, at)


async def gone(house: House, person: Person, live_id: int, at: int = LATER) -> None:
    """Their only socket has come and gone."""
    await house.presences.part([closed(await arrive(house, person, live_id), at)])


async def sit(house: House, live_id: int, person: Person) -> None:
    await change(house, live_id, lambda room: room.accept(person, "open", "s", ""), person.user_id)


def due(person: Person, live_id: int, *, streams: bool = False, epoch: str = "e1") -> Due:
    return Due(person.user_id, live_id, epoch, streams)


async def place(house: House, person: Person) -> Place:
    found = await house.presences.find(person.user_id)
    assert found is not None
    return found


async def database_ms(house: House) -> int:
    return int((await house.database.now()).timestamp() * 1000)


def stream(name: str = "s", *, on: bool) -> dict[str, Any]:
    return {"name": name, "sequence": "7", "at": NOW // 1000, "on": on, "ended": []}


# ---- sockets


@gen_test
async def test_a_place_as_it_is_taken_has_no_socket_and_nothing_is_due(house: House) -> None:
    await opened(house, BERT)
    names = ("process", "socket", "away_at", "due_at", "stream", "seen_at")
    assert await picked(house, BERT, *names) == (None, 0, None, None, None, NOW)
    assert await house.presences.claim(NOW + 10**9) is None


@gen_test
async def test_the_numbers_of_somebodys_sockets_grow(house: House) -> None:
    live_id = await opened(house, BERT)
    processes = (ONE, TWO, ONE)
    numbers = [(await arrive(house, BERT, live_id, process)).number for process in processes]
    assert numbers == sorted(set(numbers))
    names = ("process", "socket", "away_at", "due_at", "v")
    assert await picked(house, BERT, *names) == (ONE, numbers[-1], None, None, 3)


@gen_test
async def test_a_number_is_no_lower_than_the_databases_time(house: House) -> None:
    live_id = await opened(house, BERT)
    before = await database_ms(house)
    number = (await arrive(house, BERT, live_id)).number
    assert before <= number <= await database_ms(house)


@gen_test
async def test_a_number_is_higher_than_the_last_whatever_the_database_takes_the_time_for(
    house: House,
) -> None:
    live_id = await opened(house, BERT)
    ahead = await database_ms(house) + 3_600_000
    await house.database.collection("members").update_one(
        {"_id": BERT.user_id}, {"$set": {"socket": ahead}}
    )
    assert (await arrive(house, BERT, live_id)).number == ahead + 1


@gen_test
async def test_numbers_do_not_begin_anew_when_somebody_has_left_and_come_back(
    house: House,
) -> None:
    """Else the end of the old socket would be taken for that of the new one."""
    live_id = await opened(house, BERT)
    old = await arrive(house, BERT, live_id)
    for _ in range(3):
        await change(house, live_id, lambda room: room.leave(BERT.user_id), BERT.user_id)
        await change(house, live_id, lambda room: room.enter(BERT, NOW), BERT.user_id)
        new = await arrive(house, BERT, live_id)
        assert new.number > old.number
        await house.presences.part([closed(old)])
        assert await picked(house, BERT, "process", "away_at") == (ONE, None)
        old = new


@gen_test
async def test_sockets_that_open_at_once_get_different_numbers(house: House) -> None:
    live_id = await opened(house, BERT)
    sockets = await asyncio.gather(*(arrive(house, BERT, live_id) for _ in range(8)))
    assert len({socket.number for socket in sockets}) == 8


@gen_test
async def test_whoever_has_no_place_in_this_room_gets_no_number(house: House) -> None:
    live_id = await opened(house, BERT)
    before = await row(house, BERT)
    for user_id, room in ((CARL.user_id, live_id), (BERT.user_id, live_id + 1)):
        assert await house.presences.arrive(user_id, room, ONE, LATER) is None
    assert await row(house, BERT) == before
    assert await house.members.get(CARL.user_id) is None


@gen_test
async def test_one_whose_socket_has_closed_is_away_since_then(house: House) -> None:
    live_id = await opened(house, BERT)
    await gone(house, BERT, live_id)
    assert await picked(house, BERT, "process", "away_at", "v") == (None, LATER, 2)
    member = await house.members.get(BERT.user_id)
    assert member is not None
    assert member.away_at == LATER


@pytest.mark.parametrize(
    ("person", "first"),
    [
        (HOST, PATIENCE.shown),
        (BERT, PATIENCE.shown),
        (ANNA, PATIENCE.viewer),
        (CARL, PATIENCE.viewer),
    ],
    ids=["host", "guest", "applicant", "viewer"],
)
@gen_test
async def test_when_something_first_comes_of_an_absence_is_for_the_role_to_say(
    house: House, person: Person, first: int
) -> None:
    live_id = await opened(house, BERT, ANNA, CARL)
    await sit(house, live_id, BERT)
    await change(house, live_id, lambda room: room.apply(ANNA, NOW, 600), ANNA.user_id)
    await house.database.collection("members").update_many({}, {"$set": {"due_at": None}})
    await gone(house, person, live_id)
    assert await house.presences.claim(LATER + first - 1) is None
    assert await house.presences.claim(LATER + first) == due(person, live_id)


@gen_test
async def test_the_end_of_an_older_socket_does_nothing(house: House) -> None:
    live_id = await opened(house, BERT)
    old, new = await arrive(house, BERT, live_id), await arrive(house, BERT, live_id, TWO)
    before = await row(house, BERT)
    await house.presences.part([closed(old)])
    assert await row(house, BERT) == before
    await house.presences.part([closed(new)])
    assert await picked(house, BERT, "process", "away_at") == (None, LATER)


@gen_test
async def test_a_newer_socket_brings_back_whoever_was_away(house: House) -> None:
    live_id = await opened(house, BERT)
    first = await arrive(house, BERT, live_id)
    await house.presences.part([closed(first)])
    socket = await arrive(house, BERT, live_id, TWO, LATER + 5)
    assert socket.number > first.number
    names = ("process", "away_at", "due_at", "seen_at")
    assert await picked(house, BERT, *names) == (TWO, None, None, LATER + 5)
    assert await house.presences.claim(NOW + 10**9) is None


@gen_test
async def test_many_sockets_part_in_one_word_and_each_for_itself(house: House) -> None:
    live_id = await opened(house, BERT, ANNA, CARL)
    berts, annas = await arrive(house, BERT, live_id), await arrive(house, ANNA, live_id)
    await arrive(house, BERT, live_id)
    carls = await arrive(house, CARL, live_id)
    await house.presences.part(
        [closed(it, LATER + n) for n, it in enumerate([berts, annas, carls])]
    )
    times = [(await picked(house, who, "away_at"))[0] for who in (BERT, ANNA, CARL)]
    assert times == [None, LATER + 1, LATER + 2]
    await house.presences.part([])


@gen_test
async def test_a_socket_of_an_older_life_parts_from_nobody(house: House) -> None:
    live_id = await opened(house, BERT)
    socket = await arrive(house, BERT, live_id)
    await change(house, live_id, lambda room: room.close("host"))
    await opened(house, BERT, epoch="e2")
    assert (await arrive(house, BERT, live_id)).epoch == "e2"
    await house.presences.part([closed(socket)])
    assert await picked(house, BERT, "process", "away_at") == (ONE, None)


@gen_test
async def test_a_change_that_did_not_see_the_connection_come_or_go_loses(house: House) -> None:
    """Nobody is shown away who has come back in this instant."""
    live_id = await opened(house, BERT)
    await sit(house, live_id, BERT)
    await gone(house, BERT, live_id)
    room = await load(house, live_id, BERT.user_id)
    room.miss(BERT.user_id, LATER + 3_000, PATIENCE, since=0, streams=False)
    assert [event.type for event in room.events] == ["member_away"]
    await arrive(house, BERT, live_id)
    with pytest.raises(Raced):
        await save(house, room)
    again = await load(house, live_id, BERT.user_id)
    assert again.male is not None
    assert not again.male.away


@gen_test
async def test_sockets_that_stand_say_so_to_whoever_took_their_process_for_dead(
    house: House,
) -> None:
    live_id = await opened(house, BERT, ANNA, CARL)
    berts, annas = await arrive(house, BERT, live_id), await arrive(house, ANNA, live_id)
    await arrive(house, ANNA, live_id, TWO)  # a newer one, elsewhere
    await house.presences.bury(ONE, LATER)
    assert await picked(house, BERT, "process", "away_at") == (None, LATER)
    v = (await row(house, BERT))["v"]
    await house.presences.stamp([berts, annas], ONE, LATER + 5)
    names = ("process", "away_at", "due_at", "v")
    assert await picked(house, BERT, *names) == (ONE, None, None, v + 1)
    assert await picked(house, ANNA, "process") == (TWO,)
    await house.presences.stamp([], ONE, LATER)


@gen_test
async def test_where_somebodys_newest_socket_stands(house: House) -> None:
    live_id = await opened(house, BERT, ANNA)
    await arrive(house, BERT, live_id)
    newest = await arrive(house, BERT, live_id, TWO)
    asked = await house.presences.standing([BERT.user_id, ANNA.user_id, "nobody"])
    assert asked == {
        BERT.user_id: Standing(live_id, "e1", newest.number, TWO),
        ANNA.user_id: Standing(live_id, "e1", 0, None),
    }
    assert await house.presences.standing([]) == {}


@gen_test
async def test_who_is_on_mic_through_a_process(house: House) -> None:
    live_id = await opened(house, BERT, ANNA, CARL)
    await sit(house, live_id, BERT)
    await sit(house, live_id, ANNA)
    for person, process in ((HOST, ONE), (BERT, ONE), (CARL, ONE), (ANNA, TWO)):
        await arrive(house, person, live_id, process)
    assert sorted(await house.presences.on_mic(ONE)) == [HOST.user_id, BERT.user_id]
    assert await house.presences.on_mic("process-3") == []


@gen_test
async def test_whom_a_process_serves_by_what_is_written(house: House) -> None:
    live_id = await opened(house, BERT, ANNA, CARL)
    berts = await arrive(house, BERT, live_id)
    await arrive(house, ANNA, live_id, TWO)
    await gone(house, CARL, live_id)
    assert await house.presences.served(ONE) == [berts]
    assert await house.presences.served("process-3") == []


@pytest.mark.parametrize("how", ["arrive", "stamp", "hear", "seen"])
@gen_test
async def test_whoever_is_on_mic_and_here_again_is_looked_at_at_once(
    house: House, how: str
) -> None:
    """The room may have been told that they are away, and must not be left with it."""
    live_id = await opened(house, BERT)
    await sit(house, live_id, BERT)
    socket = await arrive(house, BERT, live_id)
    shown = {"away_at": NOW, "due_at": None, "process": None}
    if how in ("hear", "seen"):
        shown["socket"] = 0  # who has one is not heard of
    await house.database.collection("members").update_one({"_id": BERT.user_id}, {"$set": shown})
    away = await place(house, BERT)
    match how:
        case "arrive":
            await arrive(house, BERT, live_id, now=LATER)
        case "stamp":
            await house.presences.stamp([socket], ONE, LATER)
        case "hear":
            assert await house.presences.hear(BERT.user_id, away, here=True, now=LATER)
        case "seen":
            assert await house.presences.seen(BERT.user_id, LATER)
    assert await picked(house, BERT, "away_at", "due_at") == (None, LATER)
    assert await house.presences.claim(LATER) == due(BERT, live_id)


# ---- signs of life without a socket


@gen_test
async def test_whoever_never_had_a_socket_and_was_away_is_back(house: House) -> None:
    await opened(house, BERT)
    await house.presences.hear(BERT.user_id, await place(house, BERT), here=False, now=LATER)
    assert await house.presences.seen(BERT.user_id, LATER + 5)
    names = ("away_at", "due_at", "seen_at")
    assert await picked(house, BERT, *names) == (None, None, LATER + 5)
    assert not await house.presences.seen(BERT.user_id, LATER + 6)


@gen_test
async def test_whoever_lost_a_socket_has_their_time_anew_and_is_still_away(house: House) -> None:
    live_id = await opened(house, BERT)
    await gone(house, BERT, live_id)
    assert not await house.presences.seen(BERT.user_id, LATER + 50_000)
    again = LATER + 50_000
    assert await picked(house, BERT, "away_at", "due_at", "seen_at") == (
        again,
        again + PATIENCE.viewer,
        again,
    )


@gen_test
async def test_a_sign_of_life_of_somebody_connected_writes_nothing(house: House) -> None:
    live_id = await opened(house, BERT)
    await arrive(house, BERT, live_id)
    before = await row(house, BERT)
    assert not await house.presences.seen(BERT.user_id, NOW + 10**9)
    assert await row(house, BERT) == before
    assert not await house.presences.seen("nobody", NOW)


@gen_test
async def test_signs_of_life_close_to_each_other_are_one(house: House) -> None:
    await opened(house, BERT)
    before = await row(house, BERT)
    assert not await house.presences.seen(BERT.user_id, NOW + SEEN_MS)
    assert await row(house, BERT) == before
    assert not await house.presences.seen(BERT.user_id, NOW + SEEN_MS + 1)
    assert await picked(house, BERT, "seen_at", "away_at") == (NOW + SEEN_MS + 1, None)


@gen_test
async def test_whoever_was_silent_for_too_long_without_a_socket_is_away(house: House) -> None:
    live_id = await opened(house, BERT, ANNA, CARL, DORA)
    await arrive(house, ANNA, live_id)
    await gone(house, CARL, live_id, at=NOW + 7)
    await house.presences.seen(DORA.user_id, NOW + SEEN_MS + 1)
    await house.presences.miss_silent(NOW - 1, LATER)
    assert await picked(house, BERT, "away_at") == (None,)
    await house.presences.miss_silent(NOW, LATER)
    assert await picked(house, BERT, "away_at", "due_at") == (LATER, LATER + PATIENCE.viewer)
    assert await picked(house, HOST, "away_at", "due_at") == (LATER, LATER + PATIENCE.shown)
    assert await picked(house, ANNA, "away_at") == (None,)
    assert await picked(house, CARL, "away_at") == (NOW + 7,)
    assert await picked(house, DORA, "away_at") == (None,)


# ---- what is due


@gen_test
async def test_whoever_is_due_is_one_processs_business_for_a_while(house: House) -> None:
    live_id = await opened(house, BERT, ANNA)
    for person in (BERT, ANNA):
        await gone(house, person, live_id)
    now = LATER + PATIENCE.viewer
    found = await asyncio.gather(*(house.presences.claim(now) for _ in range(6)))
    assert sorted(it.user_id for it in found if it) == [BERT.user_id, ANNA.user_id]
    assert await house.presences.claim(now + CLAIM_MS - 1) is None
    assert await house.presences.claim(now + CLAIM_MS) is not None


@gen_test
async def test_the_first_who_is_due_is_claimed_first(house: House) -> None:
    live_id = await opened(house, BERT, ANNA, CARL)
    for person, at in ((BERT, LATER + 2), (ANNA, LATER), (CARL, LATER + 1)):
        await gone(house, person, live_id, at)
    now = LATER + 2 + PATIENCE.viewer
    order = [await house.presences.claim(now) for _ in range(4)]
    assert [it and it.user_id for it in order] == [ANNA.user_id, CARL.user_id, BERT.user_id, None]


@gen_test
async def test_a_claim_says_whether_the_picture_still_arrives(house: House) -> None:
    live_id = await opened(house, BERT)
    assert await house.presences.note_stream(
        BERT.user_id, await place(house, BERT), stream(on=True), NOW
    )
    await gone(house, BERT, live_id)
    assert await house.presences.claim(NOW + 10**9) == due(BERT, live_id, streams=True)


@gen_test
async def test_somebody_is_looked_at_again_when_that_is_said(house: House) -> None:
    live_id = await opened(house, BERT)
    await gone(house, BERT, live_id)
    claimed = await house.presences.claim(NOW + 10**7)
    assert claimed is not None
    await house.presences.again(claimed, NOW + 10**8)
    assert await house.presences.claim(NOW + 10**8 - 1) is None
    later = await house.presences.claim(NOW + 10**8)
    assert later == claimed
    await house.presences.again(later, None)
    assert await house.presences.claim(NOW + 10**9) is None
    assert await picked(house, BERT, "away_at") == (LATER,)


@gen_test
async def test_nobody_is_looked_at_again_who_has_come_back_or_into_another_life(
    house: House,
) -> None:
    live_id = await opened(house, BERT)
    await gone(house, BERT, live_id)
    await house.presences.again(due(BERT, live_id, epoch="e0"), NOW)
    assert await picked(house, BERT, "due_at") == (LATER + PATIENCE.viewer,)
    await arrive(house, BERT, live_id)
    await house.presences.again(due(BERT, live_id), NOW)
    assert await house.presences.claim(NOW + 10**9) is None


@gen_test
async def test_what_is_said_of_an_absence_is_not_said_of_the_next_one(house: House) -> None:
    """They came back and went again while the first absence was looked at."""
    live_id = await opened(house, BERT)
    await gone(house, BERT, live_id)
    now = LATER + PATIENCE.viewer
    claimed = await house.presences.claim(now)
    assert claimed is not None
    await gone(house, BERT, live_id, at=now + 1)
    for at in (None, now + 10**9):
        await house.presences.again(claimed, at)
        assert await picked(house, BERT, "due_at") == (now + 1 + PATIENCE.viewer,)


@gen_test
async def test_a_place_in_a_life_that_is_over_is_dropped_and_no_other(house: House) -> None:
    live_id = await opened(house, BERT)
    for other in (due(BERT, live_id, epoch="e0"), due(BERT, live_id + 1), due(CARL, live_id)):
        await house.presences.drop(other)
    assert await house.members.get(BERT.user_id) is not None
    await house.presences.drop(due(BERT, live_id))
    assert await house.members.get(BERT.user_id) is None


@gen_test
async def test_a_new_role_is_looked_at_at_once_when_something_was_due(house: House) -> None:
    live_id = await opened(house, BERT)
    await gone(house, BERT, live_id, at=NOW + 10**15)  # due in the far future
    await change(house, live_id, lambda room: room.apply(BERT, NOW, 600), BERT.user_id)
    (due_at,) = await picked(house, BERT, "due_at")
    assert 0 < due_at < NOW + 10**15
    await house.database.collection("members").update_one(
        {"_id": BERT.user_id}, {"$set": {"due_at": NOW + 10**15}}
    )
    await sit(house, live_id, BERT)
    assert 0 < (await picked(house, BERT, "due_at"))[0] < NOW + 10**15


@pytest.mark.parametrize("step", ["apply", "sit"])
@gen_test
async def test_whoever_applies_or_sits_down_while_away_has_their_time_anew(
    house: House, step: str
) -> None:
    live_id = await opened(house, BERT)
    await gone(house, BERT, live_id)
    before = now_ms()
    if step == "apply":
        await change(house, live_id, lambda room: room.apply(BERT, NOW, 600), BERT.user_id)
    else:
        await sit(house, live_id, BERT)
    away_at, due_at = await picked(house, BERT, "away_at", "due_at")
    assert before <= away_at
    assert due_at == away_at
    assert await look_after(house, live_id, BERT, away_at + 1) is not None
    assert (await place(house, BERT)).role == ("applied" if step == "apply" else "male")


@gen_test
async def test_whoever_loses_the_seat_while_away_has_no_time_anew(house: House) -> None:
    live_id = await opened(house, BERT)
    await sit(house, live_id, BERT)
    await gone(house, BERT, live_id)
    await change(
        house, live_id, lambda room: room.leave_micro(BERT.user_id, BERT.user_id), BERT.user_id
    )
    assert await picked(house, BERT, "role", "away_at") == ("viewer", LATER)


@gen_test
async def test_whoever_is_here_and_sits_down_is_not_away(house: House) -> None:
    live_id = await opened(house, BERT)
    await arrive(house, BERT, live_id)
    await sit(house, live_id, BERT)
    assert await picked(house, BERT, "role", "away_at") == ("male", None)


@gen_test
async def test_a_new_seat_knows_nothing_of_an_earlier_stream(house: House) -> None:
    live_id = await opened(house, BERT)
    await sit(house, live_id, BERT)
    await house.presences.note_stream(BERT.user_id, await place(house, BERT), stream(on=True), NOW)
    await change(house, live_id, lambda room: room.leave_micro(BERT.user_id, BERT.user_id),
                 BERT.user_id)  # fmt: skip
    assert (await place(house, BERT)).stream is None
    assert (await place(house, BERT)).role == "viewer"


@gen_test
async def test_an_invitation_leaves_stream_and_time_as_they_were(house: House) -> None:
    live_id = await opened(house, BERT)
    await gone(house, BERT, live_id)
    await change(
        house, live_id, lambda room: room.invite(HOST.user_id, BERT, NOW, 60), BERT.user_id
    )
    assert await picked(house, BERT, "due_at", "v") == (LATER + PATIENCE.viewer, 3)


# ---- from the absence to the end of it, by the rules


async def look_after(house: House, live_id: int, person: Person, now: int) -> int | None:
    room = await load(house, live_id, person.user_id)
    again = room.miss(person.user_id, now, PATIENCE, since=0, streams=False)
    if room.changed:
        await save(house, room, now)
    return again


@gen_test
async def test_a_guest_who_stays_away_is_shown_loses_the_seat_and_is_gone(house: House) -> None:
    live_id = await opened(house, BERT)
    await sit(house, live_id, BERT)
    await gone(house, BERT, live_id)
    assert await look_after(house, live_id, BERT, LATER + 3_000) == LATER + 45_000
    assert await look_after(house, live_id, BERT, LATER + 45_000) == LATER + 60_000
    assert await look_after(house, live_id, BERT, LATER + 60_000) is None
    assert await house.members.get(BERT.user_id) is None
    log = await house.rooms.log_since(live_id, "e1", 1)
    assert log is not None
    assert [event.type for event in log] == ["member_away", "micro_leave"]


@gen_test
async def test_a_guest_who_is_looked_at_late_loses_seat_and_place_in_one_write(
    house: House,
) -> None:
    live_id = await opened(house, BERT)
    await sit(house, live_id, BERT)
    await gone(house, BERT, live_id)
    assert await look_after(house, live_id, BERT, LATER + 90_000) is None
    assert await house.members.get(BERT.user_id) is None
    assert (await load(house, live_id)).male is None


@gen_test
async def test_a_host_who_stays_away_ends_the_live(house: House) -> None:
    live_id = await opened(house)
    await gone(house, HOST, live_id)
    assert await look_after(house, live_id, HOST, LATER + 3_000) == LATER + 120_000
    assert (await load(house, live_id)).status == "paused"
    assert [room.live_id for room in await house.rooms.live()] == [live_id]
    assert await look_after(house, live_id, HOST, LATER + 120_000) is None
    assert not (await load(house, live_id)).live


# ---- what Tencent says


@gen_test
async def test_a_place_as_callbacks_find_it(house: House) -> None:
    live_id = await opened(house, BERT)
    assert await place(house, BERT) == Place(live_id, "e1", "viewer", False, False, NOW, None)
    socket = await arrive(house, BERT, live_id)
    assert (await place(house, BERT)).served
    await house.presences.part([closed(socket)])
    assert await place(house, BERT) == Place(live_id, "e1", "viewer", True, True, NOW, None)
    assert await house.presences.find("nobody") is None


@gen_test
async def test_somebody_without_a_socket_is_heard_to_go_and_to_come_back(house: House) -> None:
    await opened(house, BERT)
    here = await place(house, BERT)
    assert await house.presences.hear(BERT.user_id, here, here=False, now=LATER, said_at=500)
    names = ("away_at", "due_at", "seen_at", "heard_at", "v")
    assert await picked(house, BERT, *names) == (
        *(LATER, LATER + PATIENCE.viewer, LATER),
        *(500, 1),
    )
    away = await place(house, BERT)
    assert away.away
    assert await house.presences.hear(BERT.user_id, away, here=True, now=LATER + 9, said_at=501)
    assert await picked(house, BERT, *names) == (None, None, LATER + 9, 501, 2)


@gen_test
async def test_what_was_said_earlier_than_something_heard_changes_nothing(house: House) -> None:
    await opened(house, BERT)
    here = await place(house, BERT)
    assert await house.presences.hear(BERT.user_id, here, here=True, now=NOW, said_at=500)
    before = await row(house, BERT)
    for said_at in (499, 500):
        assert not await house.presences.hear(
            BERT.user_id, here, here=False, now=LATER, said_at=said_at
        )
    assert await row(house, BERT) == before


@gen_test
async def test_a_word_without_a_time_always_counts(house: House) -> None:
    await opened(house, BERT)
    here = await place(house, BERT)
    await house.presences.hear(BERT.user_id, here, here=True, now=NOW, said_at=500)
    assert await house.presences.hear(BERT.user_id, here, here=False, now=LATER)
    assert await picked(house, BERT, "away_at", "heard_at") == (LATER, 500)


@gen_test
async def test_going_a_second_time_does_not_begin_the_time_anew(house: House) -> None:
    await opened(house, BERT)
    await house.presences.hear(BERT.user_id, await place(house, BERT), here=False, now=LATER)
    await house.presences.hear(BERT.user_id, await place(house, BERT), here=False, now=LATER + 9)
    assert await picked(house, BERT, "away_at", "due_at", "seen_at") == (
        *(LATER, LATER + PATIENCE.viewer),
        LATER + 9,
    )


@gen_test
async def test_nothing_is_heard_of_whoever_has_a_socket_to_speak_for_them(house: House) -> None:
    live_id = await opened(house, BERT)
    here = await place(house, BERT)
    await arrive(house, BERT, live_id)
    assert not await house.presences.hear(BERT.user_id, here, here=False, now=LATER)
    assert await picked(house, BERT, "away_at") == (None,)


@gen_test
async def test_nothing_is_heard_of_a_place_that_is_another_by_now(house: House) -> None:
    live_id = await opened(house, BERT)
    here = await place(house, BERT)
    for other in (
        Place(live_id + 1, "e1", "viewer", False, False, NOW, None),
        Place(live_id, "e0", "viewer", False, False, NOW, None),
    ):
        assert not await house.presences.hear(BERT.user_id, other, here=False, now=LATER)
    assert not await house.presences.hear(CARL.user_id, here, here=False, now=LATER)


@gen_test
async def test_of_two_who_note_a_stream_at_once_one_is_faster(house: House) -> None:
    await opened(house, BERT)
    known = await place(house, BERT)
    assert await house.presences.note_stream(BERT.user_id, known, stream(on=True), NOW)
    assert not await house.presences.note_stream(BERT.user_id, known, stream("x", on=True), NOW)
    known = await place(house, BERT)
    assert known.stream == stream(on=True)
    assert await house.presences.note_stream(BERT.user_id, known, stream(on=False), NOW)
    assert (await place(house, BERT)).stream == stream(on=False)


@gen_test
async def test_a_stream_is_noted_of_the_life_in_which_it_was_known(house: House) -> None:
    live_id = await opened(house, BERT)
    other = Place(live_id, "e0", "viewer", False, False, NOW, None)
    assert not await house.presences.note_stream(BERT.user_id, other, stream(on=True), NOW)
    assert (await place(house, BERT)).stream is None


@gen_test
async def test_the_end_of_a_stream_is_looked_at_at_once_when_somebody_is_away(
    house: House,
) -> None:
    live_id = await opened(house, BERT)
    await house.presences.note_stream(BERT.user_id, await place(house, BERT), stream(on=True), NOW)
    await gone(house, BERT, live_id)
    assert await house.presences.claim(LATER + 5) is None
    await house.presences.note_stream(
        BERT.user_id, await place(house, BERT), stream(on=False), LATER + 5
    )
    assert await house.presences.claim(LATER + 5) == due(BERT, live_id)


@gen_test
async def test_the_start_of_a_stream_is_nothing_to_look_at(house: House) -> None:
    live_id = await opened(house, BERT)
    await gone(house, BERT, live_id)
    await house.presences.note_stream(BERT.user_id, await place(house, BERT), stream(on=True), NOW)
    assert await picked(house, BERT, "due_at") == (LATER + PATIENCE.viewer,)


# ---- processes


def a_process() -> str:
    return uuid.uuid4().hex


@gen_test
async def test_a_process_is_known_once_it_has_said_that_it_lives(house: House) -> None:
    one = a_process()
    assert not await house.presences.renew(one, LONG)
    assert await house.presences.renew(one, LONG)
    assert await house.presences.lapsed() == []


@gen_test
async def test_a_process_that_is_not_heard_of_within_its_lease_has_lapsed(house: House) -> None:
    """Awaited by the database's clock: the lease is as short as can be."""
    live_id = await opened(house, BERT, ANNA)
    one, two = a_process(), a_process()
    await arrive(house, BERT, live_id, one)
    await arrive(house, ANNA, live_id, two)
    await house.presences.renew(one, 0.001)
    await house.presences.renew(two, LONG)
    assert await until(house.presences.lapsed) == [one]
    assert not await house.presences.renew(one, LONG), "others may have taken it for dead"
    assert await house.presences.renew(one, LONG)
    assert await house.presences.lapsed() == []


@gen_test
async def test_whoever_a_dead_process_served_is_away_and_nobody_else(house: House) -> None:
    live_id = await opened(house, BERT, ANNA, CARL)
    await sit(house, live_id, BERT)
    one, two = a_process(), a_process()
    await house.presences.renew(one, LONG)
    for person, process in ((BERT, one), (ANNA, one), (CARL, two)):
        await arrive(house, person, live_id, process)
    v = (await row(house, BERT))["v"]
    assert await house.presences.bury(one, LATER) == 2
    names = ("process", "away_at", "due_at", "v")
    assert await picked(house, BERT, *names) == (None, LATER, LATER + PATIENCE.shown, v + 1)
    assert await picked(house, ANNA, *names[:3]) == (None, LATER, LATER + PATIENCE.viewer)
    assert await picked(house, CARL, *names[:3]) == (two, None, None)
    assert await house.presences.lapsed() == [two]


@gen_test
async def test_a_burial_leaves_the_lease_to_its_process(house: House) -> None:
    """It may be alive, and renew while it is buried: whom it serves then must not be left with a
    process that nobody takes for dead any more."""
    live_id = await opened(house, BERT)
    one = a_process()
    await house.presences.renew(one, LONG)
    await arrive(house, BERT, live_id, one)
    await house.presences.bury(one, LATER)
    assert await house.presences.renew(one, LONG)


@gen_test
async def test_whoever_stands_as_served_by_a_process_without_a_lease_is_found(
    house: House,
) -> None:
    live_id = await opened(house, BERT, ANNA)
    one, two = a_process(), a_process()
    await arrive(house, BERT, live_id, one)
    await arrive(house, ANNA, live_id, two)
    await house.presences.renew(two, LONG)
    assert await house.presences.lapsed() == [one]
    await house.presences.forget(two)
    assert sorted(await house.presences.lapsed()) == sorted([one, two])
    for process in (one, two):
        await house.presences.bury(process, LATER)
    assert await house.presences.lapsed() == []


@gen_test
async def test_burying_somebody_twice_is_harmless(house: House) -> None:
    live_id = await opened(house, BERT)
    await arrive(house, BERT, live_id)
    assert await house.presences.bury(ONE, LATER) == 1
    assert await house.presences.bury(ONE, LATER + 5) == 0
    assert await picked(house, BERT, "away_at") == (LATER,)


@gen_test
async def test_whoever_came_to_another_process_is_not_buried_with_the_first(house: House) -> None:
    live_id = await opened(house, BERT)
    await arrive(house, BERT, live_id, ONE)
    await arrive(house, BERT, live_id, TWO)
    assert await house.presences.bury(ONE, LATER) == 0
    assert await picked(house, BERT, "process", "away_at") == (TWO, None)


# ---- documents from before


@gen_test
async def test_places_from_before_there_were_absences_are_members_like_others(
    house: House,
) -> None:
    live_id = await opened(house, BERT)
    fields = ("process", "socket", "away_at", "due_at", "stream", "seen_at")
    await house.database.collection("members").update_one(
        {"_id": BERT.user_id}, {"$unset": dict.fromkeys(fields, "")}
    )
    room = await load(house, live_id, BERT.user_id)
    assert room.role_of(BERT.user_id) == "viewer"
    assert await place(house, BERT) == Place(live_id, "e1", "viewer", False, False, NOW, None)
    asked = await house.presences.standing([BERT.user_id])
    assert asked == {BERT.user_id: Standing(live_id, "e1", 0, None)}
    assert not await house.presences.seen(BERT.user_id, NOW)
    assert await house.presences.claim(NOW + 10**9) is None
    await change(house, live_id, lambda room: room.apply(BERT, NOW, 600), BERT.user_id)
    await gone(house, BERT, live_id)
    assert (await picked(house, BERT, "away_at")) == (LATER,)
    assert await house.presences.claim(NOW + 10**13) == due(BERT, live_id)


# ---- indexes


def stages(plan: dict[str, Any]) -> list[dict[str, Any]]:
    inner = [plan["inputStage"]] if "inputStage" in plan else plan.get("inputStages", [])
    return [plan, *(stage for it in inner for stage in stages(it))]


@pytest.mark.parametrize(
    ("query", "order", "index"),
    [
        ({"due_at": {"$gt": 0, "$lte": NOW}}, {"due_at": 1}, "due_at"),
        ({"process": ONE}, {}, "process"),
        ({"process": None, "away_at": None, "seen_at": {"$lte": NOW}}, {}, "process"),
    ],
    ids=["claim", "bury", "miss_silent"],
)
@gen_test
async def test_what_is_asked_again_and_again_is_answered_from_an_index(
    house: House, query: dict[str, Any], order: dict[str, int], index: str
) -> None:
    await opened(house, BERT)
    explained = await house.database._db.command(
        {"explain": {"find": "members", "filter": query, "sort": order}}
    )
    names = [stage["stage"] for stage in stages(explained["queryPlanner"]["winningPlan"])]
    found = stages(explained["queryPlanner"]["winningPlan"])
    assert "IXSCAN" in names
    assert not {"COLLSCAN", "SORT"} & set(names)
    assert next(it["keyPattern"] for it in found if it["stage"] == "IXSCAN").get(index) == 1
