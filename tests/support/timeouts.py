"""Timeouts that a test ends itself, at the step that it is about."""

import asyncio
from types import ModuleType, SimpleNamespace

import pytest


def recorded_timeouts(patch: pytest.MonkeyPatch, module: ModuleType) -> list[asyncio.Timeout]:
    """The timeouts that `module` enters from now on; `reschedule(0)` ends one of them."""
    timeouts: list[asyncio.Timeout] = []

    def timeout(seconds: float) -> asyncio.Timeout:
        timeouts.append(asyncio.timeout(seconds))
        return timeouts[-1]

    patch.setattr(module, "asyncio", SimpleNamespace(**vars(asyncio) | {"timeout": timeout}))
    return timeouts
