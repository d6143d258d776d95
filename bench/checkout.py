"""A checkout of the project, whose servers and fixtures run with its own code.

The load generators are always those of this checkout. Another one has to have `server.py`,
`bench/fixtures.py`, `bench/calls/peers/qlive.py` and `bench/fanout/peers/qlive.py`, and runs with
the packages of this Python.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
GUESTS = """
import asyncio, json, sys
from bench.fixtures import create_live_rooms, create_viewers

async def main(uri, database, rooms, guests):
    live = await create_live_rooms(uri, database, int(rooms))
    theirs = [live[n % len(live)] for n in range(int(guests))]
    tokens = await create_viewers(uri, database, theirs)
    return [
        [room.live_id, token, room.host_id, room.epoch, room.version]
        for room, token in zip(theirs, tokens, strict=True)
    ]

print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
"""
CALL = """
import asyncio, sys
from bench import fixtures

asyncio.run(getattr(fixtures, sys.argv[1])(*sys.argv[2:]))
"""


class Guest(NamedTuple):
    """A signed-in member of a live room; `epoch` and `version` are those of the room."""

    live_id: int
    token: str
    host_id: str
    epoch: str
    version: int


@dataclass(frozen=True, slots=True)
class Checkout:
    """A working tree of any commit."""

    root: Path = ROOT

    def command(self, module: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", module, *arguments]

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("QLIVE_")}
        return {**inherited, "PYTHONPATH": str(self.root), **(more or {})}

    async def create_guests(self, uri: str, database: str, rooms: int, guests: int) -> list[Guest]:
        """Write live rooms and their guests, in equal shares, to a new database."""
        output = await self._run(GUESTS, uri, database, str(rooms), str(guests))
        return [Guest(*row) for row in json.loads(output)]

    async def call_fixture(self, name: str, *arguments: str) -> None:
        """Call a function of bench/fixtures.py."""
        await self._run(CALL, name, *arguments)

    async def _run(self, program: str, *arguments: str) -> bytes:
        command = [sys.executable, "-c", program, *arguments]
        run = partial(subprocess.run, check=True, stdout=subprocess.PIPE)
        done = await asyncio.to_thread(run, command, cwd=self.root, env=self.environment())
        return done.stdout
