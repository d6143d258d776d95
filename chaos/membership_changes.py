"""Live sessions that end and restart."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from chaos.api import FleetUser
from chaos.room_load import RoomLoad
from chaos.websocket_client import RoomClient
from tests.support.client import Reply

ENDED = 4510
TRIES = 3
"""Each includes a client's retries of up to a minute."""
CLOSE_SECONDS = 50.0
"""For a client on a dead connection to notice (8 s), to reconnect (20 s) and to be closed."""


async def enter(room: RoomLoad, user: FleetUser) -> None:
    """Make the user a member, without which a client is not admitted."""
    live_id = room.live_id
    await _retry(room, user.name, lambda: user.get("get_playurl/", live_id=live_id))


async def wait_closed(room: RoomLoad, client: RoomClient, code: int) -> None:
    """Wait until the server closed the client with this code; it may have to reconnect first."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.wait_stopped()
    except TimeoutError:
        room.violations.add("not_closed", f"{client.checker.name}: no close with {code}")
        client.stop()
    if client.final_code not in (0, code):
        words = f"{client.checker.name}: {client.final_code} instead of {code}"
        room.violations.add("wrong_close_code", words)


async def restart_live(room: RoomLoad) -> None:
    """End the live session and start another one, which all guests enter."""
    async with room.suspended():
        started_at, host, params = time.time(), room.host, {"live_id": room.live_id}
        ended = await _retry(room, host.name, lambda: host.post("qlive_room/live_end/", **params))
        if not ended.succeeded:
            return
        room.record(ended, f"live_end {host.id}", started_at)
        await asyncio.gather(*(wait_closed(room, client, ENDED) for client in room.clients))
        await _retry(room, host.name, lambda: host.post("qlive_room/matchmaker_enter/"))
        await asyncio.gather(*(enter(room, guest) for guest in room.guests))
        for client in room.clients:
            client.start()
        await wait_connected(room)


async def _retry(room: RoomLoad, name: str, send: Callable[[], Awaitable[Reply]]) -> Reply:
    """Repeat a request until it succeeds, at most TRIES times."""
    for _ in range(TRIES):
        if (response := await send()).succeeded:
            return response
        await asyncio.sleep(0.5)
    room.violations.add("unexpected_response", f"{name} in room {room.live_id}: {response}")
    return response


async def wait_connected(room: RoomLoad) -> None:
    """Wait for all clients, so that every later event has a receiver."""
    deadline = time.monotonic() + CLOSE_SECONDS
    while not all(client.connected for client in room.clients):
        if time.monotonic() > deadline:
            words = f"room {room.live_id} after its live session restarted"
            room.violations.add("not_reconnected", words)
            return
        await asyncio.sleep(0.1)
