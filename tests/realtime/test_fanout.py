import asyncio
import time
from collections.abc import Iterator
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tornado.ioloop import IOLoop

from realtime.channel import Fanout
from realtime.frames import CloseCode
from realtime.socket_writer import SocketWriter
from tests.support.hypothesis_profiles import example_settings
from tests.support.waiting import WAIT_SECONDS, until
from tests.support.writer_sockets import WriterPair

FRAME_BYTES = 4
BYE = -1


class WriterStub:
    """Records the numbers that a socket receives, and how many came per send."""

    def __init__(self, user_id: str, joined_at: int = 0) -> None:
        self.user_id = user_id
        self.joined_at = joined_at
        self.received: list[int] = []
        self.send_sizes: list[int] = []
        self.closed = False

    def send(self, data: bytes) -> None:
        if self.closed:
            return
        numbers = [int(data[at : at + FRAME_BYTES]) for at in range(0, len(data), FRAME_BYTES)]
        self.received += numbers
        self.send_sizes.append(len(numbers))

    def push(self, data: bytes) -> int:
        self.send(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self.received.append(BYE)
            self.closed = True


def close(writer: SocketWriter) -> None:
    cast("WriterStub", writer).close()


class FanoutFixture:
    """A fan-out and every writer that was ever added to it."""

    def __init__(self, slice_: int, gather: float = 0.0) -> None:
        self.latencies: list[float] = []
        self.fanout = Fanout(self.latencies.append, slice_size=slice_, gather_seconds=gather)
        self.writers: list[WriterStub] = []
        self.sent_events = 0

    def add(self, user_id: str = "") -> WriterStub:
        writer = WriterStub(user_id or f"u{len(self.writers)}", self.sent_events)
        self.writers.append(writer)
        self.fanout.add(writer.user_id, cast("SocketWriter", writer))
        return writer

    def send_event(self) -> None:
        self.sent_events += 1
        self.fanout.send(b"%04d" % self.sent_events, self.sent_events, time.time())

    async def settle(self) -> None:
        while self.fanout.busy:
            await asyncio.sleep(0)


async def test_failed_batch_does_not_stop_later_batches() -> None:
    def on_delivered(_latency: float) -> None:
        raise ZeroDivisionError

    room = FanoutFixture(slice_=1)
    room.fanout = Fanout(on_delivered, slice_size=1, gather_seconds=0)
    writers = [room.add() for _ in range(2)]
    room.send_event()
    await asyncio.sleep(0)
    room.send_event()
    with capture_logs() as lines:
        await room.settle()
    assert [writer.received for writer in writers] == [[1, 2]] * 2
    assert [line["event"] for line in lines] == ["fanout_batch_failed"] * 2


async def test_other_tasks_run_between_slices() -> None:
    room = FanoutFixture(slice_=2)
    writers = [room.add() for _ in range(6)]
    room.send_event()
    delivered: list[int] = []

    async def other_task() -> None:
        while room.fanout.busy:
            delivered.append(sum(len(writer.received) for writer in writers))
            await asyncio.sleep(0)

    await other_task()
    assert set(delivered) >= {2, 4}
    assert [writer.received for writer in writers] == [[1]] * 6


# ---- busy rooms


async def test_busy_room_batches_events_into_one_send_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("realtime.channel.BUSY_SECONDS", 60)
    room = FanoutFixture(slice_=9, gather=0.02)
    writers = [room.add() for _ in range(2)]
    room.send_event()
    assert [writer.received for writer in writers] == [[1]] * 2, (
        "the event of a quiet room is sent at once"
    )
    for _ in range(3):
        room.send_event()
    assert room.fanout.busy
    await room.settle()
    assert [writer.received for writer in writers] == [[1, 2, 3, 4]] * 2
    assert [writer.send_sizes for writer in writers] == [[1, 3]] * 2
    assert room.fanout.sent == 4
    room.fanout.send(b"0009", 4)
    assert len(room.latencies) == 4, "each event is measured, an unnumbered frame is not"
    assert all(0 <= seconds < 10 for seconds in room.latencies)


async def test_only_events_of_a_busy_room_are_batched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.channel.BUSY_SECONDS", 60)
    room = FanoutFixture(slice_=9, gather=0.02)
    writer = room.add()
    room.send_event()
    room.fanout.send(b"0009", 1)
    assert writer.received == [1, 9], "an unnumbered frame"
    monkeypatch.setattr("realtime.channel.BUSY_SECONDS", 0.0)
    room = FanoutFixture(slice_=9, gather=0.02)
    writer = room.add()
    for _ in range(2):
        room.send_event()
    assert (writer.send_sizes, room.fanout.busy) == ([1, 1], False)


@pytest.fixture
def pairs(io_loop: IOLoop) -> Iterator[list[WriterPair]]:
    pairs = [WriterPair(user_id=f"u{n}") for n in range(9)]
    yield pairs
    for pair in pairs:
        pair.close()


async def test_dead_clients_do_not_stop_delivery_to_the_others(
    pairs: list[WriterPair],
) -> None:
    fanout = Fanout(slice_size=2, gather_seconds=0)
    for pair in pairs:
        fanout.add(pair.writer.user_id, pair.writer)
    pairs[0].stream.close()  # the server's side is closed
    pairs[3].reader.close()  # the client is gone, the next send fails
    pairs[5].stall()  # the client does not read
    alive = [pairs[n] for n in (1, 2, 4, 6, 7, 8)]
    received = [bytearray() for _ in alive]
    for n in range(100):
        fanout.send(b"%04d" % n * 250, n + 1)
        await until(lambda: not fanout.busy)
        for index, pair in enumerate(alive):
            received[index] += await pair.read(1000)
    assert received == [b"".join(b"%04d" % n * 250 for n in range(100))] * len(alive)
    assert fanout.sent == 100
    assert pairs[5].writer.close_code == CloseCode.SLOW
    assert [n for n, pair in enumerate(pairs) if pair.writer.closed] == [0, 3, 5]


async def test_partial_write_in_a_batch_continues_where_it_stopped(io_loop: IOLoop) -> None:
    slow, quick = (WriterPair(backlog=10_000_000, user_id=name) for name in ("slow", "quick"))
    fanout = Fanout(slice_size=9, gather_seconds=0.001)
    fanout.add("slow", slow.writer)
    fanout.add("quick", quick.writer)
    frames = [b"%04d" % n * 20_000 for n in range(5)]
    for n, frame in enumerate(frames):
        fanout.send(frame, n + 1, time.time())
    await until(lambda: not fanout.busy)
    assert slow.writer.has_backlog, "the kernel accepts less than 400 kB at once"
    whole = b"".join(frames)
    for pair in (quick, slow):
        assert await pair.read(len(whole)) == whole
        pair.close()


class FailingWriter(WriterStub):
    """Raises errors that no socket raises, one of them after an error that a slow one raises."""

    def push(self, _data: bytes) -> int:
        raise BrokenPipeError

    def send(self, _data: bytes) -> None:
        raise RuntimeError

    def close(self) -> None:
        raise RuntimeError


@pytest.mark.parametrize("slice_", [1, 9])
async def test_unexpected_errors_of_a_socket_do_not_stop_the_room(slice_: int) -> None:
    room = FanoutFixture(slice_)
    room.fanout.add("broken", cast("SocketWriter", FailingWriter("broken")))
    writer = room.add()
    for _ in range(2):
        room.send_event()
        await room.settle()
    room.fanout.close_all(close)
    await room.settle()
    assert writer.received == [1, 2, BYE]


async def test_sockets_that_join_a_busy_room_add_no_batches() -> None:
    room = FanoutFixture(slice_=1)
    for _ in range(3):
        room.add()
    room.send_event()
    await asyncio.sleep(0)
    for _ in range(50):
        room.add()
        room.send_event()
    await room.settle()
    first, *_, last = room.writers
    assert (first.send_sizes, last.received) == ([1, 50], [51])


# ---- any order of adding, sending, removing and event loop turns

INITIAL_USERS = "abcde"
"""More than a slice."""
USERS = st.sampled_from(INITIAL_USERS + "fg")
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), USERS),
        st.tuples(st.just("remove"), USERS),
        st.tuples(st.sampled_from(["send", "send_unnumbered", "turn"]), st.just("")),
    ),
    max_size=60,
)


