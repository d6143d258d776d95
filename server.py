"""QLive: builds the parts, connects them, listens, drains; and the command line."""

import argparse
import asyncio
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

import assembly
import demo
import logs
from devsecrets import DevSecrets, fill
from handlers.ops.people import retire
from handlers.parts import Parts
from handlers.routes import application
from rooms.keeper import now_ms
from rooms.refusals import Refusal
from rounds import Rounds
from settings import BadSettings, Settings, load
from storage import seed
from storage.database import NotAReplicaSet, as_refusal
from storage.mongod import Mongod, MongodFailed, running_uri

log = structlog.get_logger("qlive")

LARGEST_BODY = 64 * 1024 * 1024
"""Bodies are thrown away beyond handlers.base.BODY_BYTES as they arrive; this only bounds time."""
_LAG_SECONDS = 0.02
SOCKETS_SECONDS = 5.0
"""How long sockets that were told goodbye may take to close."""


class Server:
    """One process on one port: `start`, then `stop`."""

    def __init__(self, settings: Settings, dev: DevSecrets | None) -> None:
        self.settings = settings
        self.address = ""
        self.parts: Parts
        self._dev = dev
        self._rounds = Rounds()
        self._mongod: Mongod | None = None
        self._watching: asyncio.Task[None] | None = None
        self._http: HTTPServer | None = None

    async def start(self) -> None:
        """Returns once requests are answered."""
        server = self.settings.server
        sockets = _bind(server.host, server.port)
        self.address = f"http://{_host(server.host)}:{sockets[0].getsockname()[1]}"
        uri = self.settings.mongodb.uri or await self._start_mongod()
        self.parts = parts = assembly.build(self.settings, self._dev, uri, self.address)
        await parts.database.check()
        await assembly.make_indexes(parts)
        await seed.plant(parts.configs)
        if self._dev:
            app_id = next(iter(self.settings.wechat.apps))
            address = self.settings.server.public_url or self.address
            await demo.plant(
                parts.users, parts.gifts, parts.blocks, parts.errand_store, app_id, address
            )
        self._watch(parts)
        self._go_round(parts)
        self._http = HTTPServer(
            application(parts),
            max_body_size=LARGEST_BODY,
            body_timeout=30,
            idle_connection_timeout=120,
        )
        self._http.add_sockets(sockets)
        log.info("listening", address=self.address)

    async def stop(self) -> None:
        """Drain: red on /readyz, goodbye to the sockets, finish what is under way, then close."""
        parts, drain = self.parts, self.settings.server.drain_seconds
        parts.draining = True
        log.info("draining", sockets=parts.hub.sockets, under_way=parts.under_way)
        parts.hub.farewell(lambda: assembly.spread(drain))
        await self._rounds.stop()
        if self._http:
            self._http.stop()
        await _until(lambda: not parts.under_way, drain)
        if self._http:
            try:
                await asyncio.wait_for(self._http.close_all_connections(), SOCKETS_SECONDS)
            except TimeoutError:
                log.warning("connections_left")
        await assembly.take_down(parts)
        if self._mongod and self._watching:
            self._watching.cancel()
            await self._mongod.stop()
        log.info("stopped")

    async def _start_mongod(self) -> str:
        self._mongod = Mongod(self.settings.mongodb.data_dir)
        uri = await self._mongod.start()
        self._watching = asyncio.create_task(self._mongod.watch())
        return uri

    def _go_round(self, parts: Parts) -> None:
        every, hub, settings = self._rounds.every, parts.hub, parts.settings.realtime
        every(settings.check_seconds, "check", hub.check)
        every(1, "audience", lambda: hub.show_audience(parts.members.counts))
        every(1, "heartbeat", lambda: _beat(parts))
        every(1, "expiry", lambda: _expire(parts))
        every(0.5, "lag", lambda: _measure_lag(parts))
        self._rounds.until_stopped("errands", parts.errands.run)

    def _watch(self, parts: Parts) -> None:
        hub, watch, tally = parts.hub, parts.metrics.watch, parts.metrics.tally
        watch("sockets", "Members' sockets open now.", lambda: hub.sockets)
        watch("rooms_here", "Rooms with a socket here.", lambda: len(hub.channels))
        tally("events_told", "Events told to this process's rooms.", lambda: hub.events_told)
        tally("hints_filled", "Events found by the check, not by a hint.", lambda: hub.hints_filled)
        watch("requests_under_way", "Requests being answered now.", lambda: parts.under_way)


