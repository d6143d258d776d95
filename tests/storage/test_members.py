"""Places of people on a real MongoDB."""

import asyncio
from typing import Any

import pytest

from rooms.keeper import Raced
from rooms.people import Counts, Person
from rooms.refusals import InUse
from tests.rooms.cast import ANNA, BERT, CARL, DORA, HOST, KIM, NOW
from tests.storage.conftest import House
from tests.storage.test_rooms import change, load, opened, save

gen_test = pytest.mark.gen_test(timeout=60)


async def place(house: House, person: Person) -> Any:
    found = await house.members.get(person.user_id)
    assert found is not None
    return found


async def set_gender(house: House, person: Person, gender: int) -> None:
    await house.database.transaction(
        lambda session: house.members.set_gender(person.user_id, gender, session)
    )


@gen_test
async def test_a_place_is_stored_with_everything_that_it_says(house: House) -> None:
    live_id = await opened(house, BERT)
    kept = await place(house, BERT)
    assert (kept.user_id, kept.live_id, kept.epoch) == (BERT.user_id, live_id, "e1")
    assert (kept.gender, kept.role, kept.entered_at, kept.v) == (1, "viewer", NOW, 0)
    assert await house.members.get("nobody") is None


@gen_test
async def test_every_change_of_a_place_has_a_new_version(house: House) -> None:
    live_id = await opened(house, BERT)
    await change(house, live_id, lambda room: room.apply(BERT, NOW, 600), BERT.user_id)
    assert ((await place(house, BERT)).role, (await place(house, BERT)).v) == ("applied", 1)
    await change(
        house, live_id, lambda room: room.invite(HOST.user_id, BERT, NOW, 60), BERT.user_id
    )
    assert ((await place(house, BERT)).role, (await place(house, BERT)).v) == ("applied", 2)


@gen_test
async def test_a_person_has_one_place(house: House) -> None:
    first, second = await opened(house), await opened(house, host=ANNA)
    rooms = [await load(house, live_id, BERT.user_id) for live_id in (first, second)]
    for room in rooms:
        room.enter(BERT, NOW)
    done = await asyncio.gather(*(save(house, room) for room in rooms), return_exceptions=True)
    assert sorted(map(repr, done)) == sorted([repr(None), repr(Raced())])
    assert (await place(house, BERT)).live_id in (first, second)


@gen_test
async def test_a_place_elsewhere_is_never_written_over(house: House) -> None:
    first, second = await opened(house, BERT), await opened(house, host=ANNA)
    room = await load(house, second, BERT.user_id)
    room.enter(BERT, NOW)
    with pytest.raises(Raced):
        await save(house, room)
    assert (await place(house, BERT)).live_id == first


@gen_test
async def test_a_place_left_over_from_an_older_life_of_the_room_is_written_over(
    house: House,
) -> None:
    live_id = await opened(house, BERT)
    await change(house, live_id, lambda room: room.close("host"))
    await opened(house, epoch="e2")
    rooms = [await load(house, live_id, BERT.user_id) for _ in range(2)]
    for room in rooms:
        room.enter(BERT, NOW + 5)
    await save(house, rooms[0])
    assert (await place(house, BERT)).epoch == "e2"
    with pytest.raises(Raced):
        await save(house, rooms[1])


@gen_test
async def test_who_sits_down_and_leaves_at_once_is_no_ghost_on_the_seat(house: House) -> None:
    live_id = await opened(house, BERT)
    sits, leaves = [await load(house, live_id, BERT.user_id) for _ in range(2)]
    sits.accept(BERT, "open", "s", "")
    leaves.leave(BERT.user_id)
    done = await asyncio.gather(save(house, sits), save(house, leaves), return_exceptions=True)
    assert sum(isinstance(it, Raced) for it in done) == 1
    room = await load(house, live_id, BERT.user_id)
    assert (room.male is None) == (room.role_of(BERT.user_id) is None)


@pytest.mark.parametrize("first", ["leaves", "is invited"])
@gen_test
async def test_nobody_is_invited_who_leaves_at_the_same_moment(house: House, first: str) -> None:
    live_id = await opened(house, BERT)
    invited, left = [await load(house, live_id, BERT.user_id) for _ in range(2)]
    invited.invite(HOST.user_id, BERT, NOW, 60)
    left.leave(BERT.user_id)
    order = [left, invited] if first == "leaves" else [invited, left]
    await save(house, order[0])
    with pytest.raises(Raced):
        await save(house, order[1])
    room = await load(house, live_id, BERT.user_id)
    assert (BERT.user_id in room.applications) == (room.role_of(BERT.user_id) is not None)