class FanoutModel(FanoutFixture):
    """What each socket of a fan-out must receive, checked after every action."""

    def __init__(self, slice_: int, gather: float) -> None:
        super().__init__(slice_, gather)
        self.seq = 0
        self.expected: dict[int, list[int]] = {}
        self.seqs: list[int] = [0]
        """Last event sequence number up to each frame number."""

    async def act(self, action: str, user_id: str) -> None:
        match action:
            case "turn":
                await asyncio.sleep(0)
            case "add":
                self._add(user_id)
            case "remove":
                self._remove(user_id)
            case _:
                self._send(numbered=action == "send")
        self._check()

    async def end(self) -> None:
        self.fanout.close_all(close)
        for writer in self.open_writers:
            self.expected[id(writer)].append(BYE)
        async with asyncio.timeout(WAIT_SECONDS):
            await self.settle()

    @property
    def open_writers(self) -> list[WriterStub]:
        return [writer for writer in self.writers if self.expected[id(writer)][-1:] != [BYE]]

    def _add(self, user_id: str) -> None:
        self._remove(user_id)
        self.expected[id(self.add(user_id))] = []

    def _remove(self, user_id: str) -> None:
        """Remove a socket: it receives its queued frames, then the close and nothing more."""
        if writer := cast("WriterStub | None", self.fanout.sockets.get(user_id)):
            self.fanout.remove(user_id)
            writer.close()
            self.expected[id(writer)].append(BYE)

    def _send(self, *, numbered: bool) -> None:
        self.sent_events += 1
        self.seq += numbered
        self.seqs.append(self.seq)
        for writer in self.open_writers:
            self.expected[id(writer)].append(self.sent_events)
        self.fanout.send(b"%04d" % self.sent_events, self.seq, float(numbered))

    def _check(self) -> None:
        for writer in self.open_writers:
            expected = self.expected[id(writer)]
            assert writer.received == expected[: len(writer.received)], "in order, without gaps"
            last = writer.received[-1] if writer.received else writer.joined_at
            assert self.fanout.sent <= self.seqs[last], (
                "a heartbeat would name an undelivered event"
            )


@example_settings(300)
@given(slice_=st.integers(1, 3), gather=st.sampled_from([0, 0.005]), actions=ACTIONS)
def test_each_socket_receives_exactly_the_frames_sent_while_joined_then_the_close(
    slice_: int, gather: float, actions: list[tuple[str, str]]
) -> None:
    async def run() -> None:
        model = FanoutModel(slice_, gather)
        for user_id in INITIAL_USERS:
            await model.act("add", user_id)
        for action, user_id in actions:
            await model.act(action, user_id)
        await model.end()
        for writer in model.writers:
            assert writer.received == model.expected[id(writer)]

    asyncio.run(run())
