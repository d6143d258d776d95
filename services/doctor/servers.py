"""What the running servers have stored: their reports, and callbacks that have arrived."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from storage.database import Database, Document
from storage.errors import storage_error
from storage.fleet import FleetProcess, FleetStore
from storage.jobs.inbox import InboxStore
from storage.jobs.outbox import OutboxStore

POLL_SECONDS = 0.2
SKEW = timedelta(seconds=5)
"""How much the clocks of servers may be behind."""
NO_SERVER = (
    "no report of a running server",
    "Set mongodb.uri, and run the doctor again while a server runs.",
)
"""What came back and what to do; the doctor does not read the embedded database."""
IM_DISSOLVED = "CallbackCommand=Group.CallbackAfterGroupDestroyed"


class RunningServers:
    """Servers of one database, none if there is no database or it does not answer."""

    def __init__(self, database: Database | None) -> None:
        self._database = database

    async def serving(self) -> list[FleetProcess]:
        """Return the processes that serve."""
        if (database := self._database) is None:
            return []
        try:
            fleet = FleetStore(database, OutboxStore(database))
            processes = await fleet.processes(await database.now())
        except Exception as error:
            if storage_error(error) is None:
                raise
            return []
        return [process for process in processes if process.state == "serving"]

    async def dissolution(self, since: datetime, seconds: float) -> Document | None:
        """Wait for IM's callback of a dissolved group; return None if none arrives in time.

        Only then is a refused one returned, which may be forged.
        """
        args = "im", since - SKEW, IM_DISSOLVED
        genuine = await self._wait(lambda inbox: inbox.find_since(*args, genuine=True), seconds)
        return genuine or await self._wait(lambda inbox: inbox.find_since(*args, genuine=False), 0)

    async def push(self, stream: str, seconds: float) -> Document | None:
        """Wait for CSS's event about the push of a stream; return None if none arrives."""
        return await self._wait(lambda inbox: inbox.find_first(f"live:1:{stream}:"), seconds)

    async def _wait(
        self, find: Callable[[InboxStore], Awaitable[Document | None]], seconds: float
    ) -> Document | None:
        assert self._database is not None
        inbox, deadline = InboxStore(self._database), time.monotonic() + seconds
        while True:
            if row := await find(inbox):
                return row
            if time.monotonic() > deadline:
                return None
            await asyncio.sleep(POLL_SECONDS)