@gen_test
async def test_an_application_expires_in_the_place_of_somebody_who_was_not_loaded(
    house: House,
) -> None:
    live_id = await opened(house, BERT)
    await change(house, live_id, lambda room: room.apply(BERT, NOW, 1), BERT.user_id)
    await change(house, live_id, lambda room: room.expire(NOW + 1_000))
    assert (await place(house, BERT)).role == "viewer"


@gen_test
async def test_counts_are_counted_and_the_host_is_not_among_them(house: House) -> None:
    man = Person("30000001", "m", "", 1)
    live_id = await opened(house, BERT, CARL, man, ANNA, DORA, KIM)
    await change(house, live_id, lambda r: r.apply(BERT, NOW, 600), BERT.user_id)
    await change(house, live_id, lambda r: r.accept(CARL, "open", "s", ""), CARL.user_id)
    await change(house, live_id, lambda r: r.apply(ANNA, NOW, 600), ANNA.user_id)
    await change(house, live_id, lambda r: r.apply(DORA, NOW, 600), DORA.user_id)
    counts = (await house.members.counts([(live_id, "e1")]))[live_id]
    assert counts == Counts(men_applying=1, men=3, women_applying=2, women=2, others=1)
    assert counts.num_list == [1, 3, 2, 2]
    assert counts.audience == 7


@gen_test
async def test_counts_are_of_the_life_that_is_asked_for(house: House) -> None:
    first = await opened(house, BERT)
    await change(house, first, lambda room: room.close("host"))
    await opened(house, epoch="e2")
    second = await opened(house, CARL, host=ANNA, epoch="a1")
    asked = await house.members.counts(it for it in [(first, "e2"), (second, "a1"), (99, "x")])
    assert asked == {first: Counts(), second: Counts(men=1), 99: Counts()}
    assert await house.members.counts([]) == {}


@gen_test
async def test_viewers_are_those_who_only_watch_by_time_of_entry(house: House) -> None:
    live_id = await opened(house, ANNA)
    men = [Person(f"3000000{n}", f"m{n}", "", 1) for n in range(6)]
    for n, man in enumerate(men):
        await change(house, live_id, lambda r, m=man, n=n: r.enter(m, NOW - n), man.user_id)
    await change(house, live_id, lambda r: r.apply(men[0], NOW, 600), men[0].user_id)
    await change(house, live_id, lambda r: r.accept(men[1], "open", "s", ""), men[1].user_id)
    await change(
        house, live_id, lambda r: r.invite(HOST.user_id, men[2], NOW, 60) if not r.male else None
    )
    ids = [man.user_id for man in reversed(men[2:])]
    assert await house.members.viewers(live_id, "e1", 1, 0, 10) == ids
    assert await house.members.viewers(live_id, "e1", 1, 1, 2) == ids[1:3]
    assert await house.members.viewers(live_id, "e1", 2, 0, 10) == [ANNA.user_id]
    assert await house.members.viewers(live_id, "e0", 1, 0, 10) == []


@gen_test
async def test_a_viewers_gender_changes_in_the_place_too(house: House) -> None:
    live_id = await opened(house, KIM)
    stale = await load(house, live_id, KIM.user_id)
    await set_gender(house, KIM, 2)
    kept = await place(house, KIM)
    assert (kept.gender, kept.v) == (2, 1)
    stale.leave(KIM.user_id)
    with pytest.raises(Raced):
        await save(house, stale)


@gen_test
async def test_the_gender_of_somebody_applied_or_on_mic_is_in_use(house: House) -> None:
    live_id = await opened(house, BERT, CARL)
    await change(house, live_id, lambda r: r.apply(BERT, NOW, 600), BERT.user_id)
    await change(house, live_id, lambda r: r.accept(CARL, "open", "s", ""), CARL.user_id)
    for person in (BERT, CARL):
        with pytest.raises(InUse):
            await set_gender(house, person, 2)
        await set_gender(house, person, 1)
        assert (await place(house, person)).gender == 1


@gen_test
async def test_a_gender_is_not_in_use_in_a_live_that_has_ended(house: House) -> None:
    """The places of an ended live are cleared afterwards; a crash may leave them."""
    live_id = await opened(house, BERT)
    await change(house, live_id, lambda r: r.apply(BERT, NOW, 600), BERT.user_id)
    await change(house, live_id, lambda room: room.close("host"))
    await set_gender(house, BERT, 2)
    await opened(house, epoch="e2")
    await set_gender(house, BERT, 1)


@gen_test
async def test_somebody_who_is_nowhere_may_have_any_gender(house: House) -> None:
    await set_gender(house, BERT, 2)
    assert await house.members.get(BERT.user_id) is None
