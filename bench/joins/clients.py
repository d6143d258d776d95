"""Writes the members of many rooms, and runs the crowd that connects as them."""

import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.fanout.crowd import read_line, running_process
from bench.fanout.servers import QLIVE_SOCKET_PATH
from bench.fixtures import create_live_rooms, create_viewers, room_store
from rooms.room import Room
from storage.database import Database

TOKEN_AGE = timedelta(hours=2)
"""Time since the last stored use of a client's token; after an hour, the next use is stored."""


@dataclass(frozen=True, slots=True)
class Members:
    """Users who are in rooms, and the files of crowd.c that connect them."""

    database: str
    rooms: Sequence[Room]
    """By user."""
    tokens: Sequence[str]
    first_time: Path
    """For users who join."""
    again: Path
    """For users who resume and have missed the rooms' last event."""


async def create_members(
    uri: str, database: str, folder: Path, *, users: int, rooms: int
) -> Members:
    """Write live rooms with one event each to MongoDB, and their users in equal shares."""
    live_rooms = await create_live_rooms(uri, database, rooms)
    await _rename_hosts(uri, database, live_rooms)
    user_rooms = [live_rooms[n % rooms] for n in range(users)]
    tokens = await create_viewers(uri, database, user_rooms)
    paths = folder / f"{database}-join", folder / f"{database}-resume"
    suffixes = [
        (f"{room.live_id}", f"{room.live_id}&since={room.version}&epoch={room.epoch}")
        for room in user_rooms
    ]
    for path, lines in zip(paths, zip(*suffixes, strict=True), strict=True):
        path.write_text("".join(f"{t} {line}\n" for t, line in zip(tokens, lines, strict=True)))
    return Members(database, user_rooms, tokens, *paths)


async def _rename_hosts(uri: str, database_name: str, rooms: Sequence[Room]) -> None:
    """Change each room by an event, which is only in the log: the servers start later."""
    database = Database(uri, database_name)
    store = room_store(database)
    for room in rooms:
        changed = await store.load(room.live_id)
        assert changed is not None
        changed.update_profile(replace(changed.owner.person, nickname="renamed"))
        await store.save(changed, changed.numbered(room.started_at))
    await database.close()


async def age_tokens(uri: str, database_name: str) -> None:
    """Make every token one whose next use is stored, as those of clients connected for hours."""
    database = Database(uri, database_name)
    used_at = datetime.now(UTC) - TOKEN_AGE
    await database.collection("tokens").update_many({}, {"$set": {"used_at": used_at}})
    await database.close()


@dataclass(frozen=True, slots=True)
class Opening:
    """How a crowd connected."""

    seconds: float
    """From the start of the program to the last socket's first message."""
    resumed: int
    """Sockets that resumed; the others received a snapshot."""


class CrowdRefused(Exception):
    """The server has closed a socket of the crowd."""


@contextlib.asynccontextmanager
async def connected_crowd(
    program: Path, port: int, token_file: Path, sockets: int, window: int
) -> AsyncIterator[Opening]:
    """Connect the crowd, `window` sockets at a time; CrowdRefused if any of them is closed."""
    options = ["-j", "-w", str(window), "-p", QLIVE_SOCKET_PATH, "-t", str(token_file)]
    started = time.monotonic()
    async with running_process([str(program), *options, str(port), "0", str(sockets)]) as crowd:
        line = await read_line(crowd)
        if not line:
            raise CrowdRefused
        yield Opening(time.monotonic() - started, json.loads(line)["resumed"])
