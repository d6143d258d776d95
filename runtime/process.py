"""One serving process: starts, listens, drains and stops."""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from socket import socket
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

import structlog
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from config.settings import Settings
from handlers.context import Context
from handlers.routes import application
from runtime import container, jobs
from runtime.jobs import PeriodicTasks
from runtime.process_metrics import register_gauges, status_writer
from storage.gold.catalogue import DEFAULTS
from storage.replica_set import warn_of_mongodb_risks

if TYPE_CHECKING:
    from runtime.development import EmbeddedMongod, RemoteSimulator, Simulator

log = structlog.get_logger("qlive")

DISCARDED_BODY_BYTES = 64 * 1024 * 1024
"""Bodies of up to so many bytes are read to the end, so that the client receives the 413 of
`MAX_BODY_BYTES` (handlers/base.py), beyond which they are discarded as they arrive."""
BACKLOG = 4096
"""Connections that wait to be accepted, of which Linux allows as many: all clients of a process
that has died reconnect within a second. Those that find no place try again after 1, 3 and 7 s."""

ACCEPTS_AT_ONCE = 4
"""New connections that are accepted before others are served. Tornado would accept 128. A call
takes dozens of turns of the event loop, and each turn has the handshakes of these connections."""
ACCEPTED_SECONDS = 0.5
"""Time for a connection that has just been accepted to send its request."""
SOCKETS_SECONDS = 5.0
"""Time for sockets to close after their bye message."""
DATABASE_SECONDS = 2.0
"""Timeout of database calls during shutdown: the database may be what is down."""


class ServerProcess:
    """A serving process on a port of its own; call `start`, then `stop`."""

    def __init__(self, settings: Settings, simulator_key: str | None) -> None:
        """Take the key with which the simulator acts as WeChat Pay, None in production."""
        self.settings = settings
        self.address = ""
        self.context: Context
        self._simulator_key = simulator_key
        self._jobs, self._last_tasks = PeriodicTasks(), PeriodicTasks()
        self.simulator: Simulator | RemoteSimulator | None = None
        self._mongod: EmbeddedMongod | None = None
        self._mongod_watch: asyncio.Task[None] | None = None
        self._http: HTTPServer

    async def start(self) -> None:
        """Start the server and return once requests are answered."""
        server = self.settings.server
        sockets = listen(server.host, server.port)
        self.address = address_of(server.host, sockets)
        uri = self.settings.mongodb.uri or await self._start_mongod()
        self.context = context = container.build(
            self.settings,
            uri,
            self.address,
            f"{self._joined() or self.address}/sim" if self._simulator_key else "",
        )
        try:
            await self._serve(context, sockets)
        except BaseException:
            await container.close(context)
            raise

    async def _serve(self, context: Context, sockets: list[socket]) -> None:
        """Serve, and return once requests are answered; a failure leaves closing to the caller."""
        await context.database.check()
        await context.stores.migrator.run()
        production = self.settings.environment == "production"
        await warn_of_mongodb_risks(context.database, production=production)
        are_checked = all(map(self.settings.moderation.is_checked, ("face", "cover")))
        if production and not (are_checked or self.settings.uploads.allowed_hosts):
            log.warning("pictures_of_any_host")
        await self.store_first_data(context)
        store_status = status_writer(context, self.address)
        await store_status()
        await context.services.rooms.presence.lease.renew()
        await context.services.accounts.evictions.receive()  # skips the older ones
        register_gauges(context)
        jobs.start_lease_and_bus(self._last_tasks, context, store_status)
        jobs.start_jobs(self._jobs, context)
        self._http = HTTPServer(
            self._application(context),
            max_body_size=DISCARDED_BODY_BYTES,
            body_timeout=30,
            idle_connection_timeout=120,
        )
        self._http.add_sockets(map(PacedListener.over, sockets))
        log.info("server_listening", address=self.address)

    async def stop_listening(self) -> None:
        """Accept no more connections; those that were just accepted are still answered."""
        self._http.stop()
        await asyncio.sleep(ACCEPTED_SECONDS)

    async def stop(self) -> None:
        """Drain: 503 on /readyz, a bye to the sockets, finish the requests in progress, close."""
        context, drain = self.context, self.settings.server.drain_seconds
        hub, lifecycle = context.hub, context.lifecycle
        lifecycle.draining = True
        log.info("server_draining", sockets=hub.socket_count, requests=lifecycle.requests)
        on_mic = await _on_mic(context)
        hub.close_all(lambda user_id: _retry_ms(1 if user_id in on_mic else drain))
        await self._jobs.stop()
        self._http.stop()
        await _wait_until(lambda: not lifecycle.requests, drain)
        await _wait_until(lambda: not hub.open_count, SOCKETS_SECONDS)
        try:
            await asyncio.wait_for(self._http.close_all_connections(), SOCKETS_SECONDS)
        except TimeoutError:
            log.warning("connections_not_closed")
        await self._last_tasks.stop()
        await _release_members(context)
        await container.close(context)
        if self._mongod and self._mongod_watch:
            self._mongod_watch.cancel()
            await self._mongod.stop()
        log.info("server_stopped")

    async def store_first_data(self, context: Context) -> None:
        """Store indexes, the defaults of the catalogue, and demo data in development."""
        await context.stores.make_indexes()
        await context.stores.configs.store_defaults(DEFAULTS)
        if self._simulator_key and not self._joined():
            await _development().store_demo_data(context)

    def _joined(self) -> str:
        """Return the address of the server whose embedded MongoDB and simulator this one uses."""
        return self._mongod.joined if self._mongod else ""

    def _application(self, context: Context) -> Any:
        if not self._simulator_key:
            return application(context)
        development = _development()
        self.simulator = (
            development.RemoteSimulator(self._joined())
            if self._joined()
            else development.Simulator(self.settings, self._simulator_key, self.address)
        )
        return application(
            context,
            development.routes(context, self.simulator),
            development.DOCUMENTED,
            development.INTRO,
        )

    async def _start_mongod(self) -> str:
        data_dir = self.settings.mongodb.data_dir
        self._mongod = mongod = _development().EmbeddedMongod(data_dir, address=self.address)
        uri: str = await mongod.start()
        self._mongod_watch = asyncio.create_task(mongod.watch())
        return uri


