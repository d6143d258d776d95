import asyncio
import time
from collections.abc import Callable, Iterator
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tornado.ioloop import IOLoop

from realtime.codes import Code
from realtime.fanout import Fanout, Pace
from realtime.outbox import Outbox
from tests.examples import example_settings
from tests.realtime.listening import until
from tests.realtime.sockets import Pair

WIDTH = 4
BYE = -1


class Listener:
    """A socket that writes down the numbers it hears, and how many came at once."""

    def __init__(self, user_id: str, began: int = 0) -> None:
        self.user_id = user_id
        self.began = began
        self.heard: list[int] = []
        self.sends: list[int] = []
        self.closed = False

    def send(self, data: bytes) -> None:
        if self.closed:
            return
        numbers = [int(data[at : at + WIDTH]) for at in range(0, len(data), WIDTH)]
        self.heard += numbers
        self.sends.append(len(numbers))

    def push(self, data: bytes) -> int:
        self.send(data)
        return len(data)

    def bye(self) -> None:
        if not self.closed:
            self.heard.append(BYE)
            self.closed = True


def bye(outbox: Outbox) -> None:
    cast("Listener", outbox).bye()


class Hall:
    """A fan-out and everybody who ever listened to it."""

    def __init__(self, slice_: int, gather: float = 0.0) -> None:
        self.waited: list[float] = []
        self.fanout = Fanout(Pace(slice_, gather, self.waited.append))
        self.everybody: list[Listener] = []
        self.said = 0

    def add(self, user_id: str = "") -> Listener:
        listener = Listener(user_id or f"u{len(self.everybody)}", self.said)
        self.everybody.append(listener)
        self.fanout.add(cast("Outbox", listener))
        return listener

    def say(self) -> None:
        self.said += 1
        self.fanout.send(b"%04d" % self.said, self.said, time.time())

    async def settle(self) -> None:
        while self.fanout.busy:
            await asyncio.sleep(0)


@pytest.mark.gen_test(timeout=10)
async def test_a_small_room_is_told_at_once() -> None:
    hall = Hall(slice_=3)
    three = [hall.add() for _ in range(3)]
    hall.say()
    assert [one.heard for one in three] == [[1]] * 3
    assert (hall.fanout.sent, hall.fanout.busy) == (1, False)


@pytest.mark.gen_test(timeout=10)
async def test_a_round_that_breaks_does_not_silence_the_room() -> None:
    def told(_waited: float) -> None:
        raise ZeroDivisionError

    hall = Hall(slice_=1)
    hall.fanout = Fanout(Pace(1, 0.0, told))
    two = [hall.add() for _ in range(2)]
    hall.say()
    await asyncio.sleep(0)
    hall.say()
    with capture_logs() as lines:
        await hall.settle()
    assert [one.heard for one in two] == [[1, 2]] * 2
    assert [line["event"] for line in lines] == ["round_broke"] * 2


@pytest.mark.gen_test(timeout=10)
async def test_between_two_slices_others_have_their_turn() -> None:
    hall = Hall(slice_=2)
    six = [hall.add() for _ in range(6)]
    hall.say()
    seen: list[int] = []

    async def another() -> None:
        while hall.fanout.busy:
            seen.append(sum(len(one.heard) for one in six))
            await asyncio.sleep(0)

    await another()
    assert set(seen) >= {2, 4}
    assert [one.heard for one in six] == [[1]] * 6


@pytest.mark.gen_test(timeout=10)
async def test_what_piles_up_during_a_round_leaves_joined_and_in_order() -> None:
    hall = Hall(slice_=1)
    three = [hall.add() for _ in range(3)]
    hall.say()
    await asyncio.sleep(0)
    for _ in range(5):
        hall.say()
    await hall.settle()
    assert [one.heard for one in three] == [[1, 2, 3, 4, 5, 6]] * 3
    assert [one.sends for one in three] == [[1, 5]] * 3


@pytest.mark.gen_test(timeout=10)
async def test_whoever_joins_while_frames_wait_hears_each_that_comes_after_once() -> None:
    hall = Hall(slice_=1)
    for _ in range(3):
        hall.add()
    hall.say()
    before = hall.add()
    hall.say()
    await asyncio.sleep(0)
    hall.say()
    during = hall.add()
    hall.say()
    await hall.settle()
    hall.say()
    await hall.settle()
    assert (before.heard, during.heard) == ([2, 3, 4, 5], [4, 5])


@pytest.mark.gen_test(timeout=10)
async def test_a_goodbye_comes_after_everything_that_was_said() -> None:
    hall = Hall(slice_=1)
    three = [hall.add() for _ in range(3)]
    hall.say()
    hall.say()
    hall.fanout.dismiss(bye)
    assert hall.fanout.sockets == {}
    await hall.settle()
    assert [one.heard for one in three] == [[1, 2, BYE]] * 3


# ---- a busy room


