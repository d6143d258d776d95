import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.tokens import PER_USER, token_id
from tests.storage.conftest import House

gen_test = pytest.mark.gen_test(timeout=60)


async def rows(house: House) -> list[dict[str, Any]]:
    return await house.database.collection("tokens").find().sort("made_at", 1).to_list()


async def issued(house: House, user_id: str) -> str:
    token, _ = await house.tokens.issue(user_id)
    return token


async def shift(house: House, **times: timedelta) -> None:
    """Move every token in time."""
    for row in await rows(house):
        moved = {name: row[name] + by for name, by in times.items()}
        await house.database.collection("tokens").update_one({"_id": row["_id"]}, {"$set": moved})


@gen_test
async def test_a_token_opens_the_door_to_its_owner(house: House) -> None:
    token = await issued(house, "anna")
    assert re.fullmatch("[0-9a-f]{40}", token)
    assert await house.tokens.owner(token) == "anna"
    assert await issued(house, "anna") != token


@gen_test
async def test_what_is_stored_opens_no_door(house: House) -> None:
    token = await issued(house, "anna")
    (row,) = await rows(house)
    assert token not in str(row)
    assert await house.tokens.owner(row["_id"]) is None


@gen_test
async def test_an_unknown_token_belongs_to_nobody(house: House) -> None:
    await issued(house, "anna")
    for token in ("", "0" * 40):
        assert await house.tokens.owner(token) is None


@gen_test
async def test_a_token_given_back_opens_nothing_and_leaves_the_others(house: House) -> None:
    first, second = await issued(house, "anna"), await issued(house, "anna")
    for _ in range(2):
        await house.tokens.revoke(first)
    assert await house.tokens.owner(first) is None
    assert await house.tokens.owner(second) == "anna"
    assert await house.tokens.given_back(first) == ("anna", False)
    await house.tokens.settle(first)
    assert await house.tokens.given_back(first) == ("anna", True)
    for token in (second, "0" * 40):
        assert await house.tokens.given_back(token) is None


@gen_test
async def test_a_token_given_back_does_not_count_among_those_one_has(house: House) -> None:
    kept = [await issued(house, "anna") for _ in range(PER_USER - 1)]
    given_back = await issued(house, "anna")
    await house.tokens.revoke(given_back)
    kept.append(await issued(house, "anna"))
    assert [await house.tokens.owner(token) for token in kept] == ["anna"] * PER_USER
    assert await house.tokens.given_back(given_back) == ("anna", False)


@gen_test
async def test_of_too_many_tokens_the_oldest_goes(house: House) -> None:
    tokens, dropped = [], []
    for _ in range(PER_USER + 1):
        await shift(house, made_at=timedelta(minutes=-1))
        token, old = await house.tokens.issue("anna")
        tokens.append(token)
        dropped.append(old)
    assert dropped == [*[[]] * PER_USER, [token_id(tokens[0])]]
    bert = await issued(house, "bert")
    owners = [await house.tokens.owner(token) for token in tokens]
    assert owners == [None, *["anna"] * PER_USER]
    assert await house.tokens.owner(bert) == "bert"


@gen_test
async def test_a_token_lives_from_its_last_use(house: House) -> None:
    token = await issued(house, "anna")
    await shift(house, expires_at=timedelta(days=-29))
    assert await house.tokens.owner(token) == "anna"
    (row,) = await rows(house)
    assert row["expires_at"] > datetime.now(UTC) + timedelta(days=29, hours=23)


@gen_test
async def test_a_token_is_not_written_at_every_use(house: House) -> None:
    token = await issued(house, "anna")
    before = await rows(house)
    await house.tokens.owner(token)
    assert await rows(house) == before


@gen_test
async def test_a_token_without_use_dies_even_before_it_is_swept_away(house: House) -> None:
    token = await issued(house, "anna")
    await shift(house, expires_at=timedelta(days=-30, seconds=-1))
    assert await house.tokens.owner(token) is None