def _development() -> ModuleType:
    from runtime import development  # noqa: PLC0415 - production must not import it

    return development


class PacedListener(socket):
    """A listening socket that is empty after every ACCEPTS_AT_ONCE connections, once.

    The event loop then serves its other sockets before it comes back: open connections are
    answered while the clients of a process that has died reconnect.
    """

    _left = ACCEPTS_AT_ONCE

    @classmethod
    def over(cls, sock: socket) -> Self:
        """Take the listening socket over; its own object is closed."""
        paced = cls(sock.family, sock.type, sock.proto, sock.detach())
        paced.settimeout(0)
        return paced

    def accept(self) -> tuple[socket, Any]:
        """Accept as socket.accept. Raises BlockingIOError when other sockets are to be served."""
        if not self._left:
            self._left = ACCEPTS_AT_ONCE
            raise BlockingIOError
        self._left -= 1
        try:
            return super().accept()
        except BlockingIOError:
            self._left = ACCEPTS_AT_ONCE
            raise


def listen(host: str, port: int) -> list[socket]:
    """Bind one socket per address of the host. Raises OSError, which names the address."""
    try:
        return bind_sockets(port, host, backlog=BACKLOG)
    except OSError as failure:
        raise OSError(f"{host}:{port}: {failure.strerror}; see server.port.") from failure


def address_of(host: str, sockets: list[socket]) -> str:
    """Return the base URL of a server on `host`, as reached from this machine."""
    name = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - not bound here
    return f"http://{name}:{sockets[0].getsockname()[1]}"


async def _on_mic(context: Context) -> set[str]:
    """Return the users on mic, who must reconnect first; empty when the database is down."""
    with suppress(Exception), context.database.timeout(DATABASE_SECONDS):
        return set(await context.stores.presence.on_mic(context.process_id))
    return set()


def _retry_ms(seconds: float) -> int:
    """Return a random time within `seconds`, so that clients do not all return at once."""
    return random.randint(100, max(100, int(seconds * 1000)))


async def _release_members(context: Context) -> None:
    """Mark the members of this process as away; if that fails, its lease runs out.

    Then store the last lines of the chat, and what has arrived last.
    """
    try:
        with context.database.timeout(DATABASE_SECONDS):
            await context.services.rooms.presence.flush()
            await context.services.accounts.channels.flush()
            await context.services.rooms.presence.lease.end()
            await context.stores.chat_lines.flush()
            await context.stores.visits.flush()
            await context.stores.renewals.flush()
            await context.services.arrivals.flush()
    except Exception as error:  # noqa: BLE001 - the database may be what is down
        log.warning("lease_release_failed", error=type(error).__name__)


async def _wait_until(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
