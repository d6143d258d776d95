"""Targets of paths, prepared in advance."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from chaos.crash.environment import CrashEnvironment


class Stock:
    """Targets that are prepared on a server that neither crashes nor sweeps."""

    def __init__(
        self, env: CrashEnvironment, make: Callable[[], Awaitable[Any]], size: int
    ) -> None:
        """`size`: how many are prepared at once."""
        self._env, self._make, self._size = env, make, size
        self._items: deque[Any] = deque()

    async def take(self) -> Any:
        if not self._items:
            async with self._env.stable_server("no_sweeps"):
                for _ in range(self._size):
                    self._items.append(await self._make())
        return self._items.popleft()
