"""A whole run: the programs, the rooms with their people, and their ears."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.actors import GIVERS, WALKERS, favours, turns
from chaos.client import Client, Manners
from chaos.figures import Figures
from chaos.fleet import Fleet, raise_file_limit
from chaos.hearing import Hearing
from chaos.moves import walk
from chaos.phones import Network, Phone, log_in
from chaos.stage import Stage
from chaos.story import Faults, Stories

AT_ONCE = 24
"""How many people come in at the same time."""
ARRIVALS_PER_SECOND = 300
FOLDERS = 3
"""How many ears of a room keep a picture of it."""
GOLD = 10_000_000
LEVEL_SECONDS = 30.0
BEGIN_SECONDS = 120.0
REST_SECONDS = 100.0
"""For whoever is in the middle of something when all are to rest."""


@dataclass(frozen=True)
class Size:
    """How large a run is; `pause` is what an actor rests between two acts, in the mean."""

    clients: int = 200
    rooms: int = 8
    processes: int = 4
    pause: float = 1.0
    proxied: bool = True
    favours: bool = True
    walkers: bool = True
    silence: float = 40.0
    """How long clients bear hearing nothing."""
    settings: Mapping[str, str] = field(default_factory=dict)


class Scene:
    """Made by `playing`; then `act`, whatever is to happen, and `quiet`."""

    def __init__(self, folder: Path, size: Size, seed: int) -> None:
        self.size, self.seed = size, seed
        self.fleet = Fleet(folder, size.processes, size.settings, proxied=size.proxied, seed=seed)
        self.figures, self.faults, self.stories = Figures(), Faults(), Stories()
        self.network = Network(self.fleet, self.figures, self.faults, self.chance("network"))
        self.stages: list[Stage] = []
        self.level_after: float | None = None
        self.acting: list[asyncio.Task[None]] = []
        self._watching: asyncio.Task[None] | None = None

    def chance(self, name: str) -> random.Random:
        """To everything its own: what one draws is no other one's business, and replays."""
        return random.Random(f"{self.seed}:{name}")

    @property
    def clients(self) -> list[Client]:
        return [client for stage in self.stages for client in stage.clients]

    # ---- the beginning

    async def open(self) -> None:
        """Programs, rooms, people and ears; returns when every ear has its first frame."""
        await self.fleet.start()
        per_room = self.size.clients // self.size.rooms
        rooms = (self._open_room(n, per_room) for n in range(self.size.rooms))
        self.stages = list(await asyncio.gather(*rooms))
        self._watching = asyncio.create_task(self._look_after_all())
        for number, client in enumerate(self.clients):
            client.begin()
            if number % AT_ONCE == 0:  # the opening is not to be a trouble of its own
                await asyncio.sleep(AT_ONCE / ARRIVALS_PER_SECOND)
        await self.until(lambda: all(client.connected for client in self.clients), BEGIN_SECONDS)

    def act(self) -> None:
        for stage in self.stages:
            works = turns(stage, self.size.pause)
            if self.size.favours:
                works += favours(stage, self.size.pause)
            if self.size.walkers:
                place = len(stage.people) - GIVERS - WALKERS
                client = stage.clients[place + 1]  # the host's is the first
                works.append(walk(stage, stage.people[place], client, self.size.pause))
            self.acting += map(asyncio.ensure_future, works)

    # ---- the end

    async def quiet(self) -> None:
        """People rest, everything is back, and every ear comes level with the database."""
        for stage in self.stages:
            stage.going = False
        await self.fleet.heal()
        if self.acting:
            _, late = await asyncio.wait(self.acting, timeout=REST_SECONDS)
            for task in late:
                self.faults.add("stuck", repr(task))
        began = time.monotonic()
        # Who sits on a dead line needs the bearable silence to notice, and then comes back.
        while behind := await self._behind():
            if time.monotonic() - began > LEVEL_SECONDS + self.size.silence:
                for words in behind:
                    self.faults.add("not_level", words)
                return
            await asyncio.sleep(0.5)
        self.level_after = time.monotonic() - began

    async def close(self) -> None:
        for client in self.clients:
            client.stop()
        tasks = [*self.acting, *([self._watching] if self._watching else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *(c.over() for c in self.clients), return_exceptions=True)
        await self.network.close()
        await self.fleet.stop()

    async def rooms(self) -> dict[int, Any]:
        """Each room as the database has it: {epoch, seq, room, …} by live_id."""
        rows = [await self.network.operate("GET", f"rooms/{s.live_id}") for s in self.stages]
        return {row.json["id"]: row.json for row in rows if row.ok}

    async def until(self, done: Callable[[], bool], seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while not done():
                await asyncio.sleep(0.05)

    # ---- steps

    async def _open_room(self, number: int, people: int) -> Stage:
        host = await self.person(f"host{number}", 2)
        await self.network.operate("PATCH", f"users/{host.id}", is_matchmaker=True)
        host.live_id = (await host.post("qlive_room/matchmaker_enter/")).json["live_id"]
        limit = asyncio.Semaphore(max(1, AT_ONCE // self.size.rooms))

        async def come(n: int) -> Phone:
            async with limit:
                return await self.guest(f"guest{number}-{n}", 1 + n % 2, host.live_id)

        guests = list(await asyncio.gather(*(come(n) for n in range(people - 1))))
        for giver in guests[-GIVERS:]:
            given = {"gold": GOLD, "reason": "chaos", "request_id": giver.id}
            await self.network.operate("POST", f"users/{giver.id}/grant", **given)
        stage = Stage(host, guests, self.faults, self.chance(f"stage{number}"))
        for place, one in enumerate([host, *guests]):
            stage.clients.append(self.ear(one, folds=place < FOLDERS))
        return stage

    async def person(self, name: str, gender: int) -> Phone:
        node = self.chance(name).choice(self.fleet.nodes)
        return await log_in(self.network, node, name, gender)

    async def guest(self, name: str, gender: int, live_id: int) -> Phone:
        """Somebody who has come into a room."""
        one = await self.person(name, gender)
        entered = await one.get("get_playurl/", live_id=live_id)
        if not entered.ok:
            raise RuntimeError(f"{name} could not come in: {entered}")
        one.live_id = live_id
        return one

    def ear(self, phone: Phone, *, folds: bool = False) -> Client:
        hearing = Hearing(phone.name, phone.live_id, self.stories, self.faults, folds=folds)
        manners = Manners(self.size.silence)
        chance = self.chance(phone.name)
        return Client(self.fleet, hearing, phone.token, self.figures, manners, chance)

    async def _look_after_all(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1)
            now = loop.time()
            for client in self.clients:
                client.look_after(now)

    async def _behind(self) -> list[str]:
        """Who is not where the database is."""
        rooms, found = await self.rooms(), []
        for client in self.clients:
            hearing, row = client.hearing, rooms.get(client.hearing.live_id)
            if client.final:
                continue
            if row is None or (hearing.epoch, hearing.seq) != (row["epoch"], row["seq"]):
                there = row and (row["epoch"], row["seq"])
                found.append(f"{hearing.name}: {(hearing.epoch, hearing.seq)}, stored: {there}")
            elif not client.connected:
                found.append(f"{hearing.name}: not connected")
        return found


@contextlib.asynccontextmanager
async def playing(folder: Path, size: Size, seed: int) -> AsyncIterator[Scene]:
    """A scene with everybody in their places; ended however the block ends."""
    if why := raise_file_limit(500 + 6 * size.clients):
        raise RuntimeError(why)
    scene = Scene(folder, size, seed)
    try:
        await scene.open()
        yield scene
    finally:
        await scene.close()
