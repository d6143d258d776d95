"""Follows and their counts, which agree at any time."""

import asyncio
from typing import Any

import pytest

from storage.accounts import follows as module
from storage.errors import TooManyFollows
from tests.support.storage import StoresFixture

HOST, OTHER = "10000000", "10000001"


async def stored(stores: StoresFixture) -> dict[str, int]:
    """The counts that are stored, which must be those of the follows."""
    counts = {row["_id"]: row["n"] async for row in stores.rows("follower_counts").find()}
    rows: list[Any] = await stores.rows("follows").find().to_list()
    for user_id, count in counts.items():
        assert count == sum(row["of"] == user_id for row in rows)
    return counts


async def test_repeated_and_concurrent_follows_count_once(stores: StoresFixture) -> None:
    other = StoresFixture(stores.database).follows
    followers = [str(number) for number in range(20_000_000, 20_000_012)]
    both = [(of, by) for of in (stores.follows, other) for by in followers]
    await asyncio.gather(*(follows.put(by, HOST) for follows, by in both))
    assert await stored(stores) == {HOST: len(followers)}
    assert await other.count(HOST) == len(followers)
    gone, kept = followers[:5], followers[5:]
    leave = [follows.drop(by, HOST) for follows, by in both if by in gone]
    await asyncio.gather(*leave, stores.follows.put(kept[0], HOST), other.put(kept[0], OTHER))
    assert await stored(stores) == {HOST: len(kept), OTHER: 1}
    assert await stores.follows.followers_among(HOST, {*followers[:7], OTHER}) == {*kept[:2]}
    assert await stores.follows.followers(HOST, kept[1], 3) == kept[2:5]


async def test_a_rush_of_followers_in_several_processes_is_served(stores: StoresFixture) -> None:
    processes = [StoresFixture(stores.database).follows for _ in range(4)]
    puts = [
        follows.put(f"2000{process}{number:03}", HOST)
        for process, follows in enumerate(processes)
        for number in range(100)
    ]
    async with asyncio.timeout(20):  # it takes 1 s; without batches by user, 40 s
        await asyncio.gather(*puts)
    assert await stored(stores) == {HOST: 400}


async def test_a_follow_and_its_end_at_once_leave_the_last(stores: StoresFixture) -> None:
    follows = stores.follows
    await follows.put("20000000", HOST)  # while it is written, the others wait for one another
    for last in (True, False):
        change = [follows.drop, follows.put][last]
        await asyncio.gather(
            follows.put("20000001", OTHER), follows.drop("20000000", HOST), change("20000000", HOST)
        )
        assert await follows.has("20000000", HOST) == last
        assert (await stored(stores))[HOST] == last


async def test_a_user_follows_a_limited_number_and_may_end_all_again(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FOLLOWS", 2)
    follows = stores.follows
    for of in (HOST, OTHER):
        await follows.put("20000000", of)
    with pytest.raises(TooManyFollows):
        await follows.put("20000000", "20000001")
    await follows.put("20000000", HOST)
    assert await follows.followed_by("20000000") == [OTHER, HOST]
    for _ in range(2):  # a deletion is repeated after a kill
        await follows.drop_all("20000000")
    assert await stored(stores) == {HOST: 0, OTHER: 0, "20000001": 0}
