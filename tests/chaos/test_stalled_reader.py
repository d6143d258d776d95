import asyncio
import contextlib
import random
from typing import Any

import pytest

from chaos import stalled_reader
from chaos.stalled_reader import StalledReader

reader_test = pytest.mark.gen_test(timeout=30)


class FakeConnections:
    """Returns the unsent bytes of its script; the end of the script ends the phase."""

    def __init__(self, *script: int | None) -> None:
        self._script = list(script)

    def unsent(self, _server_port: int, _client_port: int) -> int | None:
        if not self._script:
            raise asyncio.CancelledError
        return self._script.pop(0)


class FakeTransport:
    def get_extra_info(self, name: str) -> tuple[str, int]:
        return {"sockname": ("", 1), "peername": ("", 2)}[name]


class FakeWebSocket:
    transport = FakeTransport()


@pytest.fixture(autouse=True)
def poll_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalled_reader, "POLL_SECONDS", 0.001)


async def stall(*script: int | None) -> StalledReader:
    unused: Any = None
    connections: Any = FakeConnections(*script)
    websocket: Any = FakeWebSocket()
    reader = StalledReader(unused, unused, connections, random.Random(1))
    with contextlib.suppress(asyncio.CancelledError):
        await reader._wait_closed(websocket)
    return reader


@reader_test
async def test_the_close_delay_starts_when_the_kernel_buffer_is_full() -> None:
    reader = await stall(0, 500, 900, 900, None)
    assert len(reader.close_delays) == len(reader.stalls) == 1
    assert reader.close_delays[0] < reader.stalls[0]
    assert reader.never_closed == 0


@reader_test
async def test_a_connection_that_was_never_seen_does_not_count() -> None:
    reader = await stall(None)
    assert reader.close_delays == reader.stalls == []


@reader_test
@pytest.mark.parametrize(("close_seconds", "never_closed"), [(0.0, 1), (60.0, 0)])
async def test_an_overdue_close_counts_although_the_phase_ends(
    monkeypatch: pytest.MonkeyPatch, close_seconds: float, never_closed: int
) -> None:
    monkeypatch.setattr(stalled_reader, "CLOSE_SECONDS", close_seconds)
    assert (await stall(500, 500, 500)).never_closed == never_closed


@reader_test
async def test_a_client_without_unsent_bytes_is_not_overdue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stalled_reader, "CLOSE_SECONDS", 0.0)
    assert (await stall(0, 0, 0)).never_closed == 0
