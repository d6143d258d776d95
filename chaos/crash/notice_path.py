"""The paths of WeChat Pay's notices: each is sent until it is acknowledged."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from chaos.crash.environment import CrashEnvironment
from chaos.http_client import BASE
from devtools.simulator.reports import SimulatedNotification


class NoticePath:
    """Sends each notice, byte for byte the same, until it is acknowledged."""

    def __init__(
        self,
        name: str,
        env: CrashEnvironment,
        take: Callable[[], Awaitable[SimulatedNotification]],
    ) -> None:
        """`take` returns the next notice, which has not been sent."""
        self.name = name
        self.ids: list[str] = []
        self.acknowledged_at_once = 0
        self._env, self._take = env, take
        self._next: SimulatedNotification | None = None
        self._pending: SimulatedNotification | None = None

    async def prepare(self) -> str:
        """Returns the id of the next notice."""
        self._next = await self._take()
        self.ids.append(json.loads(self._next.body)["id"])
        return self.ids[-1]

    async def repair(self) -> None:
        if self._pending:
            await self._env.request("POST", self._path(self._pending), **_content(self._pending))
            self._pending = None

    async def attempt(self, target: str) -> None:  # noqa: ARG002 - it is in the notice
        assert self._next
        notice, self._next = self._next, None
        response = await self._env.request_once("POST", self._path(notice), **_content(notice))
        if response.status == 204:
            self.acknowledged_at_once += 1
        else:
            self._pending = notice

    async def settle(self) -> None:
        await self.repair()

    def _path(self, notice: SimulatedNotification) -> str:
        assert notice.address.startswith(self._env.address + BASE)
        return notice.address.removeprefix(self._env.address)


def _content(notice: SimulatedNotification) -> dict[str, Any]:
    return {"body": notice.body, "headers": dict(notice.headers)}
