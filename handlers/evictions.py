"""Closing sockets that must not hear another word, on whichever process they are."""

from handlers.parts import Parts
from realtime.bus import Revoked, ShownOut
from realtime.letters import pack, unpack


async def evict(parts: Parts, message: ShownOut | Revoked) -> None:
    """At once where the bus reaches; within a second everywhere else, by way of the database."""
    parts.hub.publish(message)
    await parts.letters.post(pack(parts.process, message))


async def read_letters(parts: Parts) -> None:
    """Carry out what other processes have posted."""
    for letter in await parts.letters.new():
        if read := unpack(letter):
            parts.hub.hear(read[1])
