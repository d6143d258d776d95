"""Closing sockets that must not hear another word, on whichever process they are."""

from collections.abc import Callable

from handlers.parts import Parts
from realtime.bus import Revoked, ShownOut
from realtime.codes import Code
from realtime.letters import pack, unpack
from rooms.room import Room


async def evict(parts: Parts, message: ShownOut | Revoked) -> None:
    """At once where the bus reaches; within a second everywhere else, by way of the database."""
    parts.hub.publish(message)
    await parts.letters.post(pack(parts.process, message))


async def put_out(
    parts: Parts, live_id: int, user_id: str, until: int, rule: Callable[[Room], bool]
) -> None:
    """Out of one room by `rule`, until then (ms): off the mic, off the socket, out of the chat."""
    on_mic = await parts.keeper.put_out(live_id, user_id, rule)
    await evict(parts, ShownOut(user_id, live_id, Code.PUT_OUT))
    if parts.relay and not on_mic:  # of somebody on mic the relay hears by the event
        group_id = (await parts.keeper.look(live_id)).group_id
        kicked = {"user_id": user_id, "group_id": group_id, "n": until}
        await parts.errand_store.add("kick_out", kicked)
        parts.errands.nudge()


async def read_letters(parts: Parts) -> None:
    """Carry out what other processes have posted."""
    for letter in await parts.letters.new():
        if read := unpack(letter):
            parts.owners.hear(read[1])
            parts.hub.hear(read[1])
