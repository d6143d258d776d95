"""The paths of WeChat's notices and message pushes: each is sent until it is acknowledged."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from chaos.crash.environment import CrashEnvironment
from devtools.simulator.notifications import SimulatedNotification
from tests.support.client import BASE


class NoticePath:
    """Sends each notice of WeChat Pay, byte for byte the same, until it is acknowledged."""

    acknowledgement = 204
    """HTTP status."""

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
        self.ids.append(self.id_of(self._next))
        return self.ids[-1]

    async def repair(self) -> None:
        if self._pending:
            await self._env.request("POST", self._path(self._pending), **_content(self._pending))
            self._pending = None

    async def attempt(self, target: str) -> None:  # noqa: ARG002 - it is in the notice
        assert self._next
        notice, self._next = self._next, None
        response = await self._env.request_once("POST", self._path(notice), **_content(notice))
        if response.status == self.acknowledgement:
            self.acknowledged_at_once += 1
        else:
            self._pending = notice

    async def settle(self) -> None:
        await self.repair()

    def id_of(self, notice: SimulatedNotification) -> str:
        """What its request has and no other one."""
        id_: str = json.loads(notice.body)["id"]
        return id_

    def _path(self, notice: SimulatedNotification) -> str:
        assert notice.address.startswith(self._env.address + BASE)
        return notice.address.removeprefix(self._env.address)


class PushPath(NoticePath):
    """The same for message pushes: their body is encrypted, their query is of one push only."""

    acknowledgement = 200

    def id_of(self, notice: SimulatedNotification) -> str:
        return urlsplit(notice.address).query


def _content(notice: SimulatedNotification) -> dict[str, Any]:
    return {"data": notice.body, "headers": dict(notice.headers)}
