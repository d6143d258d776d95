"""The kinds of paths on which a server crashes, and the repair of what a crash left."""

from collections import deque
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from tornado.httpclient import HTTPRequest

from chaos.crash.environment import CrashEnvironment
from tests.support.client import BASE, Api, Reply

TakeTarget = Callable[[], Awaitable[Any]]
"""Returns the next target of a path."""


class RequestPath:
    """Requests with a target each, which are repeated until they are acknowledged.

    As each path: `prepare` takes a target before the server for it is started and returns its id
    for a sweep, `repair` completes the previous attempt on that server, `attempt` lets it crash,
    and `finish` completes everything on a server that does not crash.
    """

    def __init__(
        self,
        name: str,
        env: CrashEnvironment,
        take: TakeTarget,
        send: Callable[[Api, Any], Awaitable[Reply]],
        *,
        record: Callable[[Any, Reply], None] = lambda _target, _reply: None,
        before_repair: Callable[[Any], Awaitable[None]] | None = None,
        repeats: int = 1,
    ) -> None:
        """`send` sends the request of a target through an API; `record` gets each response."""
        self.name = name
        self.attempts = self.acknowledged_at_once = 0
        """Requests, and those that were acknowledged although their server crashed."""
        self._env, self._take, self._send, self._record = env, take, send, record
        self._before_repair, self._repeats = before_repair, repeats
        self._next: Any = None
        self._pending: Any = None

    async def prepare(self) -> str:
        self._next = await self._take()
        return ""

    async def repair(self) -> None:
        """Repeat the previous request, which may be lost."""
        if self._pending is None:
            return
        if self._before_repair:
            await self._before_repair(self._pending)
        for _ in range(self._repeats):
            self._record(self._pending, await self._send(self._env, self._pending))
        self._pending = None

    async def attempt(self) -> None:
        self._pending, self.attempts = self._next, self.attempts + 1
        reply = await self._send(self._env.crashing, self._pending)
        if 200 <= reply.status < 300:
            self.acknowledged_at_once += 1
            self._record(self._pending, reply)
            if self._repeats == 1:  # a callback that is repeated minutes later is stale
                self._pending = None

    async def finish(self) -> None:
        await self.repair()


class SweepPath:
    """The server processes a target by itself, and again once it is due again."""

    def __init__(
        self,
        name: str,
        take: TakeTarget,
        make_due: Callable[[list[str]], Awaitable[list[str]]] | None = None,
    ) -> None:
        """Without `make_due`, which returns those not completed yet, the next server completes."""
        self.name = name
        self._take, self._make_due = take, make_due
        self._next = ""
        self._pending: list[str] = []

    async def prepare(self) -> str:
        """Make the previous targets due, as time would, and take the next one."""
        self._pending = await self._make_due(self._pending) if self._make_due else []
        self._next = await self._take()
        return self._next

    async def repair(self) -> None:
        """Nothing to do: the server's first sweep repairs; see marked_sweeps.py."""

    async def attempt(self) -> None:
        self._pending.append(self._next)

    async def finish(self) -> None:
        if self._make_due:
            await self._make_due(self._pending)


CrashPath = RequestPath | SweepPath


def callback_path(
    name: str, env: CrashEnvironment, take: TakeTarget, callback_of: Callable[[Any], Any]
) -> RequestPath:
    """Callbacks of WeChat, each sent byte for byte the same until it is acknowledged.

    `callback_of` makes the callback of a target.
    """

    async def take_callback() -> HTTPRequest:
        return callback_of(await take())

    async def send(api: Api, callback: HTTPRequest) -> Reply:
        assert callback.url.startswith(env.address + BASE)
        path, headers = callback.url.removeprefix(env.address), dict(callback.headers)
        return await api.request("POST", path, data=callback.body, headers=headers)

    return RequestPath(name, env, take_callback, send)


def decision_path(
    name: str,
    env: CrashEnvironment,
    take: TakeTarget,
    address: str,
    undecided: Collection[str],
    decided: Callable[[str], None] = lambda _id: None,
) -> RequestPath:
    """Return an operator's decisions; `address` has {} for the target's id.

    `undecided`: states before it; `decided` is called once a decision is acknowledged.
    """

    async def send(api: Api, id_: str) -> Reply:
        return await env.ops_request("POST", address.format(id_), api, reason="chaos")

    def record(id_: str, reply: Reply) -> None:
        decided(id_)
        if not reply.succeeded or reply.json["state"] in undecided:
            env.violations.add("unexpected_response", f"{address.format(id_)}: {reply}")

    return RequestPath(name, env, take, send, record=record)


class PreparedTargets:
    """Targets that are prepared on a server that does not crash."""

    def __init__(
        self, env: CrashEnvironment, make: TakeTarget, size: int, server: str = "no_sweeps"
    ) -> None:
        """`size`: how many are prepared at once; `server`: the kind of server."""
        self._env, self._make, self._size, self._server = env, make, size, server
        self._items: deque[Any] = deque()

    async def take(self) -> Any:
        if not self._items:
            async with self._env.stable_server(self._server):
                for _ in range(self._size):  # one after the other: orders at once would be one
                    self._items.append(await self._make())
        return self._items.popleft()
