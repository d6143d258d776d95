"""Processes that run transactions, and one that is killed within a transaction."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import pymongo
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, PyMongoError

from realtime.lease import Lease
from services.orphaned_transactions import OrphanedTransactions
from storage.database import Database, Session
from storage.presence import PresenceStore
from storage.session_records import SessionRecordStore
from tests.support.paths import ROOT
from tests.support.room_builders import GRACE

LEASE_SECONDS = 3_600.0
"""A lease that does not lapse during a test."""
BLOCKED_SECONDS = 0.2
"""Time after which a write counts as blocked; a free one takes milliseconds."""
NEVER_SECONDS = 3_600
"""transactionLifetimeLimitSeconds with which MongoDB ends no transaction by itself."""


@contextmanager
def transaction_lifetime(mongo_uri: str, seconds: int) -> Iterator[None]:
    """MongoDB ends abandoned transactions after so long, while the block runs; then it ends all."""
    name = "transactionLifetimeLimitSeconds"
    with MongoClient[Any](mongo_uri) as client:
        before = client.admin.command("setParameter", 1, **{name: seconds})["was"]
        try:
            yield
        finally:
            client.admin.command("killAllSessions", [])  # or the next test would wait for them
            client.admin.command("setParameter", 1, **{name: before})


@dataclass(frozen=True)
class TransactionProcess:
    """What a server process needs to run transactions and to end those of others."""

    name: str
    database: Database
    lease: Lease
    records: SessionRecordStore
    orphans: OrphanedTransactions

    async def renew_for(self, seconds: float) -> None:
        await PresenceStore(self.database, GRACE).renew(self.name, seconds)

    async def recorded(self) -> set[bytes]:
        found = [it for it in await self.records.all() if it.process == self.name]
        return set(found[0].sessions) if found else set()

    def held_for_full_term(self) -> None:
        """Pretends that the lease has been held for a full term."""
        self.lease._renewed_at = time.monotonic()
        self.lease._held_since = time.monotonic() - LEASE_SECONDS


async def transaction_process(database: Database, name: str) -> TransactionProcess:
    """A process with a lease; it does not record its sessions yet."""
    store, records = PresenceStore(database, GRACE), SessionRecordStore(database)
    lease = Lease(store, name, LEASE_SECONDS, list)
    await lease.renew()
    orphans = OrphanedTransactions(records, database.sessions, lease, name)
    return TransactionProcess(name, database, lease, records, orphans)


async def hold_transaction(uri: str, database: str, process: str) -> None:
    """Writes the document "blocked" in a transaction that stays open."""
    own = await transaction_process(Database(uri, database), process)
    await own.orphans.start()

    async def work(session: Session) -> None:
        things = own.database.collection("things")
        await things.update_one({"_id": "blocked"}, {"$inc": {"n": 1}}, session=session)
        sys.stdout.write("open\n")
        sys.stdout.flush()
        await asyncio.Event().wait()

    await own.database.transaction(work)


@asynccontextmanager
async def process_with_open_transaction(
    uri: str, database: str, process: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program within `hold_transaction`; it is killed at the end of the block."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.orphans", uri, database, process),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert child.stdout
        assert await child.stdout.readline() == b"open\n"
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def leave_open(database: Database, error: BaseException) -> None:
    """A transaction that has written the document "blocked" and fails; its abort gets lost."""

    async def lose(_command: str) -> None:
        raise AutoReconnect("lost")

    async def work(session: Session) -> None:
        things = database.collection("things")
        await things.update_one({"_id": "blocked"}, {"$inc": {"n": 1}}, session=session)
        session._finish_transaction_with_retry = lose  # type: ignore[method-assign,assignment]
        raise error

    try:
        await database.transaction(work)
    finally:
        for session in database.sessions._sessions:
            vars(session).pop("_finish_transaction_with_retry", None)


async def is_blocked(database: Database) -> bool:
    """Whether the document of these transactions refuses other writes."""
    try:
        with pymongo.timeout(BLOCKED_SECONDS):
            await database.collection("things").update_one({"_id": "blocked"}, {"$inc": {"n": 10}})
    except PyMongoError:
        return True
    return False


if __name__ == "__main__":
    asyncio.run(hold_transaction(*sys.argv[1:]))
