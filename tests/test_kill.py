"""The server is killed again and again while people act and listen: nobody may notice more than
a pause."""

import asyncio
import json
import random
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets
from pymongo import MongoClient

from settings import Settings
from tests.phones import Phone, Reply, Street
from tests.realtime.folding import Frame, Screen, comparable
from tests.realtime.listening import until
from tests.test_server import Program

ROUNDS = 8
GOLD = 100_000
DATABASE = "qlive_test_kill"
AWAY = (aiohttp.ClientError, OSError, TimeoutError)


async def until_answered(ask: Callable[[], Awaitable[Reply]]) -> Reply:
    """What a patient phone does: ask again until a server answers."""
    while True:
        with suppress(*AWAY):
            reply = await asyncio.wait_for(ask(), 10)
            if reply.status < 500:
                return reply
        await asyncio.sleep(0.02)


class Listener:
    """A client that comes back with `since`, and takes no gap and no second snapshot."""

    def __init__(self, phone: Phone, *byes: int) -> None:
        """`byes` are the codes with which it may be told goodbye."""
        self.phone = phone
        self.byes = byes
        self.heard: list[str] = []
        self.first: Frame = {}
        self.screen: Screen
        self.resumed = 0

    async def listen(self) -> None:
        while True:
            with suppress(websockets.WebSocketException, *AWAY):
                where = {"epoch": self.screen.epoch, "since": self.screen.seq} if self.first else {}
                connection = (await self.phone.connect(**where)).connection
                async for text in connection:
                    self._hear(str(text))
            await asyncio.sleep(0.02)

    def _hear(self, text: str) -> None:
        frame = json.loads(text)
        match frame["type"]:
            case "snapshot":
                assert not self.first, f"a second snapshot: {frame.get('reset')}"
                self.first, self.screen = frame, Screen(frame)
            case "resumed":
                assert frame["seq"] == self.screen.seq + frame["replayed"]
                self.resumed += 1
            case "audience" | "heartbeat":
                pass
            case "bye":
                assert frame["code"] in self.byes, frame
            case _:
                self.screen.hear(frame)
                self.heard.append(text)


class Giver:
    """Gives one gift after the other, each until it is acknowledged."""

    def __init__(self, phone: Phone, to: Phone, gift_id: int) -> None:
        self.phone, self.to, self.gift_id = phone, to, gift_id
        self.going = True
        self.given: list[tuple[str, int]] = []
        """(request_id, the gold that was left) of all acknowledged."""

    async def give(self) -> None:
        while self.going:
            request_id = f"{self.phone.name}{len(self.given)}"
            gift: Any = {"gift_id": self.gift_id, "request_id": request_id}
            reply = await until_answered(
                lambda: self.phone.get("qlive_gift/push_gift/", user_id=self.to.id, **gift)  # noqa: B023
            )
            assert reply.ok()["status"] == "success"
            self.given.append((request_id, reply.json["gold"]))


class Restless:
    """Applies, sits and leaves again; what was answered must be so, whatever is killed."""

    def __init__(self, phone: Phone) -> None:
        self.phone = phone
        self.going = True
        self.turns = 0
        self.seats: list[str] = []
        """The play URLs, without signatures, of all acknowledged seats."""

    async def wander(self) -> None:
        while self.going:
            for call in ("apply_micro", "accept_micro"):
                reply = await until_answered(
                    lambda: self.phone.post(f"qlive_room/{call}/", live_id=self.phone.live_id)  # noqa: B023
                )
                assert reply.status == 200 or reply.refusal == (409, "on_mic"), reply.text
            self.seats.append(reply.json["play_url"].partition("?")[0])
            await until_answered(
                lambda: self.phone.get("qlive_room/leave_micro/", live_id=self.phone.live_id)
            )
            self.turns += 1


class Stage:
    """One server after the other on the same port and data."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await self._program.serve()
        assert self._process.stdout
        await asyncio.wait_for(self._process.stdout.readuntil(b"Ctrl-C stops"), 20)

    async def kill(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()


@pytest.fixture
def folder(secrets_file: Path, settings: Any, tmp_path: Path) -> Path:
    shutil.copy(secrets_file, tmp_path / "dev-secrets.json")
    return tmp_path


@asynccontextmanager
async def at_once(*works: Awaitable[None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """All of them beside the block, until it ends; whichever fails, fails the test."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer


