"""Users who leave and rejoin a room, and live sessions that end and restart."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from chaos.api import FleetUser
from chaos.room_load import RoomLoad
from chaos.websocket_client import RoomClient
from tests.support.client import Reply

ENDED, NOT_A_MEMBER = 4510, 4504
DISCONNECT_FIRST = 0.5
"""Probability that a leaving user disconnects before the server closes the connection."""
TRIES = 3
"""Each includes a client's retries of up to a minute."""
CLOSE_SECONDS = 50.0
"""For a client on a dead connection to notice (8 s), to reconnect (20 s) and to be closed."""


async def leave_and_rejoin(
    room: RoomLoad, user: FleetUser, client: RoomClient, pause: float
) -> None:
    """Let the user leave and rejoin until the run ends; at the end the user is a member.

    Sometimes the client disconnects first, otherwise the server must close it.
    """
    while room.running:
        async with room.turn():
            if room.rng.random() < DISCONNECT_FIRST:
                client.stop()
            left = await user.get("qlive_room/leave_room/", live_id=room.live_id)
            if left.succeeded and client.wanted:
                await wait_closed(room, client, NOT_A_MEMBER)
            client.stop()  # without an acknowledged leave, the client may still be connected
            await enter(room, user)
            client.start()
        await room.pause(4 * pause)


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
