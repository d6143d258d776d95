"""People who come and go, and lives that end and begin anew: the membership of ears changes."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from chaos.client import Client
from chaos.phones import Answer, Phone
from chaos.stage import Stage

ENDED, NOT_A_MEMBER = 4510, 4504
TAKES_IT_ALONG = 0.5
TRIES = 3
"""Each with a phone's patience of a minute."""
PARTING_SECONDS = 50.0
"""For an ear on a dead line to notice (8 s), to come back (20 s), and to be told."""


async def walk(stage: Stage, phone: Phone, client: Client, pause: float) -> None:
    """Somebody leaves the room and comes back, again and again; in the end they are there.

    Sometimes they take their ear with them, otherwise it is sent away.
    """
    while stage.going:
        async with stage.turn():
            if stage.chance.random() < TAKES_IT_ALONG:
                client.stop()
            left = await phone.get("qlive_room/leave_room/", live_id=stage.live_id)
            if left.ok and client.wanted:
                await parted(stage, client, NOT_A_MEMBER)
            client.stop()  # where it is not known whether they left, the ear may still be wanted
            await come_in(stage, phone)
            client.begin()
        await stage.rest(4 * pause)


async def come_in(stage: Stage, phone: Phone) -> None:
    """Without it, the ear that follows would be nobody's."""
    where = stage.live_id
    await _insist(stage, phone.name, lambda: phone.get("get_playurl/", live_id=where))


async def parted(stage: Stage, client: Client, code: int) -> None:
    """Until this ear was told not to come back; it may have to be reached first."""
    try:
        async with asyncio.timeout(PARTING_SECONDS):
            await client.over()
    except TimeoutError:
        stage.faults.add("not_sent_away", f"{client.hearing.name}: should have heard {code}")
        client.stop()
    if client.final not in (0, code):
        stage.faults.add("sent_away", f"{client.hearing.name}: {client.final} instead of {code}")


async def encore(stage: Stage) -> None:
    """The host ends the live and begins another one; everybody comes again."""
    async with stage.interval():
        began, host, room = time.time(), stage.host, {"live_id": stage.live_id}
        ended = await _insist(stage, host.name, lambda: host.post("qlive_room/live_end/", **room))
        if not ended.ok:
            return
        stage.done(ended, f"live_end {host.id}", began)
        await asyncio.gather(*(parted(stage, client, ENDED) for client in stage.clients))
        await _insist(stage, host.name, lambda: host.post("qlive_room/matchmaker_enter/"))
        await asyncio.gather(*(come_in(stage, one) for one in stage.people))
        for client in stage.clients:
            client.begin()
        await listening(stage)


async def _insist(stage: Stage, who: str, ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask until it is done, but not for ever."""
    for _ in range(TRIES):
        if (answer := await ask()).ok:
            return answer
        await asyncio.sleep(0.5)
    stage.faults.add("contradicted", f"{who} in room {stage.live_id}: {answer}")
    return answer


async def listening(stage: Stage) -> None:
    """Until everybody is back, so that each act from now on is heard by somebody."""
    deadline = time.monotonic() + PARTING_SECONDS
    while not all(client.connected for client in stage.clients):
        if time.monotonic() > deadline:
            stage.faults.add("not_back", f"room {stage.live_id} after a new life began")
            return
        await asyncio.sleep(0.1)
