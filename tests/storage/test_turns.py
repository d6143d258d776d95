import asyncio

import pytest

from storage.database import Database
from storage.turns import Turns

gen_test = pytest.mark.gen_test(timeout=60)


@gen_test
async def test_of_many_who_want_a_turn_one_has_it_until_it_is_due_again(database: Database) -> None:
    await database.collection("turns").delete_many({})
    turns = Turns(database)
    taken = await asyncio.gather(*(turns.take("check", 3600) for _ in range(12)))
    assert sorted(taken) == [False] * 11 + [True]
    assert await turns.take("another", 3600)
    past = [{"$set": {"due_at": {"$subtract": ["$$NOW", 1]}}}]
    await database.collection("turns").update_one({"_id": "check"}, past)
    taken = await asyncio.gather(*(turns.take("check", 3600) for _ in range(12)))
    assert sorted(taken) == [False] * 11 + [True]


@gen_test
async def test_what_came_of_it_last_is_kept(database: Database) -> None:
    await database.collection("turns").delete_many({})
    turns = Turns(database)
    assert await turns.kept("check") == {}
    await turns.keep("check", {"problems": 3, "at": 1.0})
    assert await turns.take("check", 3600)
    await turns.keep("check", {"problems": 0, "at": 2.0})
    assert await turns.kept("check") == {"problems": 0, "at": 2.0}
    assert not await turns.take("check", 3600)


@gen_test
async def test_whoever_began_earlier_does_not_write_over_what_came_later(
    database: Database,
) -> None:
    await database.collection("turns").delete_many({})
    turns = Turns(database)
    await turns.keep("check", {"problems": 1, "at": 2.0})
    await turns.keep("check", {"problems": 0, "at": 1.0})
    assert await turns.kept("check") == {"problems": 1, "at": 2.0}


@gen_test
async def test_a_turn_is_due_again_when_its_rest_is_over(database: Database) -> None:
    await database.collection("turns").delete_many({})
    turns = Turns(database)
    assert await turns.take("check", 3600)
    await turns.rest("check", -1)
    assert await turns.take("check", 3600)
    await turns.rest("check", 3600)
    assert not await turns.take("check", 3600)
