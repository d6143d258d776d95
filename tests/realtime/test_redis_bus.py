import asyncio
import time
from collections.abc import Callable, Iterator

import pytest
from tornado.ioloop import IOLoop

from realtime import redis_bus
from realtime.bus import Arrived, Edited, Message, Revoked, ShownOut, Stirred, Told
from realtime.codes import Code
from realtime.redis_bus import WAITING, RedisBus
from tests.realtime.listening import until
from tests.realtime.redis_wire import Wire, ask, listeners
from tests.redis_server import RedisServer

ROOM, OTHER = 7, 8
SOON = 15.0
"""Within so many seconds what is lost is noticed and made good, on a busy machine, too."""


def told(live_id: int, seq: int) -> Told:
    return Told(live_id, "a", seq, b"\x81\x02{}\n", last=False)


class Process:
    """One process's bus at work, and what it has heard."""

    def __init__(self, url: str, name: str, prefix: str = "q") -> None:
        self.bus = RedisBus(url, prefix, name)
        self.heard: list[Message] = []
        self.bus.listen(self.heard.append)
        self._stopping = asyncio.Event()
        self._lines = [
            asyncio.ensure_future(line(self._stopping)) for line in (self.bus.hear, self.bus.speak)
        ]

    async def connected(self) -> None:
        await until(lambda: self.bus.healthy, SOON)

    async def lost(self) -> None:
        await until(lambda: not self.bus.healthy, SOON)

    async def hears(self, message: Message) -> None:
        await until(lambda: message in self.heard, SOON)

    async def stop(self) -> None:
        self._stopping.set()
        ended = asyncio.gather(*self._lines, return_exceptions=True)
        outcomes = await asyncio.wait_for(ended, SOON)
        await self.bus.close()
        assert outcomes == [None, None], "no line ends before it is told to"


Start = Callable[..., Process]


@pytest.fixture(autouse=True)
def frequent_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bus looks so often whether it is to end."""
    monkeypatch.setattr(redis_bus, "PING_SECONDS", 0.1)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bus that takes a silence of this length for a loss."""
    monkeypatch.setattr(redis_bus, "DEAF_SECONDS", 1.0)
    monkeypatch.setattr(redis_bus, "ANSWER_SECONDS", 1.0)


@pytest.fixture
def start(io_loop: IOLoop) -> Iterator[Start]:
    """Processes, each of which is to leave no task behind."""
    processes: list[Process] = []

    def start(url: str, name: str = "", **more: str) -> Process:
        processes.append(Process(url, name or f"p{len(processes)}", **more))
        return processes[-1]

    async def stop() -> None:
        stops = (process.stop() for process in processes)
        failed = [it for it in await asyncio.gather(*stops, return_exceptions=True) if it]
        mine = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not mine]
        assert (failed, left) == ([], []), "every task ends with its bus, and not before"

    yield start
    io_loop.run_sync(stop)


async def pair(start: Start, url: str) -> tuple[Process, Process]:
    """Two processes that follow ROOM."""
    one, two = start(url), start(url)
    for process in (one, two):
        await process.connected()
        await process.bus.follow(ROOM)
    return one, two


# ---- from one process to the other


@pytest.mark.gen_test(timeout=30)
async def test_every_message_crosses_in_order(start: Start, redis_url: str) -> None:
    one, two = await pair(start, redis_url)
    said: list[Message] = [
        told(ROOM, 1),
        Stirred(ROOM),
        ShownOut("1", ROOM, Code.PUT_OUT),
        ShownOut("2", None, Code.PUT_OUT),
        Arrived(ROOM, "a", "3", 4),
        Revoked("hash"),
        Edited(),
        told(ROOM, 2),
    ]
    for message in said:
        one.bus.publish(message)
    assert one.heard == said, "here at once"
    await two.hears(said[-1])
    assert two.heard == said


@pytest.mark.gen_test(timeout=30)
async def test_nobody_hears_themselves_twice(start: Start, redis_url: str) -> None:
    one, two = await pair(start, redis_url)
    one.bus.publish(told(ROOM, 1))
    await two.hears(told(ROOM, 1))
    two.bus.publish(told(ROOM, 2))  # behind the echo of the first, in the same channel
    await one.hears(told(ROOM, 2))
    assert one.heard == two.heard == [told(ROOM, 1), told(ROOM, 2)]


@pytest.mark.gen_test(timeout=30)
async def test_what_is_said_after_follow_has_returned_is_heard(
    start: Start, redis_url: str
) -> None:
    one, two = await pair(start, redis_url)
    for live_id in range(100, 150):
        await two.bus.follow(live_id)
        one.bus.publish(told(live_id, 1))
    await two.hears(told(149, 1))
    assert two.heard == [told(live_id, 1) for live_id in range(100, 150)]


