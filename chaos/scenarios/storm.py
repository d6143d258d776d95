"""The storm: many kinds of faults at once, by a seeded plan, under load."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from chaos.api import FleetUser
from chaos.faults import Fault, inject, make_plan
from chaos.fleet import RunSize
from chaos.load import RoomLoad
from chaos.report import RunReport
from chaos.run import Run
from chaos.scenario import Scenario, under_load
from chaos.websocket_client import RoomClient
from tests.support.client import Reply
from tests.support.waiting import until

SILENCE_TIMEOUT = 8.0
SETTINGS = {"QLIVE_REALTIME__HEARTBEAT_SECONDS": "5", "QLIVE_SERVER__DRAIN_SECONDS": "3"}
"""Heartbeat interval and silence timeouts are a fifth of the defaults, since a storm is short."""
SIZE = RunSize(silence_timeout=SILENCE_TIMEOUT, settings=SETTINGS)
ENDED = 4510
TRIES, RETRY_SECONDS = 3, 0.5
"""Each try includes a client's retries of up to a minute."""
CLOSE_SECONDS = 50.0
"""For a client on a dead connection to notice (8 s), to reconnect (20 s) and to be closed."""


async def storm(
    run: Run, _report: RunReport, seconds: float, plan: Sequence[Fault] | None = None
) -> None:
    """Inject the faults of the plan, which stays in the folder with the logs."""
    started = time.monotonic()
    plan = plan or make_plan(run.seed, seconds, run.size.processes)
    (run.fleet.folder / "plan.txt").write_text("".join(f"{fault}\n" for fault in plan))
    rng = run.rng("restarts")
    rooms = rng.sample(run.rooms, len(run.rooms) // 4)  # in the middle of the storm
    await asyncio.gather(
        *(_at(rng.uniform(0.2, 0.7) * seconds, restart_live(room)) for room in rooms),
        *(_at(fault.at, inject(run.fleet, fault)) for fault in plan),
    )
    await asyncio.sleep(max(0.0, started + seconds - time.monotonic()))


async def _at(seconds: float, work: Awaitable[None]) -> None:
    await asyncio.sleep(seconds)
    await work


async def restart_live(room: RoomLoad, retry_seconds: float = RETRY_SECONDS) -> None:
    """End the live session and start another one, which all guests enter."""

    async def send(user: FleetUser, request: Callable[[], Awaitable[Reply]]) -> Reply:
        """Repeat a request until it succeeds, at most TRIES times."""
        for _ in range(TRIES):
            if (response := await request()).succeeded:
                return response
            await asyncio.sleep(retry_seconds)
        detail = f"{user.name} in room {room.live_id}: {response}"
        room.violations.add("unexpected_response", detail)
        return response

    async def enter(guest: FleetUser) -> None:
        await send(guest, lambda: guest.get("get_playurl/", **live_id))

    host, live_id = room.host, {"live_id": room.live_id}
    async with room.suspended():
        started_at = time.time()
        ended = await send(host, lambda: host.post("qlive_room/live_end/", **live_id))
        if not ended.succeeded:
            return
        room.record(ended, f"live_end {host.id}", started_at)
        await asyncio.gather(*(_wait_closed(room, client) for client in room.clients))
        await send(host, lambda: host.post("qlive_room/matchmaker_enter/"))
        await asyncio.gather(*map(enter, room.guests))
        for client in room.clients:
            client.start()
        try:  # every later event has to have a receiver
            await until(lambda: all(client.connected for client in room.clients), CLOSE_SECONDS)
        except AssertionError:
            detail = f"room {room.live_id} after its live session restarted"
            room.violations.add("not_reconnected", detail)


async def _wait_closed(room: RoomLoad, client: RoomClient) -> None:
    """Wait until the server closed the client, which may have to reconnect first."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.wait_stopped()
    except TimeoutError:
        room.violations.add("not_closed", client.checker.name)
        client.stop()
    if client.final_code not in (0, ENDED):
        detail = f"{client.checker.name}: {client.final_code} instead of {ENDED}"
        room.violations.add("wrong_close_code", detail)


SCENARIO = Scenario(under_load(storm), "all kinds of faults at once, by a seeded plan", SIZE, 60)
