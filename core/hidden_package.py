"""Keeps a package from loading an optional one."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden_package(name: str) -> Iterator[None]:
    """Imports inside find no package `name`, unless it was loaded before."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # makes its import raise ImportError
    try:
        yield
    finally:
        del sys.modules[name]
