import asyncio
import re
from datetime import UTC, datetime

import pytest

from rooms.people import Person
from rooms.refusals import InUse, NoSuchUser
from storage import users as module
from storage.users import User
from tests.rooms.cast import NOW
from tests.storage.conftest import House
from tests.storage.test_rooms import change, opened

gen_test = pytest.mark.gen_test(timeout=60)


async def make(house: House, openid: str, **known) -> User:
    user, new = await house.users.create("app", openid, **known)
    assert new
    return user


@gen_test
async def test_a_new_user_has_a_number_of_eight_digits_and_what_is_known(house: House) -> None:
    before = datetime.now(UTC)
    user = await make(house, "o", nickname="anna", gender=2, face_url="f")
    assert re.fullmatch("[1-9][0-9]{7}", user.user_id)
    assert (user.nickname, user.gender, user.gold, user.income) == ("anna", 2, 0, 0)
    assert not user.is_matchmaker
    assert not user.banned
    kept = await house.users.get(user.user_id)
    assert abs(kept.create_time - before).total_seconds() < 60
    assert kept.create_time.tzinfo is not None


@gen_test
async def test_a_user_is_made_once_per_app_and_openid(house: House) -> None:
    user = await make(house, "o", nickname="first")
    again, new = await house.users.create("app", "o", nickname="second")
    assert not new
    assert (again.user_id, again.nickname) == (user.user_id, "first")
    other, new = await house.users.create("other app", "o")
    assert new
    assert other.user_id != user.user_id


@gen_test
async def test_a_user_made_many_times_at_once_is_one(house: House) -> None:
    made = await asyncio.gather(*(house.users.create("app", "o") for _ in range(10)))
    assert len({user.user_id for user, _ in made}) == 1
    assert [new for _, new in made].count(True) == 1


@gen_test
async def test_a_number_that_somebody_has_is_not_given_twice(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = iter([7, 7, 7, 8])
    monkeypatch.setattr(module.secrets, "randbelow", lambda _: next(numbers))
    assert (await make(house, "one")).user_id == "10000007"
    assert (await make(house, "two")).user_id == "10000008"


@gen_test
async def test_users_are_found_by_number_and_openid(house: House) -> None:
    user = await house.users.get((await make(house, "o")).user_id)
    assert await house.users.find(user.user_id) == user
    assert await house.users.by_openid("app", "o") == user
    assert await house.users.find("nobody") is None
    assert await house.users.by_openid("app", "nobody") is None
    assert await house.users.by_openid("other app", "o") is None
    with pytest.raises(NoSuchUser):
        await house.users.get("nobody")


@gen_test
async def test_many_come_in_the_order_asked_for(house: House) -> None:
    ids = [(await make(house, f"o{n}")).user_id for n in range(4)]
    asked = [ids[2], "nobody", ids[0], ids[3]]
    assert [user.user_id for user in await house.users.many(asked)] == [ids[2], ids[0], ids[3]]
    assert await house.users.many([]) == []


@gen_test
async def test_people_are_searched_by_the_beginning_of_number_or_nickname(house: House) -> None:
    anna = await make(house, "1", nickname="anna")
    annika = await make(house, "2", nickname="annika")
    chen = await make(house, "3", nickname="陈an")
    every = sorted(user.user_id for user in (anna, annika, chen))

    async def found(text: str, after: str = "", limit: int = 10) -> list[str]:
        return [user.user_id for user in await house.users.search(text, after, limit, owing=False)]

    assert await found("ann") == sorted([anna.user_id, annika.user_id])
    assert await found("陈") == [chen.user_id]
    assert anna.user_id in await found(anna.user_id[:7])
    assert await found(".*") == []
    assert await found("") == every
    assert await found("", limit=2) == every[:2]
    assert await found("", after=every[1]) == every[2:]


@gen_test
async def test_a_profile_is_updated_field_by_field(house: House) -> None:
    user = await make(house, "o", nickname="anna", age=20)
    updated = await house.users.update_profile(user.user_id, nickname="new", gender=2)
    assert (updated.nickname, updated.gender, updated.age) == ("new", 2, 20)
    assert await house.users.get(user.user_id) == updated
    for update in (house.users.update_profile, house.users.update):
        with pytest.raises(NoSuchUser):
            await update("nobody", nickname="x")


@gen_test
async def test_a_gender_in_use_leaves_the_whole_profile_as_it_was(house: House) -> None:
    user = await make(house, "o", nickname="anna", gender=2)
    person = user.person()
    live_id = await opened(house, person)
    await change(house, live_id, lambda room: room.apply(person, NOW, 600), person.user_id)
    with pytest.raises(InUse):
        await house.users.update_profile(user.user_id, nickname="new", gender=1)
    assert (await house.users.get(user.user_id)).nickname == "anna"
    assert (await house.users.update_profile(user.user_id, nickname="new")).nickname == "new"


@gen_test
async def test_a_viewers_new_gender_is_the_rooms_too(house: House) -> None:
    user = await make(house, "o")
    live_id = await opened(house, user.person())
    await house.users.update_profile(user.user_id, gender=2)
    counts = (await house.members.counts([(live_id, "e1")]))[live_id]
    assert (counts.women, counts.others) == (1, 0)


def test_a_user_is_a_person_of_a_room() -> None:
    made = datetime(2024, 1, 1, tzinfo=UTC)
    user = User("1", "app", "o", made, "anna", "f", 2, "310000", 30)
    assert user.person() == Person("1", "anna", "f", 2, "310000", 30)
