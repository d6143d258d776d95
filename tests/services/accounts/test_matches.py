"""Likes, dates and matches of pairs on a real MongoDB."""

import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from core.retry import retry_on_conflict
from rooms.members import Person
from services.accounts.matches import MatchService
from storage.database import Database
from tests.support.races import run_after
from tests.support.room_builders import HOST
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import accept_user, open_room

Users = tuple[str, str]


async def couple_of(stores: StoresFixture) -> Users:
    """A man and a woman who like one another and have had no date."""
    man, woman = await stores.create_users((0, 0), (0, 0))
    await MatchService(stores).like(man, woman)
    await MatchService(stores).like(woman, man)
    return man, woman


async def room_of(stores: StoresFixture, users: Users, number: int = 0) -> int:
    """A live room with both, of whom the man is on mic."""
    people = guests(users)
    host = replace(HOST, user_id=f"{10_000_000 + number}")
    live_id = await open_room(stores, *people, host=host, epoch=f"e{number}")
    await accept_user(stores, live_id, people[0])
    return live_id


def guests(users: Users) -> list[Person]:
    return [Person(id_, id_, gender=gender) for gender, id_ in enumerate(users, 1)]


async def date(stores: StoresFixture, live_id: int, users: Users) -> None:
    """Let the woman take her seat, as RoomChanges does."""
    await retry_on_conflict(partial(accept_user, stores, live_id, guests(users)[1]))


async def meet(stores: StoresFixture, users: Users) -> None:
    await date(stores, await room_of(stores, users), users)


async def friendships(stores: StoresFixture) -> list[Any]:
    """The users of each message about a friendship."""
    rows = stores.rows("outbox").find({"kind": "friendship"}).sort("_id", 1)
    return [row["payload"]["users"] async for row in rows]


async def partners(stores: StoresFixture, user_id: str) -> list[str]:
    return [pair.other(user_id) for pair in await stores.matches.matches(user_id, 0, 9)]


async def test_like_is_one_way_stored_once_and_lasts_until_removed(stores: StoresFixture) -> None:
    async def likes() -> set[str]:
        return {*(await stores.matches.of("anna", "bert")).likes}

    await asyncio.gather(*(MatchService(stores).like("anna", "bert") for _ in range(10)))
    assert await stores.rows("matches").count_documents({}) == 1
    assert await likes() == {"anna"}
    for _ in range(2):
        await MatchService(stores).unlike("anna", "bert")
    assert await likes() == set()


async def test_likes_and_date_at_once_in_two_processes_make_one_match(
    stores: StoresFixture, database: Database
) -> None:
    other, number = StoresFixture(database), 30
    users = await stores.create_users(*[(0, 0)] * (2 * number))
    couples = [*zip(users[::2], users[1::2], strict=True)]
    rooms = [await room_of(stores, couple, n) for n, couple in enumerate(couples)]
    await asyncio.gather(
        *(
            change
            for (man, woman), live_id in zip(couples, rooms, strict=True)
            for change in (
                MatchService(stores).like(man, woman),
                MatchService(other).like(woman, man),
                date(other, live_id, (man, woman)),
            )
        )
    )
    for n, (man, woman) in enumerate(couples):
        for user, partner in ((man, woman), (woman, man)):
            [(type_, match)] = await stores.told(user)
            assert (type_, match["user"]["user_id"], match["live_id"]) == (
                "match",
                partner,
                rooms[n],
            )
    assert Counter(map(tuple, await friendships(stores))) == Counter(
        (min(couple), max(couple)) for couple in couples
    )
    lives = await stores.rows("lives").find().to_list()
    assert {live["matches"] for live in lives} == {1}


async def test_a_date_makes_the_match_that_both_are_told_of(stores: StoresFixture) -> None:
    man, woman = couple = await couple_of(stores)
    assert await stores.told(man) == []
    await meet(stores, couple)
    assert await partners(stores, man) == [woman]
    assert await partners(stores, woman) == [man]
    [(_, match)] = await stores.told(man)
    assert match["user"].keys() == {"user_id", "nickname", "face_url", "gender"}
    assert (man, "events") in stores.changed
    assert await stores.matches.matches(man, 1, 9) == []


async def test_a_match_that_was_ended_is_not_made_again(stores: StoresFixture) -> None:
    man, woman = couple = await couple_of(stores)
    await meet(stores, couple)
    for _ in range(2):
        await MatchService(stores).end(woman, man)
    await MatchService(stores).unlike(man, woman)
    await MatchService(stores).like(man, woman)
    assert await partners(stores, man) == await partners(stores, woman) == []
    assert [len(await stores.told(user)) for user in couple] == [1, 1]
    assert await friendships(stores) == [sorted(couple)] * 2


@pytest.mark.parametrize("why", ["banned", "deleted", "blocked"])
async def test_a_user_who_is_away_or_apart_is_not_matched(stores: StoresFixture, why: str) -> None:
    man, woman = couple = await couple_of(stores)
    if why == "blocked":
        await stores.user_blocks.put(woman, man)
    else:
        fields = {"banned": {"banned": True}, "deleted": {"deleted_at": "2026-01-01"}}
        await stores.users.update(woman, **fields[why])
    await meet(stores, couple)
    assert await partners(stores, man) == []
    await stores.users.update(woman, banned=False, deleted_at=None)
    await stores.user_blocks.drop(woman, man)
    await MatchService(stores).like(man, woman)
    assert await partners(stores, man) == [woman], "a like that is repeated checks again"


@pytest.mark.parametrize("is_ban", [True, False])
async def test_a_ban_or_block_while_the_match_is_made_leaves_none(
    stores: StoresFixture, is_ban: bool
) -> None:
    man, woman = couple = await couple_of(stores)

    async def part() -> None:
        if is_ban:
            await stores.users.update(woman, banned=True)
            await MatchService(stores).end_all(woman)
        else:
            await stores.user_blocks.put(woman, man)
            await MatchService(stores).end(woman, man)

    live_id = await room_of(stores, couple)
    run_after(stores.user_blocks, "among", part)
    await date(stores, live_id, couple)
    assert await partners(stores, man) == []
    assert await stores.told(man) == []


async def test_all_matches_of_a_banned_user_end(stores: StoresFixture) -> None:
    man, woman = couple = await couple_of(stores)
    await meet(stores, couple)
    for _ in range(2):
        await MatchService(stores).end_all(woman)
    assert await partners(stores, man) == []
    assert len(await friendships(stores)) == 2


async def test_a_deleted_user_is_taken_out_of_the_events_of_partners_alone(
    stores: StoresFixture,
) -> None:
    man, woman = couple = await couple_of(stores)
    await meet(stores, couple)
    user = await stores.users.get(woman)
    for _ in range(2):
        await MatchService(stores).end_all(woman)
        for step in stores.deletions.steps(user):
            await step()
    assert await stores.rows("matches").count_documents({}) == 0
    row = await stores.rows("user_channels").find_one({"_id": man})
    assert [event["data"] for event in row["log"]] == [None]
    assert len(await friendships(stores)) == 2