@pytest.fixture
def hasty_mongodb(mongo_uri: str) -> Iterator[None]:
    """A transaction whose server was killed holds its room until MongoDB gives it up, after a
    minute unless it is told otherwise; here after a second."""
    name = "transactionLifetimeLimitSeconds"
    with MongoClient[Any](mongo_uri) as client:
        client.drop_database(DATABASE)
        was = client.admin.command("setParameter", 1, **{name: 1})["was"]
        yield
        client.admin.command("setParameter", 1, **{name: was})
        client.drop_database(DATABASE)


async def the_last(street: Street, live_id: int) -> Frame:
    """The room as the database has it."""
    row: Frame = (await street.ops("GET", f"rooms/{live_id}")).ok()
    return row


@pytest.mark.gen_test(timeout=90)
async def test_nobody_misses_anything_when_the_server_is_killed(
    folder: Path, mongo_uri: str, hasty_mongodb: None, settings: tuple[Settings, Any]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    where = {"mongodb__uri": mongo_uri, "mongodb__database": DATABASE, "server__port": str(port)}
    stage = Stage(Program(folder, **where))
    street = Street(f"http://127.0.0.1:{port}", settings[0].ops.token)
    try:
        await stage.start()
        await _kill_again_and_again(stage, street)
    finally:
        await street.close()
        await stage.kill()


async def _kill_again_and_again(stage: Stage, street: Street) -> None:
    chance = random.Random(8)
    host = await street.host()
    live_id = host.live_id
    anna = await street.guest("anna", 2, live_id)
    bert, carl = [await street.guest(n, 1, live_id, gold=GOLD) for n in ("bert", "carl")]
    gifts = (await host.get("qlive_gift/")).ok()["results"]
    gift = min(gifts, key=lambda row: row["gold"])
    listeners = [Listener(phone) for phone in (host, anna, bert, carl)]
    givers = [Giver(bert, host, gift["id"]), Giver(carl, anna, gift["id"])]
    restless = Restless(anna)
    async with at_once(*(one.listen() for one in listeners)) as ears:
        await until(lambda: all(one.first for one in listeners))
        async with at_once(*(one.give() for one in givers), restless.wander()) as acts:
            for round_ in range(ROUNDS):
                before = len(givers[0].given), len(givers[1].given), restless.turns
                await asyncio.sleep(chance.uniform(0.05, 0.5))  # at any moment
                await stage.kill()
                await stage.start()
                await until(lambda: all(one.resumed > round_ for one in listeners), 10)  # noqa: B023
                await until(
                    lambda: all(  # everybody got on after the kill
                        now > then
                        for now, then in zip(
                            (len(givers[0].given), len(givers[1].given), restless.turns),
                            before,  # noqa: B023
                            strict=True,
                        )
                    ),
                    10,
                )
            for one in (*givers, restless):
                one.going = False
            await asyncio.wait(acts, timeout=10)
        last = await the_last(street, live_id)
        await until(lambda: all(one.screen.seq >= last["seq"] for one in listeners))
        assert not [task for task in ears if task.done()]
    await _check(street, live_id, listeners, givers, restless, gift["gold"])


async def _check(
    street: Street,
    live_id: int,
    listeners: list[Listener],
    givers: list[Giver],
    restless: Restless,
    price: int,
) -> None:
    last = await the_last(street, live_id)
    for one in listeners:
        assert one.heard == listeners[0].heard[-len(one.heard) :], "the same bytes for all"
        assert one.first["seq"] + len(one.heard) == last["seq"]
        assert one.screen.shown == comparable(last["room"])
    events = [json.loads(text) for text in listeners[0].heard]
    seats = [e["data"]["play_url"] for e in events if e["type"] == "micro_accept"]
    assert restless.seats == list(dict.fromkeys(url.partition("?")[0] for url in seats))
    told = [event["data"]["request_id"] for event in events if event["type"] == "gift"]
    for giver in givers:
        acknowledged = [request_id for request_id, _ in giver.given]
        mine = [request_id for request_id in told if request_id.startswith(giver.phone.name)]
        assert mine == acknowledged
        balances = [gold for _, gold in giver.given]
        assert balances == [GOLD - price * (n + 1) for n in range(len(balances))]
        purse = (await giver.phone.get("qlive_user/get_userinfo/")).ok()
        assert purse["gold"] == GOLD - price * len(mine)
