"""What outlives the child servers: MongoDB, the simulator, the listening sockets and the users."""

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

from chaos.crash.children import ForkServer
from chaos.crash.exit_plans import ExitPlan
from chaos.fleet import free_ports
from chaos.http_client import BASE, ApiResponse
from chaos.mongod import KillableMongod
from chaos.tencent import SharedTencent
from chaos.violations import Violations
from config.settings import Settings
from devtools.development_secrets import fill_in_secrets
from devtools.no_limits import NO_LIMITS_ENVIRONMENT
from devtools.simulator.wire import SimulatorRequest
from runtime.listeners import address_of, listen
from storage.database import Database
from storage.replica_set import uri_of

SHM = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
MEMORY = SHM if SHM.is_dir() else None
"""MongoDB is not what crashes here: its files are in memory, where /dev/shm exists."""
BATCH_HEADER = "X-Request-Id"
HOST, JSON = "127.0.0.1", {"Content-Type": "application/json"}
ATTEMPT_SECONDS, RETRY_SECONDS, PAUSE_SECONDS = 10.0, 60.0, 0.02
MAX_CLIENTS = 64
"""Concurrent requests: more than a batch has."""
TOKEN_SECONDS = 600.0
"""Age of an operator's token until another one is requested: sessions end when idle."""
AUTO_FEN = 500
"""Withdrawals up to this are submitted by the request itself; above, an operator approves."""


class CrashEnvironment:
    """Created by `open_environment`; child servers are started by its `fork_server`."""

    def __init__(self, folder: Path, memory: Path) -> None:
        """`memory`: the folder of MongoDB's files."""
        self.folder, self.log = folder, folder / "server.log"
        self.violations = Violations()
        self.settings, dev = fill_in_secrets(Settings(), folder / "dev-secrets.json")
        self.mongod = KillableMongod(memory, free_ports(1)[0])
        self._uri = uri_of(self.mongod.port)
        self.database = Database(self._uri, self.settings.mongodb.database)
        sockets = listen(HOST, 0)
        self.address = address_of(HOST, sockets)
        self._tencent = SharedTencent(self.settings, dev, self.address)
        self.simulator = self._tencent.simulator
        self._sockets = sockets
        self._ops_token, self._ops_token_until = "", 0.0
        variables = self._variables()
        self.fork_server = ForkServer(sockets, variables, self.log)
        # Tornado's client keeps no connections and, unlike aiohttp, never retries by itself.
        self._http = AsyncHTTPClient(force_instance=True, max_clients=MAX_CLIENTS)

    async def open(self) -> None:
        await self.mongod.start()
        await self.fork_server.start()

    async def close(self) -> None:
        self._http.close()
        await self.fork_server.stop()
        await self._tencent.stop()
        await self.database.close()
        await self.mongod.stop()
        for sock in self._sockets:
            sock.close()

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

    async def abort_transactions(self) -> None:
        """Abort transactions of dead servers now; MongoDB itself would do so after 5 s."""
        await self.database.client.admin.command("killAllSessions", [])

    # ---- requests

    async def request_once(self, method: str, path: str, **options: Any) -> ApiResponse:
        """Make one attempt, with HTTPRequest's options; status 0 if the server died meanwhile."""
        request = HTTPRequest(
            self.address + path, method, request_timeout=ATTEMPT_SECONDS, **options
        )
        try:
            got = await self._http.fetch(request, raise_error=False)
        except (HTTPClientError, OSError):
            return ApiResponse(0)
        return ApiResponse(got.code, json.loads(got.body) if got.body else None)

    async def request(self, method: str, path: str, **options: Any) -> ApiResponse:
        """Retry until a server responds; any status but 2xx is a violation."""
        deadline = time.monotonic() + RETRY_SECONDS
        while (response := await self.request_once(method, path, **options)).status in (0, 503):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(PAUSE_SECONDS)
        if not 200 <= response.status < 300:
            self.violations.add(f"http_{response.status}", f"{path}: {response.json}")
        return response

    async def ops_request(self, method: str, path: str, **body: Any) -> ApiResponse:
        """Call the operators' API, as the demo operator."""
        options = await self._ops_options(body)
        return await self.request(method, f"/ops/api/{path}", **options)

    async def ops_request_once(self, method: str, path: str, **body: Any) -> ApiResponse:
        """Make one attempt, as `request_once`; the operator must have logged in before."""
        return await self.request_once(method, f"/ops/api/{path}", **await self._ops_options(body))

    async def log_in_operator(self) -> None:
        """Get a token, unless there is a recent one; needs a server that does not crash."""
        if time.monotonic() > self._ops_token_until:
            login = await self.request("POST", "/sim/operator/login", body="")
            self._ops_token = login.json["token"]
            self._ops_token_until = time.monotonic() + TOKEN_SECONDS

    async def simulate(self, path: str, **params: Any) -> Any:
        """Call the simulator, in this process; returns its answer."""
        body = json.dumps(params).encode()
        reply = await self.simulator.answer(SimulatorRequest("POST", path, {}, {}, body))
        return json.loads(reply.body)

    async def _ops_options(self, body: Mapping[str, Any]) -> dict[str, Any]:
        await self.log_in_operator()
        headers = {"Authorization": f"Bearer {self._ops_token}", **JSON}
        return {"body": json.dumps(body), "headers": headers}

    async def create_user(self, name: str, gender: int) -> "EnvironmentUser":
        body = json.dumps(await self.simulate("/phone/login", name=name, gender=gender))
        account = await self.request("POST", f"{BASE}qlive_user/", body=body, headers=JSON)
        return EnvironmentUser(self, account.json)

    def _variables(self) -> Mapping[str, str]:
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("QLIVE_")}
        return {
            **inherited,
            **NO_LIMITS_ENVIRONMENT,
            **self._tencent.environment,
            "QLIVE_SERVER__PUBLIC_URL": self.address,
            "QLIVE_MONGODB__URI": self._uri,
            "QLIVE_MONGODB__DATA_DIR": str(self.folder / "mongo"),
            "QLIVE_LOGGING__LEVEL": "warning",
            "QLIVE_WITHDRAW__MATURITY_DAYS": "0",
            "QLIVE_WITHDRAW__AUTO_FEN": str(AUTO_FEN),
            "QLIVE_WITHDRAW__DAY_FEN": str(10**10),
        }


