"""Letters between processes on a real MongoDB: each is read once by each process."""

import asyncio
from datetime import timedelta

import pytest
from bson import ObjectId

from storage.letters import OVERLAP, Letters
from tests.storage.conftest import House

gen_test = pytest.mark.gen_test(timeout=60)


async def reader(house: House) -> Letters:
    """A process that has looked at the board for the first time."""
    letters = Letters(house.database)
    assert await letters.new() == []
    return letters


async def put_up(house: House, letter: bytes, ago: timedelta) -> None:
    """A letter that becomes visible now, with a time of its own."""
    at = await house.database.now() - ago
    rows = house.database.collection("letters")
    await rows.insert_one({"_id": ObjectId(), "letter": letter, "at": at})


@gen_test
async def test_a_process_that_has_just_begun_reads_nothing_from_before(house: House) -> None:
    await house.letters.post(b"before")
    letters = await reader(house)
    assert await letters.new() == []
    await house.letters.post(b"since")
    assert await letters.new() == [b"since"]


@gen_test
async def test_every_process_reads_every_letter_once_the_one_that_wrote_it_too(
    house: House,
) -> None:
    one, two = await reader(house), await reader(house)
    await one.post(b"first")
    assert await one.new() == [b"first"]
    await two.post(b"second")
    assert await one.new() == [b"second"]
    assert await two.new() == [b"first", b"second"]
    for letters in (one, two):
        assert await letters.new() == []


@gen_test
async def test_letters_are_read_in_the_order_of_their_times(house: House) -> None:
    letters = await reader(house)
    await put_up(house, b"second", timedelta(seconds=1))
    await put_up(house, b"first", timedelta(seconds=2))
    await letters.post(b"third")
    assert await letters.new() == [b"first", b"second", b"third"]


@gen_test
async def test_a_letter_that_becomes_visible_late_is_read_all_the_same(house: House) -> None:
    letters = await reader(house)
    await letters.post(b"on time")
    assert await letters.new() == [b"on time"]
    await put_up(house, b"late", OVERLAP - timedelta(seconds=2))
    assert await letters.new() == [b"late"]
    assert await letters.new() == []


@gen_test
async def test_letters_older_than_the_overlap_are_not_read_again(house: House) -> None:
    letters = await reader(house)
    await put_up(house, b"too old", OVERLAP * 2)
    assert await letters.new() == []


@gen_test
async def test_the_board_is_read_from_its_last_letter_on_and_not_from_the_first(
    house: House,
) -> None:
    letters = await reader(house)
    await put_up(house, b"last", -OVERLAP * 4)
    assert await letters.new() == [b"last"]
    await put_up(house, b"long before it", timedelta())
    await put_up(house, b"shortly before it", -OVERLAP * 4 + timedelta(seconds=1))
    assert await letters.new() == [b"shortly before it"]


@gen_test
async def test_many_letters_at_once_are_each_read_once(house: House) -> None:
    letters = await reader(house)
    read: list[bytes] = []
    for start in range(0, 30, 10):
        posts = (letters.post(b"%d" % n) for n in range(start, start + 10))
        await asyncio.gather(*posts)
        read += await letters.new()
    assert sorted(read) == sorted(b"%d" % n for n in range(30))


@pytest.mark.parametrize("letter", [b"", b"$NOW", b"\x00\xff", b'{"type": "revoked"}'])
@gen_test
async def test_a_letter_is_read_as_it_was_written(house: House, letter: bytes) -> None:
    letters = await reader(house)
    await letters.post(letter)
    assert await letters.new() == [letter]


@gen_test
async def test_letters_carry_the_databases_time(house: House) -> None:
    before = await house.database.now()
    await house.letters.post(b"now")
    after = await house.database.now()
    row = await house.database.collection("letters").find_one()
    assert row is not None
    assert before <= row["at"] <= after
