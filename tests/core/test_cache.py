import asyncio
from collections.abc import Callable, Hashable

import pytest

from core.cache import Cache
from tests.support.tencent import Clock

SECONDS = 10.0


class Source:
    """What a cache reads; a read waits until `released` is set, after it has found the value."""

    def __init__(self) -> None:
        self.value: int | None = 1
        self.reads = 0
        self.version: Hashable = 0
        self.released = asyncio.Event()
        self.released.set()
        self.cache: Cache[str, int | None] = Cache(SECONDS, 2, version=lambda: self.version)

    async def read(self) -> int | None:
        self.reads += 1
        found = self.value
        await self.released.wait()
        return found

    async def load(self, key: str = "a") -> int | None:
        return await self.cache.load(key, self.read)


async def test_a_value_is_read_once_until_it_expires(clock: Clock) -> None:
    source = Source()
    assert [await source.load() for _ in range(3)] == [1, 1, 1]
    clock.now += SECONDS - 0.01
    assert (await source.load(), source.reads, source.cache.get("a")) == (1, 1, 1)
    clock.now += 0.01
    assert (source.cache.get("a"), source.cache.last("a")) == (None, 1)
    source.value = None
    assert [await source.load() for _ in range(2)] == [None, None]
    assert (source.reads, source.cache.last("a"), source.cache.last("b")) == (2, None, None)


async def test_age_is_from_the_start_of_the_read(clock: Clock) -> None:
    source = Source()
    source.released.clear()
    reading = asyncio.ensure_future(source.load())
    await asyncio.sleep(0)
    clock.now += SECONDS
    source.released.set()
    assert await reading == 1
    assert source.cache.get("a") is None


def test_a_value_may_have_a_lifetime_of_its_own(clock: Clock) -> None:
    cache: Cache[str, int] = Cache(SECONDS, 2)
    cache.put("a", 1, cache.begin_read(), 2 * SECONDS)
    cache.put("b", 1, cache.begin_read(), 0)
    clock.now += SECONDS
    assert (cache.get("a"), cache.get("b")) == (1, None)


def test_beyond_the_bound_the_value_that_was_stored_first_is_dropped() -> None:
    cache: Cache[str, int] = Cache(SECONDS, 2)
    for key in ("a", "b", "a", "c"):
        cache.put(key, 1, cache.begin_read())
    assert [cache.get(key) for key in "abc"] == [1, None, 1]


async def test_a_value_that_is_not_to_be_kept_is_read_each_time() -> None:
    source = Source()
    source.cache = Cache(SECONDS, 2, keeps=bool)
    source.value = None
    assert await source.load() is None
    source.value = 1
    assert [await source.load() for _ in range(2)] == [1, 1]
    assert source.reads == 2


async def test_an_invalidated_value_is_read_again() -> None:
    source = Source()
    generation = source.cache.generation
    for key in "ab":
        await source.load(key)
    source.cache.invalidate("a")
    assert (source.cache.last("a"), source.cache.get("b")) == (None, 1)
    source.cache.clear()
    assert source.cache.last("b") is None
    assert source.cache.generation == generation + 2


async def test_values_are_of_one_version_and_none_is_stored_without_a_version() -> None:
    source = Source()
    await source.load()
    for version, reads in ((1, 2), (1, 2), (None, 3), (None, 4), (1, 5), (1, 5)):
        source.version = version
        await source.load()
        assert source.reads == reads


@pytest.mark.parametrize(
    "invalidate",
    [
        lambda source: source.cache.invalidate("a"),
        lambda source: source.cache.clear(),
        lambda source: setattr(source, "version", 1),
        lambda source: setattr(source, "version", None),
    ],
    ids=["its key", "all keys", "another version", "no version"],
)
async def test_a_value_invalidated_during_its_read_is_not_stored(
    invalidate: Callable[[Source], None],
) -> None:
    source = Source()
    source.released.clear()
    reading = asyncio.ensure_future(source.load())
    await asyncio.sleep(0)
    source.value = 2
    invalidate(source)
    source.released.set()
    assert await reading == 1
    if source.version is None:
        source.version = 1
    assert await source.load() == 2
