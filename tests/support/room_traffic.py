"""Two servers behind nginx, and continuous traffic in a room."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.api import ApiClient, ApiFixture
from tests.support.nginx import NginxApi
from tests.support.ports import free_ports
from tests.support.server_program import RestartableServer, ServerProgram
from tests.support.users import Listener, RepeatingGiver, SeatHopper, room_state, run_concurrently
from tests.support.waiting import until

PATIENCE = 60.0
START_GOLD = 100_000


class Machine(RestartableServer):
    """A server that keeps its port when it is stopped and started again."""

    def __init__(self, folder: Path, name: str, port: int, **settings: str) -> None:
        own_folder = folder / name
        own_folder.mkdir()
        shutil.copy(folder / "dev-secrets.json", own_folder)
        self.port = port
        self.address = f"http://127.0.0.1:{self.port}"
        super().__init__(ServerProgram(own_folder, server__port=str(port), **settings))


@asynccontextmanager
async def two_machines(folder: Path, settings: dict[str, str]) -> AsyncIterator[list[Machine]]:
    ports = zip(("one", "two"), free_ports(2), strict=True)
    machines = [Machine(folder, name, port, **settings) for name, port in ports]
    try:
        for machine in machines:
            await machine.start()
        yield machines
    finally:
        for machine in machines:
            await machine.stop()


class RoomTraffic:
    """Users who listen, give gifts and change seats in a room all the time, through nginx."""

    def __init__(
        self, host: ApiClient, giver: ApiClient, guest: ApiClient, gift: dict[str, Any]
    ) -> None:
        self.host = host
        self.gift = gift
        self.listeners = [Listener(client, 4000) for client in (host, giver, guest)]
        self.giver = RepeatingGiver(giver, host, gift["id"])
        self.hopper = SeatHopper(guest)

    @classmethod
    async def create(cls, direct: ApiFixture, front: NginxApi) -> "RoomTraffic":
        host = await direct.host()
        await front.use_operator_of(direct)
        giver = await direct.guest("bert", 1, host.live_id, gold=START_GOLD)
        guest = await direct.guest("anna", 2, host.live_id)
        gifts = (await host.get("qlive_gift/")).ok()["results"]
        clients = [front.via_nginx(client) for client in (host, giver, guest)]
        return cls(*clients, min(gifts, key=lambda row: row["gold"]))

    async def wait_for_progress(self, count: int) -> None:
        """Waits for `count` more gifts and as many more changes of seat."""
        gifts, rounds = len(self.giver.given) + count, self.hopper.rounds + count
        await until(
            lambda: len(self.giver.given) >= gifts and self.hopper.rounds >= rounds, PATIENCE
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Traffic while the block runs; then checks that every event arrived exactly once."""
        listening = (listener.listen() for listener in self.listeners)
        async with run_concurrently(*listening) as listen_tasks:
            await until(lambda: all(listener.first for listener in self.listeners), PATIENCE)
            async with run_concurrently(self.giver.give(), self.hopper.run()) as act_tasks:
                await self.wait_for_progress(3)
                yield
                await self.wait_for_progress(3)
                self.giver.active = self.hopper.active = False
                _, unfinished = await asyncio.wait(act_tasks, timeout=PATIENCE)
                assert not unfinished
            last_seq = (await room_state(self.host.api, self.host.live_id))["seq"]
            await until(
                lambda: all(listener.screen.seq >= last_seq for listener in self.listeners),
                PATIENCE,
            )
            assert not [task for task in listen_tasks if task.done()]
        self._check_events(last_seq)
        self._check_balances()

    def _check_events(self, last_seq: int) -> None:
        given = [request_id for request_id, _ in self.giver.given]
        for listener in self.listeners:
            assert listener.first["seq"] + len(listener.received) == last_seq
            frames = [json.loads(text) for text in listener.received]
            gifts = [frame["data"]["request_id"] for frame in frames if frame["type"] == "gift"]
            assert gifts == given[-len(gifts) :]
            assert len(gifts) >= 6

    def _check_balances(self) -> None:
        balances = [gold for _, gold in self.giver.given]
        price = self.gift["gold"]
        assert balances == [START_GOLD - price * (n + 1) for n in range(len(balances))]
