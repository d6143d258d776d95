import asyncio
import re
from datetime import UTC, datetime

import pytest

from rooms.errors import GenderInUse
from rooms.members import Person
from storage.accounts import users as module
from storage.accounts.users import User
from storage.database import Session
from storage.errors import UserNotFound
from tests.support.room_builders import NOW
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import change_room, open_room

gen_test = pytest.mark.gen_test(timeout=60)


async def create(stores: StoresFixture, openid: str, **fields) -> User:
    user, new = await stores.users.create("app", openid, **fields)
    assert new
    return user


@gen_test
async def test_new_user_has_an_eight_digit_id_and_the_given_fields(stores: StoresFixture) -> None:
    before = datetime.now(UTC)
    user = await create(stores, "o", nickname="anna", gender=2, face_url="f")
    assert re.fullmatch("[1-9][0-9]{7}", user.user_id)
    assert (user.nickname, user.gender, user.gold, user.income) == ("anna", 2, 0, 0)
    assert not user.is_matchmaker
    assert not user.banned
    stored = await stores.users.get(user.user_id)
    assert abs(stored.create_time - before).total_seconds() < 60
    assert stored.create_time.tzinfo is not None


@gen_test
async def test_user_is_created_once_per_app_and_openid(stores: StoresFixture) -> None:
    user = await create(stores, "o", nickname="first")
    again, new = await stores.users.create("app", "o", nickname="second")
    assert not new
    assert (again.user_id, again.nickname) == (user.user_id, "first")
    other, new = await stores.users.create("other app", "o")
    assert new
    assert other.user_id != user.user_id


@gen_test
async def test_concurrent_creation_makes_one_user(stores: StoresFixture) -> None:
    created = await asyncio.gather(*(stores.users.create("app", "o") for _ in range(10)))
    assert len({user.user_id for user, _ in created}) == 1
    assert [new for _, new in created].count(True) == 1


@gen_test
async def test_taken_user_id_is_not_assigned_again(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = iter([7, 7, 7, 8])
    monkeypatch.setattr(module.secrets, "randbelow", lambda _: next(numbers))
    assert (await create(stores, "one")).user_id == "10000007"
    assert (await create(stores, "two")).user_id == "10000008"


@gen_test
async def test_users_are_found_by_id_and_openid(stores: StoresFixture) -> None:
    user = await stores.users.get((await create(stores, "o")).user_id)
    assert await stores.users.find(user.user_id) == user
    assert await stores.users.by_openid("app", "o") == user
    assert await stores.users.find("unknown") is None
    assert await stores.users.by_openid("app", "unknown") is None
    assert await stores.users.by_openid("other app", "o") is None
    with pytest.raises(UserNotFound):
        await stores.users.get("unknown")


@gen_test
async def test_find_many_returns_users_in_the_requested_order(stores: StoresFixture) -> None:
    ids = [(await create(stores, f"o{n}")).user_id for n in range(4)]
    requested = [ids[2], "unknown", ids[0], ids[3]]
    assert [user.user_id for user in await stores.users.find_many(requested)] == [
        ids[2],
        ids[0],
        ids[3],
    ]
    assert await stores.users.find_many([]) == []


@gen_test
async def test_search_matches_the_prefix_of_id_or_nickname(stores: StoresFixture) -> None:
    anna = await create(stores, "1", nickname="anna")
    annika = await create(stores, "2", nickname="annika")
    chen = await create(stores, "3", nickname="陈an")
    all_ids = sorted(user.user_id for user in (anna, annika, chen))

    async def found(text: str, after: str = "", limit: int = 10) -> list[str]:
        return [user.user_id for user in await stores.users.search(text, after, limit, owing=False)]

    assert await found("ann") == sorted([anna.user_id, annika.user_id])
    assert await found("陈") == [chen.user_id]
    assert anna.user_id in await found(anna.user_id[:7])
    assert await found(".*") == []
    assert await found("") == all_ids
    assert await found("", limit=2) == all_ids[:2]
    assert await found("", after=all_ids[1]) == all_ids[2:]


async def update_profile(stores: StoresFixture, user_id: str, **fields: object) -> User:
    async def write_nothing_else(_session: Session, _user: User) -> None:
        pass

    return await stores.users.update_with(user_id, write_nothing_else, **fields)


@gen_test
async def test_profile_update_keeps_the_other_fields(stores: StoresFixture) -> None:
    user = await create(stores, "o", nickname="anna", age=20)
    updated = await update_profile(stores, user.user_id, nickname="new", gender=2)
    assert (updated.nickname, updated.gender, updated.age) == ("new", 2, 20)
    assert await stores.users.get(user.user_id) == updated
    with pytest.raises(UserNotFound):
        await update_profile(stores, "unknown", nickname="x")
    with pytest.raises(UserNotFound):
        await stores.users.update("unknown", nickname="x")


@gen_test
async def test_profile_is_unchanged_when_its_gender_is_in_use(stores: StoresFixture) -> None:
    user = await create(stores, "o", nickname="anna", gender=2)
    person = user.person()
    live_id = await open_room(stores, person)
    await change_room(stores, live_id, lambda room: room.apply(person, NOW, 600), person.user_id)
    with pytest.raises(GenderInUse):
        await update_profile(stores, user.user_id, nickname="new", gender=1)
    assert (await stores.users.get(user.user_id)).nickname == "anna"
    assert (await update_profile(stores, user.user_id, nickname="new")).nickname == "new"


@gen_test
async def test_new_gender_of_a_viewer_updates_the_room_counts(stores: StoresFixture) -> None:
    user = await create(stores, "o")
    live_id = await open_room(stores, user.person())
    await update_profile(stores, user.user_id, gender=2)
    counts = (await stores.members.counts([(live_id, "e1")]))[live_id]
    assert (counts.women, counts.others) == (1, 0)


def test_user_converts_to_a_room_person() -> None:
    created = datetime(2024, 1, 1, tzinfo=UTC)
    user = User("1", "app", "o", created, "anna", "f", 2, "310000", 30)
    assert user.person() == Person("1", "anna", "f", 2, "310000", 30)
