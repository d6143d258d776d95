"""The supervisor: keeps the configured number of workers running on one port.

It owns the listening sockets, the embedded mongod and the simulator, but serves no API requests.
SIGTERM and SIGINT stop everything; SIGHUP replaces the workers one by one for new code or settings.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING

import structlog
from tornado.httpserver import HTTPServer

from config.settings import Settings
from runtime.listeners import address_of, listen_workers
from runtime.supervisor_metrics import SupervisorMetrics
from runtime.worker import KILL_GRACE_SECONDS, METRICS_VARIABLE, Worker
from runtime.worker_slot import WorkerSlot

if TYPE_CHECKING:
    from runtime.development import DevSecrets, EmbeddedMongod

log = structlog.get_logger("qlive.supervisor")


class Supervisor:
    """Starts, replaces and stops the workers; `run` does all of it."""

    def __init__(self, settings: Settings, dev: "DevSecrets | None", file: Path) -> None:
        """`file` is the settings file, which the workers read as well."""
        self._settings = settings
        self._dev = dev
        self._args_before = ("--settings", str(file))
        self._args_after: tuple[str, ...] = ()
        self._environment = dict(os.environ)
        self._slots: list[WorkerSlot] = []
        self._metrics = SupervisorMetrics(self._slots)
        self._mongod: EmbeddedMongod | None = None
        self._simulator: HTTPServer | None = None
        self._stop_requested = asyncio.Event()
        self._renewal_requested = asyncio.Event()
        self._has_terminal = os.isatty(0)

    async def run(self, welcome: Callable[[str], None]) -> int:
        """Run until stopped; returns the exit status.

        `welcome` receives the address once every worker serves. If a worker fails to start at
        first, the supervisor exits, as a single process would. Raises OSError, MongodStartFailed.
        """
        server = self._settings.server
        parts = listen_workers(
            server.host, server.port, server.workers, own_ports=server.worker_ports
        )
        address = address_of(server.host, parts[0])
        drain = server.drain_seconds + KILL_GRACE_SECONDS
        self._slots += [
            WorkerSlot(n, part, self._start_worker, drain) for n, part in enumerate(parts)
        ]
        self._install_signal_handlers()
        background_tasks = [asyncio.create_task(self._renew_when_asked())]
        try:
            self._metrics.start()
            if not self._settings.mongodb.uri:
                background_tasks.append(await self._start_mongod())
            if self._dev:
                self._start_simulator(self._dev, address)
            served = await self._serve(lambda: welcome(address))
        finally:
            for task in background_tasks:
                task.cancel()
            await self._shut_down()
        return 0 if served else 1

    async def _serve(self, welcome: Callable[[], None]) -> bool:
        """Serve until asked to stop; False if a worker failed to start."""
        ending = asyncio.create_task(self._end_when_asked())
        # The first worker alone: it creates the indexes and stores the initial data.
        first, *others = self._slots
        if await first.fill() and all(await asyncio.gather(*(slot.fill() for slot in others))):
            welcome()
            await self._stop_requested.wait()
        stop_requested = self._stop_requested.is_set()
        self._stop_requested.set()
        await ending
        return stop_requested

    async def _end_when_asked(self) -> None:
        await self._stop_requested.wait()
        log.info("workers_stopping")
        await asyncio.gather(*(slot.stop() for slot in self._slots))

    async def _renew_when_asked(self) -> None:
        while True:
            await self._renewal_requested.wait()
            self._renewal_requested.clear()
            log.info("workers_renewing")
            for slot in self._slots:
                if not await slot.renew():
                    log.error("worker_renewal_aborted", note="the other workers stay as they are")
                    break
            else:
                log.info("workers_renewed")

    def _install_signal_handlers(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_requested.set)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)

    def _on_hangup(self) -> None:
        """SIGHUP: replace the workers, or stop if the terminal has been closed."""
        closed = self._has_terminal and not os.isatty(0)
        (self._stop_requested if closed else self._renewal_requested).set()

    async def _start_worker(self, number: int, sockets: list[socket]) -> Worker:
        args_after = (*self._args_after, "--first") if number == 0 else self._args_after
        path = self._metrics.next_worker(number)
        environment = {**self._environment, METRICS_VARIABLE: str(path)}
        worker = await Worker.start(self._args_before, args_after, environment, sockets)
        self._metrics.add_when_ended(worker, path)
        return worker

    async def _start_mongod(self) -> asyncio.Task[None]:
        """Start the embedded mongod; returns the task that monitors it."""
        from runtime.development import EmbeddedMongod  # noqa: PLC0415 - not in production

        self._mongod = EmbeddedMongod(self._settings.mongodb.data_dir)
        # In the environment: every user of the machine can read command lines.
        self._environment["QLIVE_MONGODB__URI"] = await self._mongod.start()
        return asyncio.create_task(self._mongod.watch())

    def _start_simulator(self, dev: "DevSecrets", address: str) -> None:
        from runtime.development import start_simulator  # noqa: PLC0415 - not in production

        self._simulator, simulator_address = start_simulator(self._settings, dev, address)
        self._args_after = ("--simulator", simulator_address)

    async def _shut_down(self) -> None:
        if self._simulator:
            self._simulator.stop()
            await self._simulator.close_all_connections()
        if self._mongod:
            await self._mongod.stop()
        self._metrics.remove()
        log.info("server_stopped")
