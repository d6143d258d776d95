"""Two machines, and a room in which something happens all the time."""

import asyncio
import json
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.deploy.front import OPS_TOKEN, Front
from tests.people import Giver, Listener, Restless, at_once, the_last
from tests.phones import Phone, Street
from tests.ports import free_port
from tests.realtime.listening import until
from tests.test_server import Program

PATIENCE = 60.0


class Machine:
    """One of the two: a server that an operator stops and starts again on the same port."""

    def __init__(self, folder: Path, name: str, **settings: str) -> None:
        place = folder / name
        place.mkdir()
        shutil.copy(folder / "dev-secrets.json", place)
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._program = Program(place, server__port=str(self.port), **settings)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await self._program.serve()
        assert self._process.stdout
        await asyncio.wait_for(self._process.stdout.readuntil(b"Ctrl-C stops"), PATIENCE)

    async def end(self, number: int = signal.SIGTERM) -> None:
        if self._process and self._process.returncode is None:
            self._process.send_signal(number)
            await asyncio.wait_for(self._process.communicate(), PATIENCE)


@asynccontextmanager
async def two_machines(folder: Path, where: dict[str, str]) -> AsyncIterator[list[Machine]]:
    machines = [Machine(folder, name, ops__token=OPS_TOKEN, **where) for name in ("one", "two")]
    try:
        for machine in machines:
            await machine.start()
        yield machines
    finally:
        for machine in machines:
            await machine.end()


class Evening:
    """A room in which people listen, give and sit down all the time, through nginx."""

    def __init__(self, host: Phone, giver: Phone, sitter: Phone, gift: dict[str, Any]) -> None:
        self.host = host
        self.gift = gift
        self.listeners = [Listener(phone, 4000) for phone in (host, giver, sitter)]
        self.giver = Giver(giver, host, gift["id"])
        self.restless = Restless(sitter)

    @classmethod
    async def of(cls, direct: Street, front: Front) -> "Evening":
        host = await direct.host()
        giver = await direct.guest("bert", 1, host.live_id, gold=100_000)
        sitter = await direct.guest("anna", 2, host.live_id)
        gifts = (await host.get("qlive_gift/")).ok()["results"]
        people = [front.enter(phone) for phone in (host, giver, sitter)]
        return cls(*people, min(gifts, key=lambda row: row["gold"]))

    async def more(self, count: int) -> None:
        """Everybody gets on."""
        gifts, turns = len(self.giver.given) + count, self.restless.turns + count
        await until(
            lambda: len(self.giver.given) >= gifts and self.restless.turns >= turns, PATIENCE
        )

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """The block, and then a look at whether everybody has heard everything, once."""
        async with at_once(*(one.listen() for one in self.listeners)) as ears:
            await until(lambda: all(one.first for one in self.listeners), PATIENCE)
            async with at_once(self.giver.give(), self.restless.wander()) as acts:
                await self.more(3)
                yield
                await self.more(3)
                self.giver.going = self.restless.going = False
                await asyncio.wait(acts, timeout=PATIENCE)
            end = (await the_last(self.host.street, self.host.live_id))["seq"]
            await until(lambda: all(one.screen.seq >= end for one in self.listeners), PATIENCE)
            assert not [task for task in ears if task.done()]
        for one in self.listeners:
            assert one.first["seq"] + len(one.heard) == end
            told = [json.loads(text) for text in one.heard]
            gifts = [frame["data"]["request_id"] for frame in told if frame["type"] == "gift"]
            given = [request_id for request_id, _ in self.giver.given]
            assert gifts == given[-len(gifts) :]
            assert len(gifts) >= 6
        balances = [gold for _, gold in self.giver.given]
        price = self.gift["gold"]
        assert balances == [100_000 - price * (n + 1) for n in range(len(balances))]
