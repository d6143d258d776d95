"""The supervisor: several processes on one port, always as many as were asked for.

It listens, starts the embedded mongod and plays the simulator, but answers no request of its own.
SIGTERM and SIGINT end everything, SIGHUP renews the workers one by one: for new code or settings.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from socket import socket

import structlog
from tornado.httpserver import HTTPServer

import assembly
from devsecrets import DevSecrets
from handlers.sim import stage
from listening import address_of, listen, listen_in_parts
from settings import Settings
from slot import Slot
from storage.mongod import Mongod
from worker import OVERTIME_SECONDS, Worker

log = structlog.get_logger("qlive.supervisor")


class Supervisor:
    """`run` is its whole life."""

    def __init__(self, settings: Settings, dev: DevSecrets | None, file: Path) -> None:
        """`file` is where the workers read their settings, too."""
        self._settings = settings
        self._dev = dev
        self._before = ("--settings", str(file))
        self._after: tuple[str, ...] = ()
        self._environment = dict(os.environ)
        self._slots: list[Slot] = []
        self._mongod: Mongod | None = None
        self._simulator: HTTPServer | None = None
        self._asked_to_stop = asyncio.Event()
        self._asked_to_renew = asyncio.Event()
        self._has_terminal = os.isatty(0)

    async def run(self, welcome: Callable[[str], None]) -> int:
        """The exit status; `welcome` is told the address once every worker serves.

        A worker that cannot start at first is the end, as it would be for a single process.
        OSError, MongodFailed.
        """
        server = self._settings.server
        parts = listen_in_parts(server.host, server.port, server.workers)
        address = address_of(server.host, parts[0])
        drain = server.drain_seconds + OVERTIME_SECONDS
        self._slots = [Slot(n, part, self._recruit, drain) for n, part in enumerate(parts)]
        self._heed_signals()
        beside = [asyncio.create_task(self._renew_when_asked())]
        try:
            if not self._settings.mongodb.uri:
                beside.append(await self._start_mongod())
            if self._dev:
                self._play(self._dev, address)
            served = await self._serve(lambda: welcome(address))
        finally:
            for task in beside:
                task.cancel()
            await self._take_down()
        return 0 if served else 1

    async def _serve(self, welcome: Callable[[], None]) -> bool:
        """Until asked to stop; whether it was."""
        ending = asyncio.create_task(self._end_when_asked())
        # The first alone: it makes the indexes, and stores what must be stored only once.
        first, *others = self._slots
        if await first.fill() and all(await asyncio.gather(*(slot.fill() for slot in others))):
            welcome()
            await self._asked_to_stop.wait()
        asked = self._asked_to_stop.is_set()
        self._asked_to_stop.set()
        await ending
        return asked

    async def _end_when_asked(self) -> None:
        await self._asked_to_stop.wait()
        log.info("stopping_workers")
        await asyncio.gather(*(slot.stop() for slot in self._slots))

    async def _renew_when_asked(self) -> None:
        while True:
            await self._asked_to_renew.wait()
            self._asked_to_renew.clear()
            log.info("renewing_workers")
            for slot in self._slots:
                if not await slot.renew():
                    log.error("renewal_given_up", note="the other workers stay as they are")
                    break
            else:
                log.info("workers_renewed")

    def _heed_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def _hang_up(self) -> None:
        """A request to renew, unless it is the news that the terminal has been closed."""
        closed = self._has_terminal and not os.isatty(0)
        (self._asked_to_stop if closed else self._asked_to_renew).set()

    async def _recruit(self, number: int, sockets: list[socket]) -> Worker:
        after = (*self._after, "--first") if number == 0 else self._after
        return await Worker.start(self._before, after, self._environment, sockets)

    async def _start_mongod(self) -> asyncio.Task[None]:
        """The task that watches over it."""
        self._mongod = Mongod(self._settings.mongodb.data_dir)
        # In the environment: anybody on the machine can read a command line.
        self._environment["QLIVE_MONGODB__URI"] = await self._mongod.start()
        return asyncio.create_task(self._mongod.watch())

    def _play(self, dev: DevSecrets, address: str) -> None:
        """The simulator remembers what it has said, so that there can be only one."""
        sockets = listen("127.0.0.1", 0)
        self._simulator = HTTPServer(stage(assembly.make_simulator(self._settings, dev, address)))
        self._simulator.add_sockets(sockets)
        self._after = ("--simulator", address_of("127.0.0.1", sockets))

    async def _take_down(self) -> None:
        if self._simulator:
            self._simulator.stop()
            await self._simulator.close_all_connections()
        if self._mongod:
            await self._mongod.stop()
        log.info("stopped")
