"""Parts that outlive the child servers: MongoDB, simulator, listening sockets and users."""

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from chaos.crash.children import ForkServer
from chaos.crash.exit_plans import MARK, ExitPlan
from chaos.mongod import KillableMongod
from chaos.tencent import SharedTencent
from chaos.violations import Violations
from config.settings import Settings
from devtools.development_secrets import fill_in_secrets
from devtools.simulator.wire import SimulatorRequest
from storage.database import Database
from storage.replica_set import uri_of
from tests.support.client import BASE, HttpClient, Reply, UserClient
from tests.support.no_limits import NO_LIMITS_ENVIRONMENT
from tests.support.ports import free_ports

SHM = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
MEMORY = SHM if SHM.is_dir() else None
"""MongoDB is not what crashes here: its files are in memory, where /dev/shm exists."""
ATTEMPT_SECONDS, RETRY_SECONDS, PAUSE_SECONDS = 10.0, 60.0, 0.02
TOKEN_SECONDS = 600.0
"""Age of an operator's token until another one is requested: sessions end when idle."""
NOT_CANCELLABLE = '"not_cancellable"'
"""Answer to a repeated cancellation: the dead server has returned the income."""
Send = Callable[..., Awaitable[Reply]]
"""`request` or `request_once` of an environment."""
AUTO_FEN = 500
"""Withdrawals up to this are submitted by the request itself; above, an operator approves."""


class CrashEnvironment:
    """Created by `open_environment`; child servers are started by its `fork_server`."""

    def __init__(self, folder: Path, memory: Path) -> None:
        """`memory`: the folder of MongoDB's files."""
        self.folder, self.log = folder, folder / "server.log"
        self.violations = Violations()
        self.settings, dev = fill_in_secrets(Settings(), folder / "dev-secrets.json")
        mongo_port, self._port = free_ports(2)
        self.mongod = KillableMongod(memory, mongo_port)
        self._uri = uri_of(mongo_port)
        self.database = Database(self._uri, self.settings.mongodb.database)
        self.address = f"http://127.0.0.1:{self._port}"
        self._tencent = SharedTencent(self.settings, dev, self.address)
        self.simulator = self._tencent.simulator
        self._ops_token, self._ops_token_until = "", 0.0
        self.fork_server = ForkServer(self._variables(), self.log)
        # With a connection for each request aiohttp never retries by itself.
        self._http = HttpClient(ATTEMPT_SECONDS, keeps_connections=False)

    async def open(self) -> None:
        await self.mongod.start()
        await self.fork_server.start()

    async def close(self) -> None:
        await self._http.close()
        await self.fork_server.stop()
        await self._tencent.stop()
        await self.database.close()
        await self.mongod.stop()

    @contextlib.asynccontextmanager
    async def stable_server(self, kind: str = "") -> AsyncIterator[None]:
        """A server without an exit plan, which runs during the block.

        `kind`: no_sweeps or fast_sweeps, see marked_sweeps.py.
        """
        await self.fork_server.start_child(ExitPlan(kind))
        try:
            yield
        finally:
            await self.fork_server.end_child()

    async def is_delivered(self) -> bool:
        """Whether no message waits in the outbox."""
        return await self.database.collection("outbox").find_one({}) is None

    async def abort_transactions(self) -> None:
        """Abort transactions of dead servers now; MongoDB itself would do so after 5 s."""
        await self.database.client.admin.command("killAllSessions", [])

    # ---- requests

    async def request_once(self, method: str, path: str, **options: Any) -> Reply:
        """Make one attempt, on which the server crashes; status 0 if it died meanwhile."""
        headers = {**options.pop("headers"), MARK: "1"}
        return await self._attempt(method, path, headers=headers, **options)

    async def request(self, method: str, path: str, **options: Any) -> Reply:
        """Retry until a server responds; any status but 2xx is a violation."""
        deadline = time.monotonic() + RETRY_SECONDS
        while (reply := await self._attempt(method, path, **options)).status in (0, 503):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(PAUSE_SECONDS)
        if not 200 <= reply.status < 300 and NOT_CANCELLABLE not in reply.text:
            self.violations.add(f"http_{reply.status}", f"{path}: {reply}")
        return reply

    async def _attempt(self, method: str, path: str, **options: Any) -> Reply:
        return await self._http.attempt(method, self.address + path, **options)

    async def ops_request(
        self, method: str, path: str, send: Send | None = None, **body: Any
    ) -> Reply:
        """Call the operators' API, as the demo operator; `send`: by default, `request`.

        For `request_once` the operator must have logged in before.
        """
        await self.log_in_operator()
        headers = {"Authorization": f"Bearer {self._ops_token}"}
        return await (send or self.request)(method, f"/ops/api/{path}", json=body, headers=headers)

    async def log_in_operator(self) -> None:
        """Get a token, unless there is a recent one; needs a server that does not crash."""
        if time.monotonic() > self._ops_token_until:
            login = await self.request("POST", "/sim/operator/login")
            self._ops_token = login.json["token"]
            self._ops_token_until = time.monotonic() + TOKEN_SECONDS

    async def simulate(self, path: str, **params: Any) -> Any:
        """Call the simulator, in this process; returns its answer."""
        body = json.dumps(params).encode()
        reply = await self.simulator.answer(SimulatorRequest("POST", path, {}, {}, body))
        return json.loads(reply.body)

    async def create_user(self, name: str, gender: int) -> UserClient:
        login = await self.simulate("/phone/login", name=name, gender=gender)
        account = await self.request("POST", f"{BASE}qlive_user/", json=login)
        return UserClient(self, name, account.json)

    def _variables(self) -> Mapping[str, str]:
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("QLIVE_")}
        return {
            **inherited,
            **NO_LIMITS_ENVIRONMENT,
            **self._tencent.environment,
            "QLIVE_SERVER__PORT": str(self._port),
            "QLIVE_SERVER__PUBLIC_URL": self.address,
            "QLIVE_MONGODB__URI": self._uri,
            "QLIVE_MONGODB__DATA_DIR": str(self.folder / "mongo"),
            "QLIVE_LOGGING__LEVEL": "warning",
            "QLIVE_WITHDRAW__MATURITY_DAYS": "0",
            "QLIVE_WITHDRAW__AUTO_FEN": str(AUTO_FEN),
            "QLIVE_WITHDRAW__DAY_FEN": str(10**10),
        }


@contextlib.asynccontextmanager
async def open_environment(folder: Path) -> AsyncIterator[CrashEnvironment]:
    """An environment without users, which is removed at the end of the block."""
    memory = Path(tempfile.mkdtemp(prefix="qlive-crash-", dir=MEMORY))
    env = CrashEnvironment(folder, memory)
    try:
        await env.open()
        yield env
    finally:
        await env.close()
        shutil.rmtree(memory)
