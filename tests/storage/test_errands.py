import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.errands import Errand
from tests.storage.conftest import House

gen_test = pytest.mark.gen_test(timeout=60)
LEASE = timedelta(minutes=1)


async def claim(house: House, now: datetime | None = None) -> Errand | None:
    now = now or datetime.now(UTC)
    return await house.errands.claim(now, now + LEASE)


async def claimed(house: House, now: datetime | None = None) -> Errand:
    errand = await claim(house, now)
    assert errand is not None
    return errand


@gen_test
async def test_an_errand_is_claimed_once_as_it_was_added(house: House) -> None:
    await house.errands.add("import", {"user_id": "1"})
    errand = await claimed(house)
    assert (errand.kind, errand.payload, errand.tries) == ("import", {"user_id": "1"}, 1)
    assert await claim(house) is None
    assert await house.errands.waiting() == 1


@gen_test
async def test_the_earliest_that_is_due_comes_first(house: House) -> None:
    for kind in "abc":
        await house.errands.add(kind, {})
        rows = house.database.collection("errands")
        await rows.update_many({}, [{"$set": {"due_at": {"$add": ["$due_at", -1000]}}}])
    assert [(await claimed(house)).kind for _ in range(3)] == ["a", "b", "c"]


@gen_test
async def test_a_lease_that_runs_out_makes_it_anybodys_again(house: House) -> None:
    await house.errands.add("a", {})
    now = datetime.now(UTC)
    first = await claimed(house, now)
    assert await claim(house, now + LEASE - timedelta(seconds=1)) is None
    again = await claimed(house, now + LEASE)
    assert (again.id, again.tries) == (first.id, 2)


@gen_test
async def test_what_is_done_is_gone(house: House) -> None:
    await house.errands.add("a", {})
    errand = await claimed(house)
    for _ in range(2):
        await house.errands.done(errand.id)
    assert await house.errands.waiting() == 0
    assert await claim(house, datetime.now(UTC) + 2 * LEASE) is None


@gen_test
async def test_what_is_put_back_waits_for_its_time(house: House) -> None:
    await house.errands.add("a", {})
    errand, later = await claimed(house), datetime.now(UTC) + timedelta(hours=1)
    await house.errands.again(errand.id, later, "busy")
    assert await claim(house, later - timedelta(seconds=1)) is None
    assert (await claimed(house, later + timedelta(seconds=1))).tries == 2


@gen_test
async def test_what_failed_is_kept_for_people_and_never_tried_again(house: House) -> None:
    await house.errands.add("a", {})
    await house.errands.failed((await claimed(house)).id, "no such user")
    assert await claim(house, datetime.now(UTC) + timedelta(days=9)) is None
    assert await house.errands.waiting() == 0
    row = await house.database.collection("errands").find_one({})
    assert row is not None
    assert (row["state"], row["why"]) == ("failed", "no such user")


@gen_test
async def test_many_who_claim_at_once_never_get_the_same_errand(house: House) -> None:
    for n in range(10):
        await house.errands.add("a", {"n": n})
    now = datetime.now(UTC)
    got = await asyncio.gather(*(house.errands.claim(now, now + LEASE) for _ in range(15)))
    errands = [errand for errand in got if errand]
    assert sorted(errand.payload["n"] for errand in errands) == list(range(10))


@gen_test
async def test_an_errand_of_a_transaction_that_failed_was_never_added(house: House) -> None:
    await house.errands.add("a", {})

    async def work(session: Any) -> None:
        await house.errands.add("b", {}, session)
        raise ValueError("undone")

    with pytest.raises(ValueError, match="undone"):
        await house.database.transaction(work)
    assert await house.errands.waiting() == 1
