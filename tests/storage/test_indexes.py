"""What the database itself keeps true, and the questions that it answers from an index."""

from datetime import timedelta
from typing import Any

import pytest
from pymongo.errors import DuplicateKeyError

from storage.letters import KEPT_SECONDS, OVERLAP
from tests.storage.conftest import House

gen_test = pytest.mark.gen_test(timeout=60)


async def index(house: House, collection: str, *keys: str) -> dict[str, Any]:
    found = await house.database.collection(collection).index_information()
    return next(it for it in found.values() if [key for key, _ in it["key"]] == list(keys))


@pytest.mark.parametrize(
    ("collection", "keys"),
    [("users", ("app_id", "openid")), ("likes", ("by", "of")), ("rooms", ("host_id",))],
)
@gen_test
async def test_there_is_one_of_each(house: House, collection: str, keys: tuple[str, ...]) -> None:
    assert (await index(house, collection, *keys))["unique"] is True
    rows = house.database.collection(collection)
    twin = dict.fromkeys(keys, "same")
    await rows.insert_one({"_id": 1, **twin})
    with pytest.raises(DuplicateKeyError):
        await rows.insert_one({"_id": 2, **twin})


@gen_test
async def test_tokens_die_at_the_time_that_they_name(house: House) -> None:
    assert (await index(house, "tokens", "expires_at"))["expireAfterSeconds"] == 0


@gen_test
async def test_letters_are_kept_for_so_long_that_every_process_has_read_them(
    house: House,
) -> None:
    kept = timedelta(seconds=(await index(house, "letters", "at"))["expireAfterSeconds"])
    assert kept.total_seconds() == KEPT_SECONDS
    assert kept > 10 * OVERLAP


@gen_test
async def test_the_index_of_what_is_due_holds_only_those_who_are_due(house: House) -> None:
    filtered = (await index(house, "members", "due_at"))["partialFilterExpression"]
    assert filtered == {"due_at": {"$gt": 0}}


@pytest.mark.parametrize(
    ("collection", "keys"),
    [
        ("tokens", ("user_id",)),
        ("users", ("nickname",)),
        ("rooms", ("status", "started_at")),
        ("rooms", ("due_at",)),
        ("members", ("live_id", "epoch", "gender", "role", "entered_at")),
        ("members", ("due_at",)),
        ("members", ("process", "seen_at")),
        ("errands", ("state", "due_at")),
        ("ledger", ("lines.account", "at", "_id")),
        ("ledger", ("by", "kind", "at")),
        ("orders", ("user_id", "created_at", "_id")),
        ("orders", ("state", "created_at", "_id")),
        ("blocks", ("fen", "_id")),
    ],
)
@gen_test
async def test_what_is_asked_often_has_an_index(
    house: House, collection: str, keys: tuple[str, ...]
) -> None:
    assert await index(house, collection, *keys)


@gen_test
async def test_making_the_indexes_again_is_harmless(house: House) -> None:
    await house.make_indexes()
