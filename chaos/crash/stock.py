"""Targets of paths, prepared in advance."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from chaos.crash.environment import CrashEnvironment


class Stock:
    """Targets that are prepared on a server that does not crash."""

    def __init__(
        self,
        env: CrashEnvironment,
        make: Callable[[], Awaitable[Any]],
        size: int,
        server: str = "no_sweeps",
    ) -> None:
        """`size`: how many are prepared at once; `server`: the kind of server."""
        self._env, self._make, self._size, self._server = env, make, size, server
        self._items: deque[Any] = deque()

    async def take(self) -> Any:
        if not self._items:
            async with self._env.stable_server(self._server):
                for _ in range(self._size):
                    self._items.append(await self._make())
        return self._items.popleft()

    def take_rest(self) -> list[Any]:
        """What is prepared and not taken; nothing is left."""
        rest, self._items = [*self._items], deque()
        return rest
