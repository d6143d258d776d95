"""HTTP clients of the API that retry through random servers."""

import asyncio
import hashlib
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from chaos.fleet import Fleet, Node
from chaos.metrics import RunMetrics
from chaos.tencent import SharedTencent
from chaos.violations import Violations

BASE = "/wx/api/qlive/"
ATTEMPT_SECONDS = 10.0
RETRY_SECONDS = 60.0
RETRIED = (0, 429, 503)
"""Statuses after which a client retries; 0 means that there was no response."""


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """`status` is 0 if no server responded within the client's retries."""

    status: int
    json: Any = None
    may_apply_late: bool = False
    """An earlier attempt had no response, and may still be executed."""

    @property
    def ok(self) -> bool:
        return self.status == 200


class ApiClient:
    """Sends requests, retries them, and records their outcomes."""

    def __init__(
        self, fleet: Fleet, metrics: RunMetrics, violations: Violations, rng: random.Random
    ) -> None:
        self._fleet, self._metrics, self._violations = fleet, metrics, violations
        self._rng = rng
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=ATTEMPT_SECONDS),
        )

    async def close(self) -> None:
        await self._http.close()

    async def request(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any],
        headers: Mapping[str, str],
        node: Node | None = None,
    ) -> ApiResponse:
        """Send to random nodes, or to `node`, until one responds or RETRY_SECONDS have passed."""
        deadline, pause = time.monotonic() + RETRY_SECONDS, 0.1
        may_apply_late = False
        while True:
            target = node or self._rng.choice(self._fleet.nodes)
            response = await self.request_once(method, path, params, headers, target)
            if response.status not in RETRIED or time.monotonic() > deadline:
                return replace(response, may_apply_late=may_apply_late)
            may_apply_late = may_apply_late or response.status == 0
            await asyncio.sleep(self._rng.uniform(0.05, pause))
            pause = min(2.0, 2 * pause)

    async def request_once(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any],
        headers: Mapping[str, str],
        node: Node,
    ) -> ApiResponse:
        """Make a single attempt."""
        arguments: Any = {"params" if method == "GET" else "json": params}
        url = f"http://127.0.0.1:{node.port}{path}"
        started = time.time()
        try:
            async with self._http.request(method, url, headers=headers, **arguments) as got:
                response = ApiResponse(got.status, await got.json())
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            response = ApiResponse(0)
        if response.ok and path.startswith(BASE):
            self._metrics.answers.append((started, time.time() - started))
        self._record(path, response)
        return response

    async def ops_request(self, method: str, path: str, **body: Any) -> ApiResponse:
        """Call the operators' API."""
        headers = {"Authorization": f"Bearer {self._fleet.ops_token}"}
        return await self.request(method, f"/ops/api/{path}", body, headers)

    def _record(self, path: str, response: ApiResponse) -> None:
        self._metrics.record_status(response.status)
        if response.status >= 400 and response.status not in RETRIED:
            code = response.json.get("code", "") if isinstance(response.json, dict) else ""
            self._metrics.rejections[f"{path.removeprefix(BASE)} {response.status} {code}"] += 1
            if response.status in (401, 500, 502, 504):
                self._violations.add(f"http_{response.status}", f"{path}: {response.json}")


def from_address(name: str) -> dict[str, str]:
    """Headers of a request from a client's own address, as the proxy in front would set them."""
    a, b, c = hashlib.sha256(name.encode()).digest()[:3]
    return {"X-Forwarded-For": f"10.{a}.{b}.{c}"}


class ApiUser:
    """A signed-in user who calls the API from an address of their own."""

    def __init__(self, api: ApiClient, name: str, gender: int, account: dict[str, Any]) -> None:
        self.name, self.gender = name, gender
        self.id: str = account["user_id"]
        self.token: str = account["token"]
        self.live_id = 0
        self._api = api

    async def get(self, path: str, **params: Any) -> ApiResponse:
        return await self._api.request("GET", BASE + path, params, self.headers)

    async def post(self, path: str, **params: Any) -> ApiResponse:
        return await self._api.request("POST", BASE + path, params, self.headers)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"QLiveToken {self.token}", **from_address(self.name)}


async def sign_in(api: ApiClient, tencent: SharedTencent, name: str, gender: int) -> ApiUser:
    """Create a user."""
    login = await tencent.login(name, gender)
    account = await api.request("POST", f"{BASE}qlive_user/", login, from_address(name))
    if not account.ok:
        raise RuntimeError(f"{name} could not sign in: {account}")
    return ApiUser(api, name, gender, account.json)