@pytest.mark.gen_test(timeout=10)
async def test_in_a_busy_room_what_comes_within_a_moment_leaves_in_one_send_in_order() -> None:
    hall = Hall(slice_=9, gather=0.02)
    two = [hall.add() for _ in range(2)]
    hall.say()
    assert [one.heard for one in two] == [[1]] * 2, "a quiet room's event does not wait"
    for _ in range(3):
        hall.say()
    assert hall.fanout.busy
    await hall.settle()
    assert [one.heard for one in two] == [[1, 2, 3, 4]] * 2
    assert [one.sends for one in two] == [[1, 3]] * 2
    assert hall.fanout.sent == 4


@pytest.mark.gen_test(timeout=10)
async def test_whoever_comes_while_events_are_gathered_hears_only_what_is_said_after() -> None:
    hall = Hall(slice_=9, gather=0.02)
    hall.add()
    hall.say()
    hall.say()
    late = hall.add()
    hall.say()
    await hall.settle()
    assert late.heard == [3]


@pytest.mark.gen_test(timeout=10)
async def test_who_is_sent_away_hears_first_what_was_gathered_for_them() -> None:
    hall = Hall(slice_=9, gather=0.02)
    stays, goes = hall.add(), hall.add("goes")
    hall.say()
    hall.say()
    late = hall.add("late")
    for one in (goes, late):
        hall.fanout.take_out(one.user_id)
        one.bye()
    hall.say()
    await hall.settle()
    assert (goes.heard, late.heard) == ([1, 2, BYE], [BYE])
    assert stays.heard == [1, 2, 3]


@pytest.mark.gen_test(timeout=10)
async def test_what_is_no_event_is_not_held_in_a_busy_room() -> None:
    hall = Hall(slice_=9, gather=0.02)
    one = hall.add()
    hall.say()
    hall.fanout.send(b"0009", 1)
    assert one.heard == [1, 9]


@pytest.mark.gen_test(timeout=10)
async def test_a_room_that_was_quiet_for_a_while_is_busy_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("realtime.fanout.BUSY_SECONDS", 0.0)
    hall = Hall(slice_=9, gather=0.02)
    one = hall.add()
    hall.say()
    hall.say()
    assert (one.sends, hall.fanout.busy) == ([1, 1], False)


@pytest.mark.gen_test(timeout=10)
async def test_of_every_event_it_is_measured_when_the_last_socket_had_it() -> None:
    hall = Hall(slice_=1, gather=0.02)
    for _ in range(3):
        hall.add()
    for _ in range(4):
        hall.say()
    hall.fanout.send(b"0009", 4)
    await hall.settle()
    assert len(hall.waited) == 4, "what is no event is not measured"
    assert all(0 <= seconds < 10 for seconds in hall.waited)


@pytest.fixture
def pairs(io_loop: IOLoop) -> Iterator[list[Pair]]:
    pairs = [Pair(user_id=f"u{n}") for n in range(9)]
    yield pairs
    for one in pairs:
        one.close()


@pytest.mark.gen_test(timeout=20)
async def test_one_dead_client_does_not_stop_the_round_for_the_others(pairs: list[Pair]) -> None:
    fanout = Fanout(Pace(2))
    for one in pairs:
        fanout.add(one.outbox)
    pairs[0].stream.close()  # ours is closed
    pairs[3].reader.close()  # theirs is gone, and the next send fails
    pairs[5].stall()  # this one does not read
    alive = [pairs[n] for n in (1, 2, 4, 6, 7, 8)]
    heard = [bytearray() for _ in alive]
    for n in range(100):
        fanout.send(b"%04d" % n * 250, n + 1)
        await until(lambda: not fanout.busy)
        for each, one in enumerate(alive):
            heard[each] += await one.read(1000)
    assert heard == [b"".join(b"%04d" % n * 250 for n in range(100))] * len(alive)
    assert fanout.sent == 100
    assert pairs[5].outbox.went == Code.SLOW
    assert [n for n, one in enumerate(pairs) if one.outbox.closed] == [0, 3, 5]


@pytest.mark.gen_test(timeout=20)
async def test_what_a_socket_takes_half_of_in_a_round_goes_on_right(io_loop: IOLoop) -> None:
    slow, quick = (Pair(backlog=10_000_000, user_id=name) for name in ("slow", "quick"))
    fanout = Fanout(Pace(slice=9, gather=0.001))
    fanout.add(slow.outbox)
    fanout.add(quick.outbox)
    said = [b"%04d" % n * 20_000 for n in range(5)]
    for n, frame in enumerate(said):
        fanout.send(frame, n + 1, time.time())
    await until(lambda: not fanout.busy)
    assert slow.outbox.waits, "the kernel takes no 400 kB at once"
    whole = b"".join(said)
    for one in (quick, slow):
        assert await one.read(len(whole)) == whole
        one.close()


class Broken(Listener):
    """Fails in a way that no socket does."""

    def push(self, _data: bytes) -> int:
        raise BrokenPipeError

    def send(self, _data: bytes) -> None:
        raise RuntimeError


