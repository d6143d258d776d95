"""Values that this process remembers for a moment."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from time import monotonic
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Cache(Generic[K, T]):
    """Values by key, valid for `seconds` from the start of their read.

    A value that was invalidated during its read is not stored. Beyond `max_entries`, the value
    that was stored first is dropped. Concurrent reads of a key are not shared: see core/batching.
    """

    def __init__(
        self,
        seconds: float,
        max_entries: int,
        *,
        version: Callable[[], Hashable] = lambda: 0,
        keeps: Callable[[T], bool] = lambda _value: True,
    ) -> None:
        """Create a cache; `keeps` decides whether a value is stored.

        A change of `version` invalidates all values, and none is stored while it is None: it shows
        that this process may miss invalidations.
        """
        self._seconds = seconds
        self._max_entries = max_entries
        self._current_version = version
        self._version = version()
        self._keeps = keeps
        self._entries: OrderedDict[K, tuple[T, float]] = OrderedDict()
        """Each value with its expiry."""
        self.generation = 0
        """Number of invalidations; reads of the same generation may be shared."""

    def get(self, key: K) -> T | None:
        self._check_version()
        value, expires_at = self._entries.get(key, (None, 0.0))
        return value if monotonic() < expires_at else None

    def last(self, key: K) -> T | None:
        self._check_version()
        return self._entries.get(key, (None, 0.0))[0]

    async def load(self, key: K, read: Callable[[], Awaitable[T]]) -> T:
        """Return the valid value, or else the result of `read`, which is stored."""
        self._check_version()
        entry = self._entries.get(key)
        if entry and monotonic() < entry[1]:
            return entry[0]
        start = self.begin_read()
        value = await read()
        self.put(key, value, start)
        return value

    def begin_read(self) -> tuple[float, int]:
        """Return the time and the number of invalidations when a read begins, for `put`."""
        return monotonic(), self.generation

    def put(self, key: K, value: T, start: tuple[float, int], seconds: float | None = None) -> None:
        """Store a value whose read began at `start`, unless any was invalidated since.

        It is valid for `seconds`, by default those of the cache.
        """
        self._check_version()
        started_at, generation = start
        if generation != self.generation or self._version is None or not self._keeps(value):
            return
        self._entries[key] = value, started_at + (self._seconds if seconds is None else seconds)
        self._entries.move_to_end(key)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def invalidate(self, key: K) -> None:
        self.generation += 1
        self._entries.pop(key, None)

    def clear(self) -> None:
        self.generation += 1
        self._entries.clear()

    def _check_version(self) -> None:
        if (version := self._current_version()) != self._version:
            self._version = version
            self.clear()
