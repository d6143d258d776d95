"""QLive: builds the parts, connects them, listens, drains; and the command line."""

import gc

if __name__ == "__main__":
    gc.disable()  # what is imported stays; looking through it is a tenth of a start

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog
import uvloop
from tornado.httpserver import HTTPServer

import assembly
import demo
import garbage
import logs
import timetable
import worker
from commands import add_commands
from devsecrets import DevSecrets, fill
from handlers.evictions import read_letters
from handlers.parts import Parts
from handlers.routes import application
from listening import address_of, listen
from rooms.refusals import Refusal
from rounds import Rounds
from settings import BadSettings, Settings, load
from storage import seed
from storage.database import NotAReplicaSet, as_refusal
from storage.mongod import Mongod, MongodFailed
from supervisor import Supervisor

log = structlog.get_logger("qlive")

LARGEST_BODY = 64 * 1024 * 1024
"""Bodies are thrown away beyond handlers.base.BODY_BYTES as they arrive; this only bounds time."""
SAYING_SECONDS = 0.5
"""How long somebody who has connected may take to say what they want."""
SOCKETS_SECONDS = 5.0
"""How long sockets that were told goodbye may take to close."""
KNOWING_SECONDS = 2.0
"""How long the database is asked at the end, when it may be what is down."""


class Server:
    """One process on one port, or in one of its parts: `start`, then `stop`."""

    def __init__(
        self, settings: Settings, dev: DevSecrets | None, place: worker.Place | None = None
    ) -> None:
        """`place` is what a supervisor gives."""
        self.settings = settings
        self.address = ""
        self.parts: Parts
        self._dev = dev
        self._place = place
        self._rounds, self._lines = Rounds(), Rounds()
        self._mongod: Mongod | None = None
        self._watching: asyncio.Task[None] | None = None
        self._http: HTTPServer | None = None

    async def start(self) -> None:
        """Returns once requests are answered."""
        server = self.settings.server
        place = self._place
        sockets = place.sockets if place else listen(server.host, server.port)
        self.address = address_of(server.host, sockets)
        uri = self.settings.mongodb.uri or await self._start_mongod()
        self.parts = parts = assembly.build(
            self.settings, self._dev, uri, self.address, place.simulator if place else ""
        )
        await parts.database.check()
        if place is None or place.first:
            await self._plant(parts)
        await parts.lease.renew()
        await read_letters(parts)  # what was posted before is for others
        self._watch(parts)
        timetable.keep_bus(self._lines, parts)
        timetable.keep(self._rounds, parts)
        self._http = HTTPServer(
            application(parts),
            max_body_size=LARGEST_BODY,
            body_timeout=30,
            idle_connection_timeout=120,
        )
        self._http.add_sockets(sockets)
        log.info("listening", address=self.address)

    async def leave_the_port(self) -> None:
        """Whoever connects from now on is somebody else's; who has just connected is answered."""
        if self._http:
            self._http.stop()
            await asyncio.sleep(SAYING_SECONDS)

    async def stop(self) -> None:
        """Drain: red on /readyz, goodbye to the sockets, finish what is under way, then close."""
        parts, drain = self.parts, self.settings.server.drain_seconds
        parts.draining = True
        log.info("draining", sockets=parts.hub.sockets, under_way=parts.under_way)
        on_mic = await _on_mic(parts)
        parts.hub.farewell(lambda who: assembly.spread(1 if who in on_mic else drain))
        await self._rounds.stop()
        if self._http:
            self._http.stop()
        await _until(lambda: not parts.under_way, drain)
        await _until(lambda: not parts.hub.open, SOCKETS_SECONDS)
        if self._http:
            try:
                await asyncio.wait_for(self._http.close_all_connections(), SOCKETS_SECONDS)
            except TimeoutError:
                log.warning("connections_left")
        await _leave(parts)
        await self._lines.stop()
        await assembly.take_down(parts)
        if self._mongod and self._watching:
            self._watching.cancel()
            await self._mongod.stop()
        log.info("stopped")

    async def _plant(self, parts: Parts) -> None:
        await assembly.make_indexes(parts)
        await seed.plant(parts.configs)
        if self._dev:
            app_id = next(iter(self.settings.wechat.apps))
            address = self.settings.server.public_url or self.address
            await demo.plant(
                parts.users, parts.gifts, parts.blocks, parts.errand_store, app_id, address
            )

    async def _start_mongod(self) -> str:
        self._mongod = Mongod(self.settings.mongodb.data_dir)
        uri = await self._mongod.start()
        self._watching = asyncio.create_task(self._mongod.watch())
        return uri

    def _watch(self, parts: Parts) -> None:
        hub, watch, tally = parts.hub, parts.metrics.watch, parts.metrics.tally
        watch("process_id", "Which of several workers answers.", os.getpid)
        watch("sockets", "Members' sockets open now.", lambda: hub.sockets)
        watch("rooms_here", "Rooms with a socket here.", lambda: len(hub.channels))
        tally("events_told", "Events told to this process's rooms.", lambda: hub.events_told)
        tally("bus_gaps", "Times a word between processes may be lost.", lambda: parts.bus.gaps)
        tally("hints_filled", "Events found by the check, not by a hint.", lambda: hub.hints_filled)
        about = "Changes tried again after a conflict with another one."
        tally("conflict_retries", about, lambda: parts.keeper.races + parts.database.races)
        self._watch_money(parts)
        watch("requests_under_way", "Requests being answered now.", lambda: parts.under_way)

    def _watch_money(self, parts: Parts) -> None:
        watch, books = parts.metrics.watch, parts.books

        def last(name: str) -> Callable[[], float]:
            return lambda: float(books.last.get(name, 0))

        watch("gold", "Gold that people have.", last("gold"))
        watch("income", "Income that people have.", last("income"))
        watch("gold_owed", "Gold that people owe for refunds.", last("owed"))
        watch("paid_fen", "Money that was paid and not given back.", last("fen"))
        watch(
            "ledger_problems",
            "What check-ledger found last; 0 is right, -1 not known.",
            last("problems"),
        )
        watch("ledger_checked_at", "When check-ledger last ran, in unix seconds.", last("at"))
        about = "Age of the oldest order that is not paid."
        watch("oldest_unpaid_order_seconds", about, lambda: books.oldest_unpaid)


