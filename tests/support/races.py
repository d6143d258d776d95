"""Races: what another request or process does at a certain point of a request."""

from collections.abc import Awaitable, Callable
from typing import Any

Action = Callable[[], Awaitable[object]]


def run_after(owner: Any, method: str, action: Action) -> None:
    """Runs `action` once, between the next result of an object's method and its caller."""
    _interrupt(owner, method, after=action)


def run_before(owner: Any, method: str, action: Action) -> None:
    """Runs `action` once, before the next call of an object's method."""
    _interrupt(owner, method, before=action)


async def _nothing() -> None:
    """There is no action on this side of the call."""


def _interrupt(
    owner: Any, method: str, before: Action = _nothing, after: Action = _nothing
) -> None:
    call = getattr(owner, method)

    async def interrupted(*args: Any, **kwargs: Any) -> Any:
        setattr(owner, method, call)
        await before()
        result = await call(*args, **kwargs)
        await after()
        return result

    setattr(owner, method, interrupted)
