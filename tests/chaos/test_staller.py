import asyncio
import contextlib
import random
from typing import Any

import pytest

from chaos import staller as stallers
from chaos.staller import Staller

a_staller = pytest.mark.gen_test(timeout=30)


class Kernel:
    """What waits for the client, as its script says; a phase ends with the script."""

    def __init__(self, *script: int | None) -> None:
        self._script = list(script)

    def unsent(self, _server_port: int, _client_port: int) -> int | None:
        if not self._script:
            raise asyncio.CancelledError
        return self._script.pop(0)


class Line:
    def get_extra_info(self, name: str) -> tuple[str, int]:
        return {"sockname": ("", 1), "peername": ("", 2)}[name]


class Wire:
    transport = Line()


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stallers, "POLL_SECONDS", 0.001)


async def stalled(*script: int | None) -> Staller:
    nobody: Any = None
    kernel: Any = Kernel(*script)
    wire: Any = Wire()
    one = Staller(nobody, nobody, kernel, random.Random(1))
    with contextlib.suppress(asyncio.CancelledError):
        await one._until_cut(wire)
    return one


@a_staller
async def test_who_is_closed_was_cut_after_the_kernel_took_no_more() -> None:
    one = await stalled(0, 500, 900, 900, None)
    assert len(one.cuts) == len(one.stalls) == 1
    assert one.cuts[0] < one.stalls[0]
    assert one.never == 0


@a_staller
async def test_a_connection_that_was_never_found_was_not_cut() -> None:
    one = await stalled(None)
    assert one.cuts == one.stalls == []


@a_staller
@pytest.mark.parametrize(("cut_seconds", "never"), [(0.0, 1), (60.0, 0)])
async def test_who_is_owed_something_for_too_long_counts_though_the_phase_ends(
    monkeypatch: pytest.MonkeyPatch, cut_seconds: float, never: int
) -> None:
    monkeypatch.setattr(stallers, "CUT_SECONDS", cut_seconds)
    assert (await stalled(500, 500, 500)).never == never


@a_staller
async def test_who_is_owed_nothing_is_not_overdue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stallers, "CUT_SECONDS", 0.0)
    assert (await stalled(0, 0, 0)).never == 0
