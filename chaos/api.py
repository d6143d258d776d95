"""Requests to the servers of a fleet, which are retried and recorded."""

import asyncio
import hashlib
import random
import time
from collections.abc import Mapping
from typing import Any

from chaos.fleet import Fleet, Node
from chaos.report import RunMetrics, Violations
from tests.support.client import BASE, Reply, UserClient

RETRY_SECONDS, MAX_PAUSE = 60.0, 0.5
RETRIED = (0, 429, 503)
"""Statuses after which a client retries; 0 means that there was no response."""


class FleetApi:
    """Sends requests through random servers, retries them, and records their outcomes."""

    def __init__(
        self,
        fleet: Fleet,
        metrics: RunMetrics,
        violations: Violations,
        rng: random.Random,
        node: Node | None = None,
    ) -> None:
        """`node`: the only one to send to, if any."""
        self.fleet = fleet
        self._nodes, self._rng = [node] if node else fleet.nodes, rng
        self._metrics, self._violations = metrics, violations

    def at(self, node: Node) -> "FleetApi":
        """Return the same, but all requests go to one server."""
        return FleetApi(self.fleet, self._metrics, self._violations, self._rng, node)

    async def request(self, method: str, path: str, **options: Any) -> Reply:
        """Send a request until a server responds or RETRY_SECONDS have passed."""
        deadline, pause = time.monotonic() + RETRY_SECONDS, 0.1
        while True:
            started = time.time()
            reply = await self._rng.choice(self._nodes).request(method, path, **options)
            if reply.succeeded and path.startswith(BASE):
                self._metrics.answers.append((started, time.time() - started))
            self._metrics.statuses[reply.status] += 1
            if reply.status in (401, 500, 502, 504):
                self._violations.add(f"http_{reply.status}", f"{path}: {reply}")
            if reply.status not in RETRIED or time.monotonic() > deadline:
                return reply
            await asyncio.sleep(self._rng.uniform(0.05, pause))
            pause = min(MAX_PAUSE, 2 * pause)

    async def ops_request(self, method: str, path: str, **body: Any) -> Reply:
        """Call the operators' API."""
        content = {"params" if method == "GET" else "json": body}
        headers = {"Authorization": f"Bearer {self.fleet.ops_token}"}
        return await self.request(method, f"/ops/api/{path}", headers=headers, **content)

    async def sign_in(self, name: str, gender: int) -> "FleetUser":
        """Create a user."""
        login = await self.fleet.tencent.simulate("/phone/login", name=name, gender=gender)
        headers = from_address(name)
        account = await self.request("POST", f"{BASE}qlive_user/", json=login, headers=headers)
        if not account.succeeded:
            raise RuntimeError(f"{name} could not sign in: {account}")
        return FleetUser(self, name, gender, account.json)


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


async def grant(api: Any, user: UserClient, gold: int) -> None:
    """Grant gold to the user by `api`, which has `ops_request`."""
    body = {"gold": gold, "reason": "chaos", "request_id": user.id}
    await api.ops_request("POST", f"users/{user.id}/grant", **body)


async def open_room(api: Any, host: UserClient, reason: str = "chaos") -> None:
    """Make the user a matchmaker with a live room."""
    await api.ops_request("PATCH", f"users/{host.id}", is_matchmaker=True, reason=reason)
    host.live_id = (await host.post("qlive_room/matchmaker_enter/")).json["live_id"]
