"""The MongoDB of a run: a real mongod that can be killed, suspended and restarted."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from devtools.embedded_mongod import EmbeddedMongod
from storage.database import Database
from storage.replica_set import uri_of


class KillableMongod:
    """A mongod on `folder` that keeps its `port`, which the proxy in front of it uses."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self.uri = uri_of(port)
        self._folder = folder
        self._mongod = EmbeddedMongod(folder)

    async def start(self) -> None:
        """Returns once it accepts writes."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "port").write_text(f"{self.port}\n")
        await self._mongod.start()

    async def stop(self) -> None:
        self.send_signal(signal.SIGCONT)
        await self._mongod.stop()

    async def kill(self) -> None:
        """kill -9; returns once it is dead."""
        self.send_signal(signal.SIGKILL)
        await self._mongod.stop()

    def send_signal(self, number: int) -> None:
        with suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.kill(int((self._folder / "mongod.lock").read_text()), number)


async def room_logs(uri: str, database: str) -> dict[tuple[int, str], list[dict[str, Any]]]:
    """Event log of each room by (live_id, epoch)."""
    connection = Database(uri, database)
    try:
        rows = await connection.collection("rooms").find({}, {"epoch": 1, "log": 1}).to_list()
    finally:
        await connection.close()
    return {(row["_id"], row["epoch"]): [*row["log"].values()] for row in rows}