@pytest.mark.parametrize("slice_", [1, 9])
@pytest.mark.gen_test(timeout=10)
async def test_a_socket_that_breaks_in_an_unknown_way_does_not_silence_the_room(
    slice_: int,
) -> None:
    hall = Hall(slice_)
    hall.fanout.add(cast("Outbox", Broken("broken")))
    one = hall.add()
    for _ in range(2):
        hall.say()
        await hall.settle()
    assert one.heard == [1, 2]


@pytest.mark.gen_test(timeout=10)
async def test_whoever_is_sent_away_between_two_slices_misses_nothing_of_the_round() -> None:
    hall = Hall(slice_=1)
    first, second, third = hall.add("first"), hall.add("second"), hall.add("third")
    hall.say()
    await asyncio.sleep(0)
    hall.say()
    for one in (first, third):  # of whom one has the first event, and the other not yet
        hall.fanout.take_out(one.user_id)
        one.bye()
    await hall.settle()
    assert (first.heard, third.heard) == ([1, 2, BYE], [1, 2, BYE])
    assert second.heard == [1, 2]


@pytest.mark.gen_test(timeout=10)
async def test_whoever_is_sent_away_between_two_rounds_hears_nothing_twice() -> None:
    hall = Hall(slice_=1, gather=0.05)
    hall.add("first")
    last = hall.add("last")
    hall.say()
    await asyncio.sleep(0)
    hall.say()
    await until(lambda: last.heard == [1])  # the first round is over, the second is gathered
    assert hall.fanout.busy
    hall.fanout.take_out("last")
    last.bye()
    await hall.settle()
    assert last.heard == [1, 2, BYE]


# ---- any order of joining, saying, leaving and turns of the loop

FIRST = "abcde"
"""Who is there from the beginning: more than a slice."""
USERS = st.sampled_from(FIRST + "fg")
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), USERS),
        st.tuples(st.just("leave"), USERS),
        st.tuples(st.sampled_from(["say", "pass", "turn"]), st.just("")),
    ),
    max_size=60,
)


class Play:
    """Anything that may happen to a fan-out; after each step `sent` is looked at."""

    def __init__(self, slice_: int, gather: float) -> None:
        self.fanout = Fanout(Pace(slice_, gather))
        self.frames = 0
        self.seq = 0
        self.everybody: list[Listener] = []
        self.expected: dict[int, list[int]] = {}
        self.seqs: list[int] = [0]
        """By number of a frame, the last event that whoever has it has."""

    async def act(self, what: str, user_id: str) -> None:
        if what == "turn":
            await asyncio.sleep(0)
        else:
            steps: dict[str, Callable[[], None]] = {
                "add": lambda: self._add(user_id),
                "leave": lambda: self._leave(user_id),
                "say": lambda: self._send(numbered=True),
                "pass": lambda: self._send(numbered=False),
            }
            steps[what]()
        self._look()

    async def end(self) -> None:
        self.fanout.dismiss(bye)
        for outbox in self.open:
            self.expected[id(outbox)].append(BYE)
        async with asyncio.timeout(5):
            while self.fanout.busy:
                await asyncio.sleep(0)

    @property
    def open(self) -> list[Listener]:
        return [one for one in self.everybody if self._stays(one)]

    def _stays(self, one: Listener) -> bool:
        return self.expected[id(one)][-1:] != [BYE]

    def _add(self, user_id: str) -> None:
        self._leave(user_id)
        listener = Listener(user_id, self.frames)
        self.everybody.append(listener)
        self.expected[id(listener)] = []
        self.fanout.add(cast("Outbox", listener))

    def _leave(self, user_id: str) -> None:
        """Shown out: they hear what was on its way to them, then the goodbye and nothing more."""
        if listener := cast("Listener | None", self.fanout.sockets.get(user_id)):
            self.fanout.take_out(user_id)
            listener.bye()
            self.expected[id(listener)].append(BYE)

    def _send(self, *, numbered: bool) -> None:
        self.frames += 1
        self.seq += numbered
        self.seqs.append(self.seq)
        for one in self.open:
            self.expected[id(one)].append(self.frames)
        self.fanout.send(b"%04d" % self.frames, self.seq, float(numbered))

    def _look(self) -> None:
        for one in self.open:
            expected = self.expected[id(one)]
            assert one.heard == expected[: len(one.heard)], "in order, none left out"
            last = one.heard[-1] if one.heard else one.began
            assert self.fanout.sent <= self.seqs[last], "a heartbeat would name an event to come"


@example_settings(500)
@given(slice_=st.integers(1, 3), gather=st.sampled_from([0, 0.005]), acts=ACTS)
def test_everybody_hears_exactly_what_is_said_after_their_joining_and_then_the_goodbye(
    slice_: int, gather: float, acts: list[tuple[str, str]]
) -> None:
    async def run() -> None:
        play = Play(slice_, gather)
        for user_id in FIRST:
            await play.act("add", user_id)
        for what, user_id in acts:
            await play.act(what, user_id)
        await play.end()
        for one in play.everybody:
            assert one.heard == play.expected[id(one)]

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(run())
    finally:
        loop.close()
