"""One run: the programs, and the rooms with their users and clients."""

import asyncio
import contextlib
import random
import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from chaos.api import FleetApi, FleetUser, grant, open_room
from chaos.event_check import EventChecker
from chaos.fleet import Fleet, RunSize
from chaos.load import RoomLoad, gift_actors, mic_actors
from chaos.report import RunMetrics, Violations, rounded
from chaos.timeline import Operation, Timelines
from chaos.websocket_client import RoomClient
from tests.support.waiting import until

CONCURRENT = 24
"""Users who sign in or connect at once."""
CONNECTS_PER_SECOND = 300
VIEWS_PER_ROOM = 3
"""Clients per room that build a view of it from its events."""
GOLD = 10_000_000
CATCH_UP_SECONDS = 30.0
CONNECT_SECONDS = 120.0
STOP_SECONDS = 100.0
"""For actors to complete what they are doing when the load ends."""


class Run:
    """Created by `started_run`; call `start_load`, inject faults, then call `settle`."""

    def __init__(self, folder: Path, size: RunSize, seed: int, violations: Violations) -> None:
        self.size, self.seed, self.violations = size, seed, violations
        self.fleet = Fleet(folder, size, seed)
        self.metrics, self.timelines, self.user_timelines = RunMetrics(), Timelines(), Timelines()
        self.api = FleetApi(self.fleet, self.metrics, self.violations, self.rng("network"))
        self.rooms: list[RoomLoad] = []
        self.settled_after: float | None = None
        self.actors: list[asyncio.Task[None]] = []
        self._watchdog: asyncio.Task[None] | None = None

    def rng(self, name: str) -> random.Random:
        """Return a generator of its own for each name: draws are independent and reproducible."""
        return random.Random(f"{self.seed}:{name}")

    @property
    def clients(self) -> list[RoomClient]:
        return [client for room in self.rooms for client in room.clients]

    @property
    def operations(self) -> list[Operation]:
        return [operation for room in self.rooms for operation in room.operations]

    # ---- start

    async def start(self) -> None:
        """Start programs, rooms and clients; returns when each client has its first frame."""
        await self.fleet.start()
        per_room = self.size.clients // self.size.rooms
        rooms = (self._open_room(n, per_room) for n in range(self.size.rooms))
        self.rooms = list(await asyncio.gather(*rooms))
        self._watchdog = asyncio.create_task(self._watch_silence())
        for number, client in enumerate(self.clients):
            client.start()
            if number % CONCURRENT == 0:  # connecting must not overload the servers
                await asyncio.sleep(CONCURRENT / CONNECTS_PER_SECOND)
        await until(lambda: all(client.connected for client in self.clients), CONNECT_SECONDS)

    def start_load(self, *, quiet: int = 0) -> None:
        """`quiet`: number of rooms, the last ones, that stay without load."""
        for room in self.rooms[: len(self.rooms) - quiet]:
            actors = mic_actors(room, self.size.pause)
            if self.size.gifts:
                actors += gift_actors(room, self.size.pause)
            self.actors += map(asyncio.ensure_future, actors)

    # ---- end

    async def settle(self) -> None:
        """End load and faults, and wait until every client has caught up with the database."""
        for room in self.rooms:
            room.running = False
        await self.fleet.heal()
        if self.actors:
            _, late = await asyncio.wait(self.actors, timeout=STOP_SECONDS)
            for task in late:
                self.violations.add("actor_stuck", repr(task))
        started = time.monotonic()
        # A client on a dead connection reconnects only after its silence timeout.
        while behind := await self._clients_behind():
            if time.monotonic() - started > CATCH_UP_SECONDS + self.size.silence_timeout:
                self.violations.add_all(("not_caught_up", client) for client in behind)
                return
            await asyncio.sleep(0.5)
        self.settled_after = time.monotonic() - started

    async def close(self) -> None:
        for client in self.clients:
            client.stop()
        tasks = [*self.actors, *([self._watchdog] if self._watchdog else [])]
        for task in tasks:
            task.cancel()
        stopped = (client.wait_stopped() for client in self.clients)
        await asyncio.gather(*tasks, *stopped, return_exceptions=True)
        await self.fleet.stop()

    def summary(self) -> dict[str, Any]:
        """Metrics of the report."""
        checkers = [client.checker for client in self.clients]
        metrics, counts = self.metrics, self.violations.counts
        return {
            "clients": len(self.clients),
            "processes": len(self.fleet.nodes),
            "server_starts": sum(node.program.starts for node in self.fleet.nodes),
            "deliveries": sum(checker.deliveries for checker in checkers),
            "events": sum(len(line.events) for line in self.timelines.by_session.values()),
            "own_events": sum(len(ln.events) for ln in self.user_timelines.by_session.values()),
            "gaps": counts["gap"] + counts["behind"],
            "duplicates": counts["duplicate"],
            "out_of_order": counts["out_of_order"],
            "acknowledged": len(self.operations),
            "lost": counts["lost"],
            "unanswered": sum(room.unanswered for room in self.rooms),
            "reconnects": metrics.reconnects,
            "resumed": sum(checker.resumed for checker in checkers),
            "resets": sum(checker.resets for checker in checkers),
            "silence_timeouts": metrics.silence_timeouts,
            "statuses": dict(sorted(metrics.statuses.items())),
            "settled_after": rounded(self.settled_after),
        }

    async def stored_rooms(self) -> dict[int, Any]:
        """Each room as stored in the database: {epoch, seq, room, …} by live_id."""
        paths = [f"rooms/{room.live_id}" for room in self.rooms]
        responses = [await self.api.ops_request("GET", path) for path in paths]
        return {response.json["id"]: response.json for response in responses if response.succeeded}

    # ---- steps

    async def _open_room(self, number: int, users: int) -> RoomLoad:
        host = await self.api.sign_in(f"host{number}", 2)
        await open_room(self.api, host)
        limit = asyncio.Semaphore(max(1, CONCURRENT // self.size.rooms))

        async def create(n: int) -> FleetUser:
            async with limit:
                return await self.create_guest(f"guest{number}-{n}", 1 + n % 2, host.live_id)

        guests = list(await asyncio.gather(*(create(n) for n in range(users - 1))))
        room = RoomLoad(host, guests, self.violations, self.rng(f"room{number}"))
        for giver in room.givers:
            await grant(self.api, giver, GOLD)
        for index, user in enumerate([host, *guests]):
            room.clients.append(self.create_client(user, builds_view=index < VIEWS_PER_ROOM))
        return room

    async def create_guest(self, name: str, gender: int, live_id: int) -> FleetUser:
        """Create a user who enters a room."""
        user = await self.api.sign_in(name, gender)
        entered = await user.get("get_playurl/", live_id=live_id)
        if not entered.succeeded:
            raise RuntimeError(f"{name} could not enter room {live_id}: {entered}")
        user.live_id = live_id
        return user

    def create_client(self, user: FleetUser, *, builds_view: bool = False) -> RoomClient:
        checker = EventChecker(
            user.name, user.live_id, self.timelines, self.violations, builds_view=builds_view
        )
        own = EventChecker(user.name, user.id, self.user_timelines, self.violations)
        timeout, rng = self.size.silence_timeout, self.rng(user.name)
        return RoomClient(self.fleet, checker, own, user.token, self.metrics, timeout, rng)

    async def _watch_silence(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1)
            now = loop.time()
            for client in self.clients:
                client.check_silence(now)

    async def _clients_behind(self) -> list[str]:
        """Clients that are not at the position of the stored room."""
        rooms, found = await self.stored_rooms(), []
        for client in self.clients:
            checker = client.checker
            row = rooms.get(int(checker.key))
            if client.final_code:
                continue
            if row is None or (checker.epoch, checker.seq) != (row["epoch"], row["seq"]):
                stored = row and (row["epoch"], row["seq"])
                found.append(f"{checker.name}: {(checker.epoch, checker.seq)}, stored: {stored}")
            elif not client.connected:
                found.append(f"{checker.name}: not connected")
        return found


@contextlib.asynccontextmanager
async def started_run(
    folder: Path, size: RunSize, seed: int, violations: Violations
) -> AsyncIterator[Run]:
    """Yield a started run, which is stopped at the end of the block."""
    raise_file_limit(500 + 6 * size.clients)
    run = Run(folder, size, seed, violations)
    try:
        await run.start()
        yield run
    finally:
        await run.close()


def raise_file_limit(needed: int) -> None:
    """Raise the limit of open files to its maximum; RuntimeError if that is too low."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most < needed:
        raise RuntimeError(f"{needed} open files are needed and {most} allowed; see `ulimit -Hn`.")