@pytest.mark.gen_test(timeout=30)
async def test_a_room_that_is_not_followed_is_not_heard(start: Start, redis_url: str) -> None:
    one, two = await pair(start, redis_url)
    one.bus.publish(told(OTHER, 1))
    one.bus.publish(told(ROOM, 1))
    await two.hears(told(ROOM, 1))
    assert two.heard == [told(ROOM, 1)]


@pytest.mark.gen_test(timeout=30)
@pytest.mark.parametrize("message", [Revoked("hash"), Edited(), ShownOut("1", None, Code.PUT_OUT)])
async def test_what_concerns_all_is_heard_by_whoever_follows_no_room(
    start: Start, redis_url: str, message: Message
) -> None:
    one, two = start(redis_url), start(redis_url)
    for process in (one, two):
        await process.connected()
    one.bus.publish(message)
    await two.hears(message)
    assert one.heard == two.heard == [message]


@pytest.mark.gen_test(timeout=30)
async def test_a_room_that_is_no_longer_followed_is_not_heard(
    start: Start, redis_server: RedisServer
) -> None:
    one, two = await pair(start, redis_server.url)
    await two.bus.follow(OTHER)
    two.bus.unfollow(ROOM)
    await until(lambda: listeners(redis_server, "q:room:7") == 1)
    one.bus.publish(told(ROOM, 1))
    one.bus.publish(told(OTHER, 1))
    await two.hears(told(OTHER, 1))
    assert two.heard == [told(OTHER, 1)]


@pytest.mark.gen_test(timeout=30)
@pytest.mark.parametrize("follows", [True, False])
async def test_the_last_word_about_a_room_counts_however_quickly_they_come(
    start: Start, redis_server: RedisServer, follows: bool
) -> None:
    one, two = await pair(start, redis_server.url)
    following = []
    for _ in range(5):
        two.bus.unfollow(ROOM)
        following.append(asyncio.ensure_future(two.bus.follow(ROOM)))
        await asyncio.sleep(0)
    if not follows:
        two.bus.unfollow(ROOM)
    await asyncio.gather(*following)
    await two.bus.follow(OTHER)  # answered behind all that
    assert listeners(redis_server, "q:room:7") == 1 + follows
    one.bus.publish(told(ROOM, 1))
    one.bus.publish(told(OTHER, 1))
    await two.hears(told(OTHER, 1))
    assert (told(ROOM, 1) in two.heard) == follows


@pytest.mark.gen_test(timeout=30)
async def test_deployments_on_one_redis_do_not_hear_each_other(
    start: Start, redis_url: str
) -> None:
    one, two = await pair(start, redis_url)
    stranger = start(redis_url, prefix="another")
    await stranger.connected()
    await stranger.bus.follow(ROOM)
    stranger.bus.publish(Revoked("theirs"))
    stranger.bus.publish(Edited())
    stranger.bus.publish(told(ROOM, 9))
    for message in (Revoked("ours"), told(ROOM, 1)):
        one.bus.publish(message)
    await two.hears(told(ROOM, 1))
    assert two.heard == [Revoked("ours"), told(ROOM, 1)]
    assert stranger.heard == [Revoked("theirs"), Edited(), told(ROOM, 9)]


@pytest.mark.gen_test(timeout=30)
@pytest.mark.parametrize("letter", ["garbage", "[1]", "[" * 20_000, '["p9","sung",{}]'])
async def test_a_word_that_nobody_understands_is_skipped(
    start: Start, redis_server: RedisServer, letter: str
) -> None:
    one, two = await pair(start, redis_server.url)
    for channel in ("q:room:7", "q:all"):
        ask(redis_server, "PUBLISH", channel, f"'{letter}'")
    one.bus.publish(told(ROOM, 1))
    await two.hears(told(ROOM, 1))
    assert two.heard == [told(ROOM, 1)]


# ---- Redis away


@pytest.mark.gen_test(timeout=60)
async def test_without_redis_nothing_waits_and_afterwards_all_is_heard_again(
    start: Start, redis_server: RedisServer
) -> None:
    one, two = await pair(start, redis_server.url)
    gaps = two.bus.gaps
    redis_server.kill()
    began = time.monotonic()
    for seq in range(1000):
        one.bus.publish(told(ROOM, seq))
    assert time.monotonic() - began < 1
    assert len(one.heard) == 1000, "here all the same"
    await one.lost()
    await two.lost()
    began = time.monotonic()
    await two.bus.follow(OTHER)
    assert time.monotonic() - began < 1
    two.heard.clear()
    assert two.bus.gaps == gaps + 1, "however often it fails to come back"
    redis_server.start()
    await one.connected()
    await two.connected()
    assert two.bus.gaps > gaps + 1
    for live_id in (ROOM, OTHER):
        one.bus.publish(told(live_id, 5000))
        await two.hears(told(live_id, 5000))
    assert two.heard == [told(ROOM, 5000), told(OTHER, 5000)]


