"""Names whose lifetime a test can see: what nothing stores any more is released."""

import gc
from weakref import WeakSet


class Names:
    """Makes strings and counts those that something still refers to."""

    def __init__(self) -> None:
        self._alive: WeakSet[_Name] = WeakSet()

    def new(self, text: str) -> str:
        name = _Name(text)
        self._alive.add(name)
        return name

    @property
    def stored_count(self) -> int:
        gc.collect()
        return len(self._alive)


class _Name(str):
    """A string to which a weak reference is possible."""
