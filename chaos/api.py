"""Requests to the servers of a fleet, which are retried and recorded."""

import asyncio
import hashlib
import random
import time
from collections.abc import Mapping
from typing import Any

from chaos.fleet import Fleet, Node
from chaos.metrics import RunMetrics
from chaos.tencent import SharedTencent
from chaos.violations import Violations
from tests.support.client import BASE, HttpClient, Reply, UserClient

ATTEMPT_SECONDS = 10.0
RETRY_SECONDS, MAX_PAUSE = 60.0, 0.5
RETRIED = (0, 429, 503)
"""Statuses after which a client retries; 0 means that there was no response."""


class FleetApi:
    """Sends requests through random servers, retries them, and records their outcomes."""

    def __init__(
        self, fleet: Fleet, metrics: RunMetrics, violations: Violations, rng: random.Random
    ) -> None:
        self._fleet, self._metrics, self._violations = fleet, metrics, violations
        self._rng = rng
        self._http = HttpClient(ATTEMPT_SECONDS)

    async def close(self) -> None:
        await self._http.close()

    async def request(
        self, method: str, path: str, *, node: Node | None = None, **options: Any
    ) -> Reply:
        """Send to random nodes, or to `node`, until one responds or RETRY_SECONDS have passed."""
        deadline, pause = time.monotonic() + RETRY_SECONDS, 0.1
        while True:
            target = node or self._rng.choice(self._fleet.nodes)
            reply = await self.request_once(method, path, target, **options)
            if reply.status not in RETRIED or time.monotonic() > deadline:
                return reply
            await asyncio.sleep(self._rng.uniform(0.05, pause))
            pause = min(MAX_PAUSE, 2 * pause)

    async def request_once(self, method: str, path: str, node: Node, **options: Any) -> Reply:
        """Make a single attempt."""
        started = time.time()
        reply = await self._http.attempt(method, f"http://127.0.0.1:{node.port}{path}", **options)
        if reply.succeeded and path.startswith(BASE):
            self._metrics.answers.append((started, time.time() - started))
        self._record(path, reply)
        return reply

    async def ops_request(self, method: str, path: str, **body: Any) -> Reply:
        """Call the operators' API."""
        content = {"params" if method == "GET" else "json": body}
        headers = {"Authorization": f"Bearer {self._fleet.ops_token}"}
        return await self.request(method, f"/ops/api/{path}", headers=headers, **content)

    def _record(self, path: str, reply: Reply) -> None:
        self._metrics.statuses[reply.status] += 1
        if reply.status in (401, 500, 502, 504):
            self._violations.add(f"http_{reply.status}", f"{path}: {reply}")


def from_address(name: str) -> dict[str, str]:
    """Headers of a request from a client's own address, as the proxy in front would set them."""
    a, b, c = hashlib.sha256(name.encode()).digest()[:3]
    return {"X-Forwarded-For": f"10.{a}.{b}.{c}"}


class FleetUser(UserClient):
    """A signed-in user who calls the API from an address of their own."""

    def __init__(self, api: FleetApi, name: str, gender: int, account: Mapping[str, Any]) -> None:
        super().__init__(api, name, account)
        self.gender = gender

    @property
    def headers(self) -> dict[str, str]:
        return {**super().headers, **from_address(self.name)}


async def sign_in(api: FleetApi, tencent: SharedTencent, name: str, gender: int) -> FleetUser:
    """Create a user."""
    login, headers = await tencent.login(name, gender), from_address(name)
    account = await api.request("POST", f"{BASE}qlive_user/", json=login, headers=headers)
    if not account.succeeded:
        raise RuntimeError(f"{name} could not sign in: {account}")
    return FleetUser(api, name, gender, account.json)
