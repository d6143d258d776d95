"""Parts that outlive the child servers: MongoDB, simulator, the port and users."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from chaos.api import grant
from chaos.crash.exit_plans import MARK, ExitPlan
from chaos.crash.marked_sweeps import DUE
from chaos.crash.servers import CrashServers
from chaos.report import Violations
from chaos.tencent import SharedTencent
from config.loading import load
from config.settings import Settings
from devtools.development_secrets import fill_in_secrets
from devtools.embedded_mongod import EmbeddedMongod
from storage.database import Database, Document
from tests.support.client import BASE, Api, HttpClient, Reply, UserClient
from tests.support.database import MEMORY
from tests.support.no_limits import NO_LIMITS_ENVIRONMENT
from tests.support.paths import ROOT
from tests.support.ports import free_port

ATTEMPT_SECONDS, RETRY_SECONDS, PAUSE_SECONDS = 10.0, 60.0, 0.02
SETTLE_SECONDS = 120.0
TOKEN_SECONDS = 600.0
"""Age of an operator's token until another one is requested: sessions end when idle."""
NOTICE_TEMPLATE = "T1"
NOT_CANCELLABLE = '"not_cancellable"'
"""Answer to a repeated cancellation: the dead server has returned the income."""
AUTO_FEN = 500
"""Withdrawals up to this are submitted by the request itself; above, an operator approves."""


class CrashEnvironment:
    """Created by `open_environment`; child servers are started by its `servers`."""

    def __init__(self, folder: Path, uri: str, violations: Violations) -> None:
        """`uri` of MongoDB."""
        self.log = folder / "server.log"
        self.violations = violations
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        secrets_file = folder / "dev-secrets.json"
        settings, simulator_key = fill_in_secrets(Settings(), secrets_file)
        self._tencent = SharedTencent(settings, simulator_key, self.address)
        self.simulator, self.simulate = self._tencent.simulator, self._tencent.simulate
        variables = {
            **NO_LIMITS_ENVIRONMENT,
            **self._tencent.environment,
            "QLIVE_SERVER__PORT": str(port),
            "QLIVE_SERVER__PUBLIC_URL": self.address,
            "QLIVE_MONGODB__URI": uri,
            "QLIVE_LOGGING__LEVEL": "warning",
            "QLIVE_NOTICES__TEMPLATE_ID": NOTICE_TEMPLATE,
            "QLIVE_WITHDRAW__MATURITY_DAYS": "0",
            "QLIVE_WITHDRAW__AUTO_FEN": str(AUTO_FEN),
            "QLIVE_WITHDRAW__DAY_FEN": str(10**10),
        }
        of_servers = load(ROOT / "settings.yaml", variables)
        self.servers = CrashServers(*fill_in_secrets(of_servers, secrets_file), self.log)
        self.database = Database(uri, settings.mongodb.database)
        self.crashing = CrashingApi(self)
        self._ops_token, self._ops_token_until = "", 0.0
        # With a connection for each request aiohttp never retries by itself.
        self._http = HttpClient(ATTEMPT_SECONDS, keeps_connections=False)

    async def close(self) -> None:
        await self._http.close()
        await self.servers.end_child()
        await self._tencent.stop()
        await self.database.close()

    @contextlib.asynccontextmanager
    async def stable_server(self, kind: str = "") -> AsyncIterator[None]:
        """Run a server without an exit plan during the block.

        `kind`: no_sweeps or fast_sweeps, see marked_sweeps.py.
        """
        await self.servers.start_child(ExitPlan(kind))
        try:
            yield
        finally:
            await self.servers.end_child()

    # ---- the database

    async def rows(self, collection: str, where: Mapping[str, Any] | None = None) -> list[Document]:
        return await self.database.collection(collection).find(where or {}).to_list()

    async def set_due(
        self, collection: str, where: Mapping[str, Any], at: datetime = DUE, field: str = "due_at"
    ) -> None:
        """Set when those are due that are not final.

        Waits long, since a dead server's transaction may hold one until MongoDB aborts that.
        """
        with self.database.slow_operation_timeout():
            await self.database.collection(collection).update_many(
                {**where, field: {"$ne": None}}, {"$set": {field: at}}
            )

    async def abort_transactions(self) -> None:
        """Abort transactions of dead servers now; MongoDB itself would do so after 5 s."""
        await self.database.client.admin.command("killAllSessions", [])

    async def wait_until_none(self, remaining: Callable[[], Awaitable[Any]], kind: str) -> None:
        """Wait until `remaining` returns 0 or []; otherwise it is a violation of this kind."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while (left := await remaining()) and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        if left:
            self.violations.add(kind, f"{left} are left")

    # ---- requests

    async def attempt(self, method: str, path: str, **options: Any) -> Reply:
        """Make one attempt; status 0 if the server died meanwhile."""
        return await self._http.attempt(method, self.address + path, **options)

    async def request(self, method: str, path: str, **options: Any) -> Reply:
        """Retry until a server responds; any status but 2xx is a violation."""
        deadline = time.monotonic() + RETRY_SECONDS
        while (reply := await self.attempt(method, path, **options)).status in (0, 503):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(PAUSE_SECONDS)
        if not 200 <= reply.status < 300 and NOT_CANCELLABLE not in reply.text:
            self.violations.add(f"http_{reply.status}", f"{path}: {reply}")
        return reply

    async def ops_request(
        self, method: str, path: str, api: Api | None = None, **body: Any
    ) -> Reply:
        """Call the operators' API, as the demo operator; `api`: by default, this one.

        For `crashing` the operator must have logged in before.
        """
        await self.log_in_operator()
        headers = {"Authorization": f"Bearer {self._ops_token}"}
        return await (api or self).request(method, f"/ops/api/{path}", json=body, headers=headers)

    async def log_in_operator(self) -> None:
        """Get a token, unless there is a recent one; needs a server that does not crash."""
        if time.monotonic() > self._ops_token_until:
            login = await self.request("POST", "/sim/operator/login")
            self._ops_token = login.json["token"]
            self._ops_token_until = time.monotonic() + TOKEN_SECONDS

    # ---- users, on a server that does not crash

    async def create_user(self, name: str, gender: int) -> UserClient:
        login = await self.simulate("/phone/login", name=name, gender=gender)
        account = await self.request("POST", f"{BASE}qlive_user/", json=login)
        return UserClient(self, name, account.json)

    async def create_giver(self, name: str, gold: int) -> UserClient:
        """Create a user with gold."""
        giver = await self.create_user(name, 1)
        await grant(self, giver, gold)
        return giver


class CrashingApi:
    """Makes single attempts, on which the server crashes."""

    def __init__(self, env: CrashEnvironment) -> None:
        self._env = env

    async def request(self, method: str, path: str, **options: Any) -> Reply:
        headers = {**options.pop("headers"), MARK: "1"}
        return await self._env.attempt(method, path, headers=headers, **options)


@contextlib.asynccontextmanager
async def open_environment(folder: Path, violations: Violations) -> AsyncIterator[CrashEnvironment]:
    """Yield an environment without users, which is removed at the end of the block.

    MongoDB is not what crashes here: its files are in memory, where possible.
    """
    async with contextlib.AsyncExitStack() as stack:
        parent = MEMORY if MEMORY.is_dir() else None
        memory = tempfile.TemporaryDirectory(prefix="qlive-crash-", dir=parent)
        mongod = EmbeddedMongod(Path(stack.enter_context(memory)))
        stack.push_async_callback(mongod.stop)
        env = CrashEnvironment(folder, await mongod.start(), violations)
        stack.push_async_callback(env.close)
        yield env
