"""MongoDB connection with timeouts, majority concerns and transactions."""

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import pymongo
from pymongo import AsyncMongoClient, ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from core.errors import StartupError, WriteConflict
from core.retry import retry_on_conflict
from storage.joint_reads import JointReads

T = TypeVar("T")
Document = dict[str, Any]
Collection = AsyncCollection[Document]
Session = AsyncClientSession

OPERATION_MS = 3_000
"""Timeout of one operation, server selection included. Less than QUEUE_SECONDS (core/batching.py)
and the timeout of a lock, so that requests queued behind it also fail with the database's error."""
CONNECT_MS = 2_000
CONNECTING = 50
"""Connections to one member that may be opened at the same time; PyMongo's default is two. Commands
that wait for a connection keep the others from the pool on Python 3.11: docs/performance.md,
"Waits for a connection". Overrides `maxConnecting` of the URI."""
HEARTBEAT_MS = 1_000
"""Interval of monitoring. A frozen primary is given up CONNECT_MS after a missed heartbeat (3 s in
all), before another member is elected (4 s, docs/deploy.md), so that queued changes have failed by
then."""
SLOW_OPERATION_SECONDS = 600
PING_SECONDS = 2.0


class CommandLatency(CommandListener):
    """Reports each command to `observe`: its name, "ok" or "failed", and seconds."""

    def __init__(self, observe: Callable[[str, str, float], None]) -> None:
        self._observe = observe

    def started(self, event: CommandStartedEvent) -> None:
        """Ignore it: the event of the command's end has its duration."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        self._observe(event.command_name, "ok", event.duration_micros / 1e6)

    def failed(self, event: CommandFailedEvent) -> None:
        self._observe(event.command_name, "failed", event.duration_micros / 1e6)


class Database:
    """One database; `listeners` receive every command.

    Raises StartupError for a URI that cannot be read, without its text, which may have a password.
    """

    def __init__(self, uri: str, name: str, listeners: Sequence[CommandListener] = ()) -> None:
        self._uri = uri
        try:
            self.client = AsyncMongoClient[Document](
                uri,
                timeoutMS=OPERATION_MS,
                connectTimeoutMS=CONNECT_MS,
                heartbeatFrequencyMS=HEARTBEAT_MS,
                w="majority",
                # Reads return only data that a failover or crash cannot roll back, since it is sent
                # to clients. A change based on an older state fails with WriteConflict.
                readConcernLevel="majority",
                tz_aware=True,
                event_listeners=list(listeners),
                appname="qlive",
                maxConnecting=CONNECTING,
            )
        except (ConfigurationError, ValueError):
            raise StartupError(
                "mongodb.uri cannot be read; percent-encode its user name and password."
            ) from None
        self._db = self.client[name]
        self.joint_reads = JointReads(self._db)
        self.conflict_retries = 0
        """Number of transactions retried after a write conflict."""
        self._after_commit = WeakKeyDictionary[Session, list[Callable[[], None]]]()

    def member(self, address: str) -> AsyncMongoClient[Document]:
        """Return a client of one member of the replica set; the caller closes it."""
        direct = re.sub(
            r"^mongodb(?:\+srv)?://([^/?]*@)?[^/?]*", rf"mongodb://\g<1>{address}", self._uri
        )
        options: Document = {"tls": True} if self._uri.startswith("mongodb+srv") else {}
        return AsyncMongoClient(
            direct,
            directConnection=True,
            timeoutMS=OPERATION_MS,
            connectTimeoutMS=CONNECT_MS,
            appname="qlive",
            **options,
        )

    def collection(self, name: str) -> Collection:
        return self._db[name]

    async def command(self, command: Document, session: Session) -> Document:
        """Return the reply to a command of a transaction; it has the errors of single writes."""
        return await self._db.command(command, session=session)

    async def next_number(self, name: str, count: int = 1) -> int:
        """Return 1, 2, 3, … Atomic: a number is never issued twice, but gaps are possible.

        With a `count`, returns the last of so many numbers.
        """
        row = await self._db.counters.find_one_and_update(
            {"_id": name},
            {"$inc": {"n": count}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return int(row["n"]) if row else 0

    async def latency_ms(self) -> float | None:
        """Return the round-trip time to the primary; None without an answer within PING_SECONDS."""
        started = time.perf_counter()
        try:
            with self.timeout(PING_SECONDS):
                await self._db.command("ping")
        except PyMongoError:
            return None
        return round((time.perf_counter() - started) * 1000, 2)

    def timeout(self, seconds: float) -> AbstractContextManager[None]:
        """Limit the operations of the block together.

        Unlike a cancellation: one that meets the end of PyMongo's own wait for a server leaves the
        lock of its topology taken for ever, on Python 3.11.
        """
        return pymongo.timeout(seconds)

    def slow_operation_timeout(self) -> AbstractContextManager[None]:
        """Raise the operation timeout to SLOW_OPERATION_SECONDS, e.g. to build an index."""
        return pymongo.timeout(SLOW_OPERATION_SECONDS)

    async def check(self) -> None:
        """Raise StartupError if the server does not support transactions."""
        hello = await self._db.command("hello")
        if "setName" not in hello and hello.get("msg") != "isdbgrid":
            raise StartupError(
                "mongodb.uri names a single MongoDB; transactions need a replica set (of one node)."
            )

    async def now(self) -> datetime:
        """Return the time by the database's clock, which all processes share."""
        hello = await self._db.command("hello")
        now: datetime = hello["localTime"]
        return now.replace(tzinfo=UTC)  # command replies ignore tz_aware

    async def close(self) -> None:
        with self.timeout(PING_SECONDS):  # ends sessions on a server that may be down
            await self.client.close()

    async def transaction(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Run `work` on a snapshot and commit by majority. Raises WriteConflict if it lost a race.

        A transaction whose abort is lost, or whose process is killed, locks what it has written
        until MongoDB's `transactionLifetimeLimitSeconds`.
        """
        async with (
            self.client.start_session() as session,
            await session.start_transaction(ReadConcern("snapshot"), WriteConcern("majority")),
        ):
            try:
                result = await work(session)
            except PyMongoError as error:
                raise _as_conflict(error) from error
            await _commit(session)
        for action in self._after_commit.pop(session, ()):
            action()
        return result

    def after_commit(self, session: Session, action: Callable[[], None]) -> None:
        """Have `action`, which never raises, called once the transaction is committed."""
        self._after_commit.setdefault(session, []).append(action)

    async def transaction_with_retry(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Run a transaction, and again on WriteConflict. Raises TryAgain as `retry_on_conflict`."""
        return await retry_on_conflict(lambda: self.transaction(work), self._count_conflict)

    def _count_conflict(self) -> None:
        self.conflict_retries += 1


async def _commit(session: Session) -> None:
    """Commit, and retry while the outcome is unknown: commits are idempotent."""
    deadline = time.monotonic() + OPERATION_MS / 1000
    while True:
        try:
            await session.commit_transaction()
            return
        except PyMongoError as error:
            unknown = error.has_error_label("UnknownTransactionCommitResult")
            if not unknown or time.monotonic() > deadline:
                raise _as_conflict(error) from error


def _as_conflict(error: PyMongoError) -> Exception:
    """Return a WriteConflict if MongoDB has kept nothing and recommends a repetition.

    Examples are a lost race, a snapshot that is too old, and a transaction that it has aborted.
    """
    transient = error.has_error_label("TransientTransactionError")
    return WriteConflict() if transient and isinstance(error, OperationFailure) else error
