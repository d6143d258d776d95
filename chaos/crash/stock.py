"""Targets of paths, prepared in advance."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from chaos.crash.environment import CrashEnvironment

STOCK = 25


class Stock:
    """Targets that are prepared on a server that neither crashes nor sweeps."""

    def __init__(
        self, env: CrashEnvironment, make: Callable[[], Awaitable[Any]], size: int = STOCK
    ) -> None:
        self._env, self._make, self._size = env, make, size
        self._items: deque[Any] = deque()

    async def take(self) -> Any:
        if not self._items:
            async with self._env.stable_server(sweeps=False):
                for _ in range(self._size):
                    self._items.append(await self._make())
        return self._items.popleft()
