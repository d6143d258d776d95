"""Users on a real MongoDB."""

import asyncio
import re
from datetime import UTC, datetime

import pytest

from rooms.errors import GenderInUse
from storage.accounts import users as module
from storage.accounts.users import User
from storage.database import Session
from tests.support.room_builders import NOW
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import change_room, open_room


async def create(stores: StoresFixture, openid: str, **fields: object) -> User:
    user, new = await stores.users.create("app", openid, **fields)
    assert new
    return user


async def update_profile(stores: StoresFixture, user_id: str, **fields: object) -> User:
    async def write_nothing_else(_session: Session, _user: User) -> None:
        pass

    return await stores.users.update_with(user_id, write_nothing_else, **fields)


async def test_user_is_created_once_per_app_and_openid(stores: StoresFixture) -> None:
    created = await asyncio.gather(
        *(stores.users.create("app", "o", nickname=f"n{n}", gender=2) for n in range(8))
    )
    assert [new for _, new in created].count(True) == 1
    (user_id,) = {user.user_id for user, _ in created}
    assert re.fullmatch("[1-9][0-9]{7}", user_id)
    user = await stores.users.get(user_id)
    assert (user.gender, user.gold, user.income, user.banned) == (2, 0, 0, False)
    assert abs(user.create_time - datetime.now(UTC)).total_seconds() < 60
    again, new = await stores.users.create("app", "o", nickname="another")
    assert (again, new) == (user, False)
    other, new = await stores.users.create("other app", "o")
    assert new
    assert other.user_id != user_id


async def test_taken_user_id_is_not_assigned_again(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = iter([7, 7, 7, 8])
    monkeypatch.setattr(module.secrets, "randbelow", lambda _: next(numbers))
    assert (await create(stores, "one")).user_id == "10000007"
    assert (await create(stores, "two")).user_id == "10000008"


async def test_search_matches_the_prefix_of_id_or_nickname(stores: StoresFixture) -> None:
    anna = await create(stores, "1", nickname="anna")
    annika = await create(stores, "2", nickname="annika")
    chen = await create(stores, "3", nickname="陈an")
    await stores.users.update(chen.user_id, owed_income=1)
    all_ids = sorted(user.user_id for user in (anna, annika, chen))

    async def found(
        text: str, after: str = "", limit: int = 10, *, owing: bool = False
    ) -> list[str]:
        return [user.user_id for user in await stores.users.search(text, after, limit, owing=owing)]

    assert await found("ann") == sorted([anna.user_id, annika.user_id])
    assert await found("陈") == await found("", owing=True) == [chen.user_id]
    assert anna.user_id in await found(anna.user_id[:7])
    assert await found(".*") == await found("ann", owing=True) == []
    assert await found("") == all_ids
    assert await found("", limit=2) == all_ids[:2]
    assert await found("", after=all_ids[1]) == all_ids[2:]


async def test_new_gender_changes_profile_and_membership_or_neither(stores: StoresFixture) -> None:
    user = await create(stores, "o", nickname="anna", gender=2)
    person = user.person()
    live_id = await open_room(stores, person)
    await update_profile(stores, user.user_id, gender=1)
    assert (await stores.members.count(live_id, "e1")).num_list == [0, 1, 0, 0]
    await change_room(stores, live_id, lambda room: room.apply(person, NOW), person.user_id)
    with pytest.raises(GenderInUse):
        await update_profile(stores, user.user_id, nickname="new", gender=2)
    assert (await stores.users.get(user.user_id)).nickname == "anna"
    assert (await update_profile(stores, user.user_id, nickname="new")).nickname == "new"