async def _beat(parts: Parts) -> None:
    settings = parts.settings.realtime
    parts.hub.beat(time.monotonic(), settings.heartbeat_seconds, settings.silent_seconds)


async def _expire(parts: Parts) -> None:
    """The keeper expires whatever is due before any change; this is a change of nothing else."""
    due = await parts.rooms.due(now_ms())
    changes = (parts.keeper.change(live_id, lambda _room: None) for live_id in due)
    for outcome in await asyncio.gather(*changes, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome  # after all the others have had their turn


async def _measure_lag(parts: Parts) -> None:
    """How much later than asked for the loop comes back."""
    before = time.perf_counter()
    await asyncio.sleep(_LAG_SECONDS)
    late = time.perf_counter() - before - _LAG_SECONDS
    parts.metrics.loop_lag_seconds.set(max(0.0, late))


async def _until(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        await asyncio.sleep(0.02)


def _bind(host: str, port: int) -> list[socket.socket]:
    try:
        return bind_sockets(port, host)
    except OSError as failure:
        raise OSError(f"{host}:{port}: {failure.strerror}; see server.port.") from failure


def _host(host: str) -> str:
    """Where a server that listens on `host` is reached from here."""
    return "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - not bound here


# ---- the command line


def main(arguments: list[str]) -> int:
    """The exit status: 0 fine, 1 refused or failed, 2 wrong words or settings."""
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
        status: int = asyncio.run(asked.run(settings, dev, asked))
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
    commands = parser.add_subparsers()
    commands.add_parser("serve", help="serve until SIGTERM or Ctrl-C (the default)")
    grant = commands.add_parser("grant", help="give somebody gold")
    grant.add_argument("user_id")
    grant.add_argument("gold", type=int)
    grant.add_argument("--reason", required=True)
    grant.set_defaults(run=_grant)
    matchmaker = commands.add_parser("matchmaker", help="make somebody a matchmaker")
    matchmaker.add_argument("user_id")
    matchmaker.add_argument("--off", action="store_true", help="no longer")
    matchmaker.set_defaults(run=_matchmaker)
    return parser


async def _serve(settings: Settings, dev: DevSecrets | None, _asked: argparse.Namespace) -> int:
    server, asked_to_stop = Server(settings, dev), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    await server.start()
    if dev:
        _welcome(server)
    await asked_to_stop.wait()
    await server.stop()
    return 0


def _welcome(server: Server) -> None:
    print(
        f"""
  QLive serves on {server.address}
    contract   {server.address}/wx/api/qlive/
    simulator  {server.address}/sim/log  (WeChat and Tencent, played here)
    health     {server.address}/readyz
    operators  {server.address}/ops/api/  Authorization: Bearer {server.settings.ops.token}
    log in as  hongniang1, hongniang2 (matchmakers), {", ".join(demo.MEN[:2] + demo.WOMEN[:2])}, …
  Ctrl-C stops everything.
""",
        flush=True,
    )


async def _grant(settings: Settings, dev: DevSecrets | None, asked: argparse.Namespace) -> int:
    async def give(parts: Parts) -> None:
        if asked.gold < 1:
            raise Refusal("GOLD must be at least 1.")
        await parts.users.get(asked.user_id)
        purse = await parts.teller.grant(
            asked.user_id, asked.gold, asked.reason, uuid.uuid4().hex, by="command line"
        )
        print(f"{asked.user_id} now has {purse['gold']} gold and {purse['income']} income.")

    return await _with_parts(settings, dev, give)


async def _matchmaker(settings: Settings, dev: DevSecrets | None, asked: argparse.Namespace) -> int:
    async def change(parts: Parts) -> None:
        await parts.users.update(asked.user_id, is_matchmaker=not asked.off)
        if asked.off:
            await retire(parts, asked.user_id)
        print(f"{asked.user_id} is {'no longer' if asked.off else 'now'} a matchmaker.")

    return await _with_parts(settings, dev, change)


async def _with_parts(
    settings: Settings, dev: DevSecrets | None, work: Callable[[Parts], Awaitable[None]]
) -> int:
    """Do something beside a server that may be running, or without one."""
    mongod = None
    uri = settings.mongodb.uri or running_uri(settings.mongodb.data_dir)
    if not uri:
        mongod = Mongod(settings.mongodb.data_dir)
        uri = await mongod.start()
    parts = assembly.build(settings, dev, uri, "http://127.0.0.1")
    try:
        await assembly.make_indexes(parts)
        await work(parts)
    finally:
        await assembly.take_down(parts)
        if mongod:
            await mongod.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
