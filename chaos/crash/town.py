"""What outlives the servers: MongoDB, the simulator, the port, and those who call there."""

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.httpserver import HTTPServer

import assembly
from chaos.crash.births import Nursery
from chaos.crash.steps import Fate
from chaos.database import KillableMongod
from chaos.fleet import free_ports
from chaos.phones import BASE, Answer
from chaos.story import Faults
from devsecrets import fill
from handlers.sim import stage
from listening import address_of, listen
from settings import Settings
from storage.database import Database
from storage.replica import uri_of

SHM = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
MEMORY = SHM if SHM.is_dir() else None
"""MongoDB is not what dies here: its files are kept in memory, where there is any to be had."""
HOST, JSON = "127.0.0.1", {"Content-Type": "application/json"}
TRY_SECONDS, PATIENCE_SECONDS, PAUSE_SECONDS = 10.0, 60.0, 0.02


class Town:
    """Made by `founded`; servers are born and die in its `nursery`."""

    def __init__(self, folder: Path, memory: Path) -> None:
        self.folder, self.log = folder, folder / "server.log"
        self.faults = Faults()
        self.settings, dev = fill(Settings(), folder / "dev-secrets.json")
        self.mongod = KillableMongod(memory, free_ports(1)[0])
        self._uri = uri_of(self.mongod.port)
        self.database = Database(self._uri, self.settings.mongodb.database)
        sockets, stages = listen(HOST, 0), listen(HOST, 0)
        self.address = address_of(HOST, sockets)
        self.simulator = assembly.make_simulator(self.settings, dev, self.address)
        self._stage = HTTPServer(stage(self.simulator))
        self._stage.add_sockets(stages)
        self._sockets = sockets
        environment = self._environment()
        self.nursery = Nursery(sockets, address_of(HOST, stages), environment, self.log)
        # Tornado's: it keeps no connection, and does not ask again by itself as aiohttp does.
        self._http = AsyncHTTPClient(force_instance=True)

    async def open(self) -> None:
        await self.mongod.start()
        await self.nursery.start()

    async def close(self) -> None:
        self._http.close()
        await self.nursery.stop()
        self._stage.stop()
        await self._stage.close_all_connections()
        await self.database.close()
        await self.mongod.stop()
        for sock in self._sockets:
            sock.close()

    @contextlib.asynccontextmanager
    async def peace(self) -> AsyncIterator[None]:
        """A server that lives as long as the block."""
        await self.nursery.bear(Fate())
        try:
            yield
        finally:
            await self.nursery.end()

    async def give_up_transactions(self) -> None:
        """Those of the dead, at once and not after 5 s, as MongoDB would by itself."""
        await self.database.client.admin.command("killAllSessions", [])

    # ---- who calls

    async def once(self, method: str, path: str, **how: Any) -> Answer:
        """One try, with what HTTPRequest takes; status 0 when the server has died over it."""
        request = HTTPRequest(self.address + path, method, request_timeout=TRY_SECONDS, **how)
        try:
            got = await self._http.fetch(request, raise_error=False)
        except (HTTPClientError, OSError):
            return Answer(0)
        return Answer(got.code, json.loads(got.body) if got.body else None)

    async def ask(self, method: str, path: str, **how: Any) -> Answer:
        """Until a server says what became of it; a fault when it takes too long or is refused."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (answer := await self.once(method, path, **how)).status in (0, 503):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(PAUSE_SECONDS)
        if not 200 <= answer.status < 300:
            self.faults.add(f"http_{answer.status}", f"{path}: {answer.json}")
        return answer

    async def operate(self, method: str, path: str, **body: Any) -> Answer:
        """A call of the operators' API."""
        headers = {"Authorization": f"Bearer {self.settings.ops.token}", **JSON}
        return await self.ask(method, f"/ops/api/{path}", body=json.dumps(body), headers=headers)

    async def person(self, name: str, gender: int) -> "Person":
        """Somebody new."""
        asked = json.dumps({"name": name, "gender": gender})
        code = await self.ask("POST", "/sim/phone/login", body=asked, headers=JSON)
        sent = json.dumps(code.json)
        account = await self.ask("POST", f"{BASE}qlive_user/", body=sent, headers=JSON)
        return Person(self, account.json)

    def _environment(self) -> Mapping[str, str]:
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("QLIVE_")}
        return {
            **inherited,
            "QLIVE_SERVER__PUBLIC_URL": self.address,
            "QLIVE_MONGODB__URI": self._uri,
            "QLIVE_MONGODB__DATA_DIR": str(self.folder / "mongo"),
            "QLIVE_LOGGING__LEVEL": "warning",
            "PYTHONDONTWRITEBYTECODE": "1",
        }


class Person:
    """With a phone."""

    def __init__(self, town: Town, account: Mapping[str, Any]) -> None:
        self.id: str = account["user_id"]
        self._town = town
        self._headers = {"Authorization": f"QLiveToken {account['token']}"}

    async def once(self, path: str, **sent: Any) -> Answer:
        return await self._town.once("GET", _with(path, sent), headers=self._headers)

    async def get(self, path: str, **sent: Any) -> Answer:
        return await self._town.ask("GET", _with(path, sent), headers=self._headers)

    async def post(self, path: str, **sent: Any) -> Answer:
        headers, body = {**self._headers, **JSON}, json.dumps(sent)
        return await self._town.ask("POST", BASE + path, body=body, headers=headers)


def _with(path: str, sent: Mapping[str, Any]) -> str:
    return f"{BASE}{path}?{urlencode(sent)}"


@contextlib.asynccontextmanager
async def founded(folder: Path) -> AsyncIterator[Town]:
    """A town without anybody in it; gone however the block ends."""
    memory = Path(tempfile.mkdtemp(prefix="qlive-crash-", dir=MEMORY))
    town = Town(folder, memory)
    try:
        await town.open()
        yield town
    finally:
        await town.close()
        shutil.rmtree(memory)