class EnvironmentUser:
    """A signed-in user of a crash environment."""

    def __init__(self, env: CrashEnvironment, account: Mapping[str, Any]) -> None:
        self.id: str = account["user_id"]
        self._env = env
        self._headers = {"Authorization": f"QLiveToken {account['token']}"}

    async def get_once(self, path: str, *, batch: str = "", **params: Any) -> ApiResponse:
        """`batch`: name of the batch that the request belongs to; see crash_points.py."""
        headers = {**self._headers, **({BATCH_HEADER: batch} if batch else {})}
        return await self._env.request_once("GET", _url(path, params), headers=headers)

    async def post_once(self, path: str, *, batch: str = "", **params: Any) -> ApiResponse:
        headers = {**self._headers, **JSON, **({BATCH_HEADER: batch} if batch else {})}
        body = json.dumps(params)
        return await self._env.request_once("POST", BASE + path, body=body, headers=headers)

    async def get(self, path: str, **params: Any) -> ApiResponse:
        return await self._env.request("GET", _url(path, params), headers=self._headers)

    async def post(self, path: str, **params: Any) -> ApiResponse:
        headers, body = {**self._headers, **JSON}, json.dumps(params)
        return await self._env.request("POST", BASE + path, body=body, headers=headers)


def _url(path: str, params: Mapping[str, Any]) -> str:
    return f"{BASE}{path}?{urlencode(params)}"


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
