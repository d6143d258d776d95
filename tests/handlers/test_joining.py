import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

import pytest

from handlers.joining import Joining
from rooms.refusals import TryAgain

gen_test = pytest.mark.gen_test(timeout=20)
ROOM, OTHER = 1, 2


class Counter:
    """Serves one after the other when told to, and answers everybody in capitals; over who says
    "broken" it breaks."""

    def __init__(self, most: int = 100, patience: float = 20) -> None:
        self.joining: Joining[str, str] = Joining(self.serve, most, patience)
        self.served: list[tuple[int, list[str]]] = []
        self._doors: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)

    async def serve(self, name: int, together: Sequence[str]) -> list[str]:
        self.served.append((name, [*together]))
        await self._doors[name].wait()
        if "broken" in together:
            raise ValueError("broken")
        return [asked.upper() for asked in together]

    async def come(self, *asked: str, name: int = ROOM) -> list[asyncio.Task[str]]:
        """One after the other; the first is being served when the next comes."""
        tasks = []
        for one in asked:
            tasks.append(asyncio.ensure_future(self.joining.join(name, one)))
            await turns()
        return tasks

    def open(self, name: int = ROOM) -> None:
        """Whoever comes is served without waiting from now on."""
        self._doors[name].set()

    @property
    def together(self) -> list[list[str]]:
        return [asked for _, asked in self.served]


async def turns() -> None:
    """All that can happen without anybody's doing has happened."""
    for _ in range(5):
        await asyncio.sleep(0)


@gen_test
async def test_who_comes_alone_is_served_alone() -> None:
    counter = Counter()
    counter.open()
    answers = [await counter.joining.join(ROOM, asked) for asked in ("a", "b")]
    assert answers == ["A", "B"]
    assert counter.together == [["a"], ["b"]]


@gen_test
async def test_who_comes_while_others_are_served_is_served_together_in_order() -> None:
    counter = Counter()
    coming = await counter.come("a", "b", "c", "d")
    assert counter.together == [["a"]]
    counter.open()
    assert await asyncio.gather(*coming) == ["A", "B", "C", "D"]
    assert counter.together == [["a"], ["b", "c", "d"]]


@gen_test
async def test_who_comes_in_one_turn_is_served_together_at_once() -> None:
    counter = Counter()
    counter.open()
    coming = [asyncio.ensure_future(counter.joining.join(ROOM, asked)) for asked in "abc"]
    assert await asyncio.gather(*coming) == ["A", "B", "C"]
    assert counter.together == [["a", "b", "c"]]


@gen_test
async def test_no_more_than_so_many_are_served_at_a_time() -> None:
    counter = Counter(most=3)
    coming = await counter.come(*"abcdefgh")
    counter.open()
    assert await asyncio.gather(*coming) == [*"ABCDEFGH"]
    assert counter.together == [["a"], [*"bcd"], [*"efg"], ["h"]]


@gen_test
async def test_who_asks_for_the_same_is_answered_each() -> None:
    counter = Counter()
    coming = await counter.come("a", "b", "b", "a")
    counter.open()
    assert await asyncio.gather(*coming) == ["A", "B", "B", "A"]


@gen_test
async def test_nobody_waits_for_those_of_another_name() -> None:
    counter = Counter()
    mine, theirs = await counter.come("a", "b"), await counter.come("c", "d", name=OTHER)
    counter.open(OTHER)
    assert await asyncio.gather(*theirs) == ["C", "D"]
    assert not any(task.done() for task in mine)
    counter.open()
    assert await asyncio.gather(*mine) == ["A", "B"]
    assert counter.served == [(ROOM, ["a"]), (OTHER, ["c"]), (OTHER, ["d"]), (ROOM, ["b"])]


@gen_test
async def test_a_failure_is_told_to_all_that_were_to_be_served_and_to_nobody_else() -> None:
    counter = Counter(most=2)
    coming = await counter.come("a", "broken", "c", "d")
    theirs = await counter.come("e", "f", name=OTHER)
    for name in (ROOM, OTHER):
        counter.open(name)
    done = await asyncio.gather(*coming, return_exceptions=True)
    assert [repr(it) for it in done] == ["'A'", *["ValueError('broken')"] * 2, "'D'"]
    assert await asyncio.gather(*theirs) == ["E", "F"]
    assert [asked for name, asked in counter.served if name == ROOM] == [
        ["a"],
        ["broken", "c"],
        ["d"],
    ]


@gen_test
async def test_who_goes_away_disturbs_nobody() -> None:
    counter = Counter()
    coming = await counter.come("a", "b", "c")
    for gone in coming[:2]:  # one being served, and one in the queue
        gone.cancel()
    counter.open()
    assert await coming[2] == "C"
    assert all(task.cancelled() for task in coming[:2])
    assert counter.together == [["a"], ["b", "c"]], "what was asked for is done all the same"


@gen_test
async def test_a_failure_finds_nobody_when_all_have_gone_away() -> None:
    counter = Counter()
    (gone,) = await counter.come("broken")
    gone.cancel()
    counter.open()
    with suppress(asyncio.CancelledError):
        await gone
    assert await counter.joining.join(ROOM, "b") == "B"


@gen_test
async def test_a_queue_that_is_empty_is_forgotten() -> None:
    counter = Counter()
    coming = [*await counter.come("a", "b"), *await counter.come("c", name=OTHER)]
    assert counter.joining._queues.keys() == {ROOM, OTHER}
    for name in (ROOM, OTHER):
        counter.open(name)
    await asyncio.gather(*coming)
    await turns()
    assert counter.joining._queues == {}
    assert counter.joining._servers == set()
    assert await counter.joining.join(ROOM, "d") == "D"


@gen_test
async def test_whose_turn_does_not_come_is_told_so_and_who_is_being_served_is_not() -> None:
    counter = Counter(patience=0.05)
    served, late = await counter.come("a", "b")
    with pytest.raises(TryAgain):
        await late
    assert not served.done()
    counter.open()
    assert await served == "A"
    assert counter.together == [["a"]], "who was told so is not served any more"


@gen_test
async def test_when_the_server_itself_is_ended_nobody_waits_for_ever() -> None:
    counter = Counter()
    coming = await counter.come("a", "b")
    (server,) = counter.joining._servers
    server.cancel()
    for one in coming:
        with pytest.raises(TryAgain):
            await one
    counter.open()
    assert await counter.joining.join(ROOM, "c") == "C"