@pytest.mark.gen_test(timeout=60)
async def test_a_redis_that_is_away_at_the_start_is_found_when_it_comes(
    start: Start, redis_server: RedisServer
) -> None:
    redis_server.kill()
    one, two = start(redis_server.url), start(redis_server.url)
    await two.bus.follow(ROOM)
    one.bus.publish(told(ROOM, 1))
    assert (one.heard, one.bus.healthy) == ([told(ROOM, 1)], False)
    redis_server.start()
    await one.connected()
    await two.connected()
    one.bus.publish(told(ROOM, 2))
    await two.hears(told(ROOM, 2))
    assert two.heard == [told(ROOM, 2)]


@pytest.mark.gen_test(timeout=60)
@pytest.mark.usefixtures("impatient")
async def test_a_redis_that_hangs_is_noticed_by_the_missing_ping(
    start: Start, redis_server: RedisServer
) -> None:
    one, two = await pair(start, redis_server.url)
    gaps = two.bus.gaps
    redis_server.pause()
    began = time.monotonic()
    await two.bus.follow(OTHER)
    assert time.monotonic() - began < 2, "in a moment, though in vain"
    for seq in range(2 * WAITING):
        one.bus.publish(told(ROOM, seq))
    assert len(one.bus._out) <= WAITING
    assert time.monotonic() - began < 10
    await two.lost()
    await one.lost()
    redis_server.resume()
    await one.connected()
    await two.connected()
    assert two.bus.gaps > gaps
    for live_id in (ROOM, OTHER):
        one.bus.publish(told(live_id, 50_000))
        await two.hears(told(live_id, 50_000))


@pytest.mark.gen_test(timeout=60)
async def test_a_subscriber_that_redis_has_thrown_out_counts_a_gap_and_hears_again(
    start: Start, redis_server: RedisServer
) -> None:
    one, two = await pair(start, redis_server.url)
    gaps = two.bus.gaps
    ask(redis_server, "CLIENT", "KILL", "TYPE", "pubsub")
    await until(lambda: two.bus.gaps > gaps, SOON)
    await one.connected()
    await two.connected()
    await until(lambda: listeners(redis_server, "q:room:7") == 2, SOON)
    one.bus.publish(told(ROOM, 1))
    await two.hears(told(ROOM, 1))


@pytest.mark.gen_test(timeout=60)
@pytest.mark.usefixtures("impatient")
async def test_a_deaf_subscriber_is_noticed_though_its_connection_stands(
    start: Start, redis_server: RedisServer
) -> None:
    """redis-py #2089: publishing goes on, the subscriber's socket is open, and nothing comes."""
    wire = Wire(redis_server.port)
    await wire.open()
    deaf, other = start(wire.url), start(redis_server.url)
    for process in (deaf, other):
        await process.connected()
        await process.bus.follow(ROOM)
    gaps = deaf.bus.gaps
    wire.deaf = True
    deaf.bus.publish(told(ROOM, 1))
    await other.hears(told(ROOM, 1))
    await deaf.lost()
    wire.deaf = False
    await deaf.connected()
    assert deaf.bus.gaps > gaps
    other.bus.publish(told(ROOM, 2))
    await deaf.hears(told(ROOM, 2))
    await deaf.stop()
    await wire.close()


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize("state", ["there", "away", "hanging", "away from the start"])
async def test_a_bus_ends_soon_whatever_redis_does(
    start: Start, redis_server: RedisServer, state: str
) -> None:
    """What it would leave behind, tasks and sockets, fails the test by itself."""
    if state == "away from the start":
        redis_server.kill()
    process = start(redis_server.url)
    if state != "away from the start":
        await process.connected()
        await process.bus.follow(ROOM)
    if state == "away":
        redis_server.kill()
    if state == "hanging":
        redis_server.pause()
    process.bus.publish(told(ROOM, 1))
    process.bus.unfollow(ROOM)
    began = time.monotonic()
    await process.stop()
    assert time.monotonic() - began < 10


class ClosedTransport:
    """A subscription whose connection uvloop has closed."""

    async def subscribe(self, channel: str) -> None:
        raise RuntimeError(f"unable to perform operation on <TCPTransport closed=True>: {channel}")


@pytest.mark.gen_test(timeout=20)
async def test_a_request_on_a_connection_that_is_closed_fails_no_task() -> None:
    bus = RedisBus("redis://127.0.0.1:1/0", "q", "one")
    bus._pubsub = ClosedTransport()
    await bus.follow(ROOM)
    (asking,) = bus._tasks
    await asking
    await bus.close()
