"""Races for names that are unique, and what an old database lacks."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core import retry
from core.errors import TryAgain
from rooms.members import Person
from storage.identities import IdentityStore
from tests.support.races import run_before
from tests.support.storage import StoresFixture

HOST = Person("1", "host", "", 2)


async def test_a_host_gets_the_room_that_another_server_has_just_made(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_id, _, _ = await stores.rooms.get_or_create(HOST)
    find, lagging = IdentityStore.find, [None, None]

    async def find_what_a_majority_has(self: IdentityStore, *name: Any) -> Any:
        return lagging.pop() if lagging else await find(self, *name)

    monkeypatch.setattr(IdentityStore, "find", find_what_a_majority_has)
    assert (await stores.rooms.get_or_create(HOST))[0] == live_id
    assert await stores.rows("rooms").count_documents({}) == 1


async def test_a_login_during_the_deletion_of_its_user_finds_no_user(
    stores: StoresFixture,
) -> None:
    user, _ = await stores.users.create("app", "o")
    await stores.users.plan_deletion(user.user_id, datetime.now(UTC) - timedelta(seconds=1))
    claimed = await stores.deletions.claim(timedelta(seconds=10))
    assert claimed is not None
    run_before(stores.users, "find", lambda: stores.deletions.close(claimed, timedelta()))
    assert await stores.users.by_openid("app", "o") is None
    again, is_new = await stores.users.create("app", "o")
    assert is_new
    assert again.user_id != user.user_id
    found = await stores.users.by_openid("app", "o")
    assert found is not None
    assert found.user_id == again.user_id


async def test_a_registration_that_cannot_end_is_refused_and_makes_no_second_user(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database of before `identities` has users without one, and their index."""
    monkeypatch.setattr(retry, "CONFLICT_SECONDS", 0.05)
    users = stores.rows("users")
    await users.create_index([("app_id", 1), ("openid", 1)], unique=True)
    try:
        await stores.users.create("app", "o")
        await stores.rows("identities").delete_many({})
        async with asyncio.timeout(5):
            with pytest.raises(TryAgain):
                await stores.users.create("app", "o")
        assert await users.count_documents({}) == 1
    finally:
        await users.drop_index("app_id_1_openid_1")