async def _on_mic(parts: Parts) -> set[str]:
    """Whom a restart must not keep waiting: the show would stop. Nobody, when that is not known."""
    with suppress(Exception):
        async with asyncio.timeout(KNOWING_SECONDS):
            return set(await parts.places.on_mic(parts.process))
    return set()


async def _leave(parts: Parts) -> None:
    """Whoever does not come back within their time has left; others find that out, too, later."""
    try:
        async with asyncio.timeout(KNOWING_SECONDS):
            await parts.presence.flush()
            await parts.lease.end()
    except Exception as error:  # noqa: BLE001 - the database may be what is down
        log.warning("left_without_a_word", error=type(error).__name__)


async def _until(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        await asyncio.sleep(0.02)


# ---- the command line


def main(arguments: list[str]) -> int:
    """The exit status: 0 fine, 1 refused or failed, 2 wrong words or settings."""
    gc.enable()
    asked = _parser().parse_args(arguments)
    try:
        settings = load(asked.settings, os.environ)
    except BadSettings as bad:
        print("The settings are wrong:", *bad.problems, sep="\n  ", file=sys.stderr)
        return 2
    logs.set_up(settings.logging.level, as_json=settings.logging.as_json)
    dev = None
    if settings.environment == "development":
        settings, dev = fill(settings, settings.mongodb.data_dir.parent / "dev-secrets.json")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            status: int = runner.run(asked.run(settings, dev, asked))
    except (MongodFailed, NotAReplicaSet, Refusal, OSError) as failure:
        print(failure, file=sys.stderr)
        return 1
    except Exception as failure:
        if as_refusal(failure) is None:
            raise
        print("MongoDB does not answer: is mongodb.uri right?", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="server.py", description=__doc__)
    parser.add_argument("--settings", type=Path, default=Path("settings.yaml"))
    parser.set_defaults(run=_serve)
    commands = parser.add_subparsers(metavar="COMMAND")
    commands.add_parser("serve", help="serve until SIGTERM or Ctrl-C (the default)")
    add_commands(commands)
    one = commands.add_parser("worker")  # for the supervisor, not for people
    worker.add_words(one)
    one.set_defaults(run=_work)
    return parser


async def _serve(settings: Settings, dev: DevSecrets | None, asked: argparse.Namespace) -> int:
    # One worker has a supervisor as well where it must be renewed with the port open.
    if settings.server.workers > 1 or settings.environment == "production":
        supervisor = Supervisor(settings, dev, asked.settings)
        return await supervisor.run(lambda address: _welcome(settings, dev, address))
    server, asked_to_stop = Server(settings, dev), asyncio.Event()
    _on_signal(asked_to_stop)
    await server.start()
    garbage.settle()
    _welcome(settings, dev, server.address)
    await asked_to_stop.wait()
    await server.stop()
    return 0


async def _work(settings: Settings, dev: DevSecrets | None, asked: argparse.Namespace) -> int:
    """One of several, until it is told to stop or the supervisor is gone."""
    place, asked_to_stop = worker.place(asked), asyncio.Event()
    server = Server(settings, dev, place)
    _on_signal(asked_to_stop)
    async with worker.lifeline(place, asked_to_stop, settings.server.drain_seconds) as say_ready:
        await server.start()
        garbage.settle()
        say_ready()
        await asked_to_stop.wait()
        await server.leave_the_port()
        await server.stop()
    return 0


def _on_signal(asked_to_stop: asyncio.Event) -> None:
    numbers = [signal.SIGTERM, signal.SIGINT]
    # It is the supervisor that renews; who serves would die of a hangup without draining.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # which is what nohup asks for
        numbers.append(signal.SIGHUP)
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)


def _welcome(settings: Settings, dev: DevSecrets | None, address: str) -> None:
    if not dev:
        return
    print(
        f"""
  QLive serves on {address}
    demo room  {address}/  (open it in three windows: three people)
    contract   {address}/docs/
    simulator  {address}/sim/log  (WeChat and Tencent, played here)
    health     {address}/readyz
    operators  {address}/ops/  with {settings.ops.token}
    log in as  hongniang1, hongniang2 (matchmakers), {", ".join(demo.MEN[:2] + demo.WOMEN[:2])}, …
  Ctrl-C stops everything.
""",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
