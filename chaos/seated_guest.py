"""A guest on mic who is put out or banned, and when Tencent has cut their stream."""

import asyncio
import time
from collections.abc import Callable

from chaos.api import FleetUser
from chaos.run import Run

WAIT_SECONDS = 60.0
POLL_SECONDS = 0.01


async def seat_guest(run: Run, name: str, live_id: int) -> tuple[FleetUser, str]:
    """Create a guest and let them take the male seat of a room; returns the stream's name, too."""
    guest = await run.create_guest(name, 1, live_id)
    await guest.post("qlive_room/apply_micro/", live_id=live_id)
    seated = await guest.post("qlive_room/accept_micro/", live_id=live_id)
    if not seated.succeeded:
        raise RuntimeError(f"{name} could not take the seat: {seated}")
    return guest, stream_of(seated.json["push_url"])


def stream_of(url: str) -> str:
    """The stream's name in an RTMP URL."""
    return url.partition("?")[0].rpartition("/")[2]


async def seconds_until(condition: Callable[[], bool]) -> float:
    """Seconds from now until the condition holds; WAIT_SECONDS if it does not by then."""
    started = time.monotonic()
    while not condition() and time.monotonic() - started < WAIT_SECONDS:
        await asyncio.sleep(POLL_SECONDS)
    return time.monotonic() - started
