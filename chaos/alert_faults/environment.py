"""What faults act on: the fleet, its database, the simulated services, and users of their own."""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from chaos.api import FleetUser
from chaos.fleet import Node
from chaos.run import Run
from chaos.scrapes import Scraper
from devtools.simulator.wire import SimulatorRequest
from storage.database import Collection, Database
from tests.support.client import BASE, HttpClient

PAST = datetime(2001, 1, 1, tzinfo=UTC)
"""`due_at` of what has to be done at once."""
WAIT_SECONDS, POLL_SECONDS = 30.0, 0.1
REQUEST_SECONDS = 5.0
GOLD = 100_000


class AlertEnvironment:
    """Created by `open_environment`."""

    def __init__(self, run: Run, database: Database, scraper: Scraper) -> None:
        self.run, self.fleet = run, run.fleet
        self.simulator = run.fleet.tencent.simulator
        self.database, self._scraper = database, scraper
        self._numbers = itertools.count(1)
        self._http = HttpClient(REQUEST_SECONDS, keeps_connections=False)

    async def close(self) -> None:
        await self._http.close()

    # ---- users and requests

    def new_name(self, name: str) -> str:
        return f"{name}{next(self._numbers)}"

    async def create_user(self, name: str, gender: int = 1) -> FleetUser:
        return await self.run.create_user(self.new_name(name), gender)

    async def grant(self, user: FleetUser) -> None:
        grant = {"gold": GOLD, "reason": "chaos", "request_id": self.new_name("grant")}
        await self.run.api.ops_request("POST", f"users/{user.id}/grant", **grant)

    async def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        node: Node | None = None,
        **params: Any,
    ) -> int:
        """Make one attempt at `node`, by default any, and return its status, 0 without an answer.

        No status is a violation: the request meets a fault.
        """
        node = node or self.run.rng(self.new_name("node")).choice(self.fleet.nodes)
        content: Any = {"params" if method == "GET" else "json": params}
        url = f"{node.address}{path}"
        return (await self._http.attempt(method, url, headers=headers, **content)).status

    async def send_as(self, user: FleetUser, method: str, path: str, **params: Any) -> int:
        """As `send`, a call of the API."""
        return await self.send(method, BASE + path, user.headers, **params)

    # ---- the simulated services

    async def simulate(self, path: str, **params: Any) -> Any:
        """The answer of the simulator."""
        body = json.dumps(params).encode()
        reply = await self.simulator.answer(SimulatorRequest("POST", path, {}, {}, body))
        return json.loads(reply.body)

    # ---- the database

    def collection(self, name: str) -> Collection:
        return self.database.collection(name)

    async def set_fields(self, name: str, where: Mapping[str, Any], **fields: Any) -> None:
        """Set fields of documents of a collection; `__` stands for a dot."""
        changes = {key.replace("__", "."): value for key, value in fields.items()}
        await self.collection(name).update_many(dict(where), {"$set": changes})

    async def wait_for(self, name: str, where: Mapping[str, Any]) -> dict[str, Any]:
        """The document of a collection that is as `where` says, once there is one."""

        async def find() -> dict[str, Any] | None:
            return await self.collection(name).find_one(dict(where))

        found: dict[str, Any] = await self.wait_until(find, f"{name}: {where}") or {}
        return found

    async def wait_for_none(self, name: str, where: Mapping[str, Any]) -> None:
        """Wait until no document of a collection is as `where` says."""

        async def is_gone() -> bool:
            return await self.collection(name).find_one(dict(where)) is None

        await self.wait_until(is_gone, f"no {name}: {where}")

    # ---- the metrics

    async def wait_for_metric(self, series: str, holds: Callable[[list[float]], bool]) -> None:
        """Wait until the values of all servers hold; `series`: as for `values`."""

        async def look() -> bool:
            return holds(await self.values(series))

        await self.wait_until(look, series)

    async def values(self, series: str) -> list[float]:
        """Present values of a metric, or of series that begin so with some of their labels."""
        servers = await self._scraper.scrape()
        rows = (row for values in servers if values for row in values.items())
        begin = series if "{" in series else f"{series}{{"
        return [float(value) for name, value in rows if f"{name}{{".startswith(begin)]

    async def wait_until(self, look: Callable[[], Any], what: str) -> Any:
        """The first true result of the async function `look`.

        None after WAIT_SECONDS, which is a violation.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            if found := await look():
                return found
            await asyncio.sleep(POLL_SECONDS)
        self.run.violations.add("fault_not_shown", what)
        return None


def some(least: float) -> Callable[[list[float]], bool]:
    """Whether one of the values is at least `least`."""
    return lambda values: max(values, default=least - 1) >= least


def none(least: float) -> Callable[[list[float]], bool]:
    """Whether no value is `least` or more."""
    return lambda values: not some(least)(values)


def every(least: float) -> Callable[[list[float]], bool]:
    """Whether all values are at least `least`."""
    return lambda values: min(values, default=least - 1) >= least


def ago(**duration: float) -> datetime:
    """The time so long ago; arguments as for timedelta."""
    return datetime.now(UTC) - timedelta(**duration)


@contextlib.asynccontextmanager
async def open_environment(run: Run, scraper: Scraper) -> AsyncIterator[AlertEnvironment]:
    database = Database(run.fleet.mongodb.uri, run.fleet.database)
    env = AlertEnvironment(run, database, scraper)
    try:
        yield env
    finally:
        await env.close()
        await database.close()
