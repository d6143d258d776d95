"""The MongoDB of a run: a real one, that can be killed, frozen and started again."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from storage.database import Database
from storage.mongod import Mongod
from storage.replica import uri_of


class KillableMongod:
    """On `folder` and always on the same `port`, which the proxy before it knows."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self._folder = folder
        self._mongod = Mongod(folder)

    async def start(self) -> None:
        """Returns when it takes writes."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "port").write_text(f"{self.port}\n")
        await self._mongod.start()

    async def stop(self) -> None:
        self.send(signal.SIGCONT)
        await self._mongod.stop()

    async def kill(self) -> None:
        """kill -9; returns when it is dead."""
        self.send(signal.SIGKILL)
        await self._mongod.stop()

    async def logs(self, database: str) -> dict[tuple[int, str], list[dict[str, Any]]]:
        """The events that each room keeps, by (live_id, epoch): asked here and of no server."""
        asked = Database(uri_of(self.port), database)
        try:
            rows = await asked.collection("rooms").find({}, {"epoch": 1, "log": 1}).to_list()
        finally:
            await asked.close()
        return {(row["_id"], row["epoch"]): [*row["log"].values()] for row in rows}

    def send(self, number: int) -> None:
        with suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.kill(int((self._folder / "mongod.lock").read_text()), number)
