import asyncio
from collections.abc import Hashable

import pytest

from storage.shared import Shared

gen_test = pytest.mark.gen_test(timeout=10)


class Source:
    """Something that is read slowly, and changes."""

    def __init__(self) -> None:
        self.value = 1
        self.readings: list[tuple[Hashable, ...]] = []
        self.gate = asyncio.Event()
        self.broken = False

    async def read(self, *key: Hashable) -> int:
        self.readings.append(key)
        value = self.value
        await self.gate.wait()
        if self.broken:
            raise ConnectionError
        return value


def ask(shared: Shared[int], times: int, *key: Hashable) -> list[asyncio.Task[int]]:
    return [asyncio.ensure_future(shared.get(*key)) for _ in range(times)]


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@gen_test
async def test_all_who_ask_in_one_turn_share_one_reading() -> None:
    source = Source()
    asked = ask(Shared(source.read), 5)
    source.gate.set()
    assert await asyncio.gather(*asked) == [1] * 5
    assert len(source.readings) == 1


@gen_test
async def test_who_asks_during_a_reading_gets_what_was_read_after_that() -> None:
    source = Source()
    shared = Shared(source.read)
    early = ask(shared, 2)
    await turn()
    source.value = 2
    late = ask(shared, 3)
    await turn()
    assert len(source.readings) == 1, "the next reading waits for the one under way"
    source.gate.set()
    assert await asyncio.gather(*early, *late) == [1, 1, 2, 2, 2]
    assert len(source.readings) == 2


@gen_test
async def test_what_is_asked_for_apart_is_read_apart_and_nothing_is_kept() -> None:
    source = Source()
    source.gate.set()
    shared = Shared(source.read)
    await asyncio.gather(*ask(shared, 2, 1, "a"), *ask(shared, 2, 2, "a"))
    assert sorted(source.readings, key=str) == [(1, "a"), (2, "a")]
    source.value = 3
    assert await shared.get(1, "a") == 3
    assert not shared._under_way
    assert not shared._next


@gen_test
async def test_an_error_is_told_to_those_who_asked_and_the_next_are_read_anew() -> None:
    source = Source()
    source.gate.set()
    source.broken = True
    shared = Shared(source.read)
    done = await asyncio.gather(*ask(shared, 2), return_exceptions=True)
    assert [type(it) for it in done] == [ConnectionError] * 2
    source.broken = False
    assert await shared.get() == 1


@gen_test
async def test_who_goes_away_disturbs_nobody() -> None:
    source = Source()
    shared = Shared(source.read)
    gone, stays = ask(shared, 2)
    await turn()
    gone.cancel()
    source.gate.set()
    assert await stays == 1
    assert gone.cancelled()
