"""The connection to MongoDB: bounded in time, acknowledged by the majority, transactional."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, TypeVar

import pymongo
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    ExecutionTimeout,
    NetworkTimeout,
    PyMongoError,
    WTimeoutError,
)
from pymongo.monitoring import CommandListener
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from rooms.keeper import Raced
from rooms.refusals import Refusal, StorageAway, TryAgain

T = TypeVar("T")
Document = dict[str, Any]
Collection = AsyncCollection[Document]
Session = AsyncClientSession

OPERATION_MS = 3_000
"""For everything about one operation, finding the primary included. Less than the patience of a
room's lock (rooms/locks.py), so that those who queue behind it hear what is wrong."""
CONNECT_MS = 2_000
HEARTBEAT_MS = 2_000
"""A member that was seen while it started is looked at again so soon."""
BUILD_SECONDS = 600
PATIENCE_SECONDS = 2.0
PING_SECONDS = 2.0

# What the server calls a lost race: WriteConflict, and a snapshot that has become too old.
_CONFLICTS = (112, 246)


class NotAReplicaSet(Exception):
    """Said in one sentence to whoever started the server."""

    def __str__(self) -> str:
        return "mongodb.uri names a single MongoDB; transactions need a replica set (of one node)."


class Database:
    """One database; `listeners` hear of every command (see storage/latency.py)."""

    def __init__(self, uri: str, name: str, listeners: Sequence[CommandListener] = ()) -> None:
        self.client: AsyncMongoClient[Document] = AsyncMongoClient(
            uri,
            timeoutMS=OPERATION_MS,
            connectTimeoutMS=CONNECT_MS,
            heartbeatFrequencyMS=HEARTBEAT_MS,
            w="majority",
            # What is told may not be taken back by a failover or a crash: nothing is read that is
            # not there to stay. Whoever changes something on an older state is Raced.
            readConcernLevel="majority",
            tz_aware=True,
            event_listeners=list(listeners),
            appname="qlive",
        )
        self._db = self.client[name]
        self.races = 0
        """How often a transaction was tried again, since somebody else had been first."""

    def collection(self, name: str) -> Collection:
        return self._db[name]

    async def latency_ms(self) -> float | None:
        """To the primary and back; None when it does not answer within PING_SECONDS."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._db.command("ping")
        except (PyMongoError, TimeoutError):
            return None
        return round((time.perf_counter() - started) * 1000, 2)

    def patiently(self) -> AbstractContextManager[None]:
        """For what may take long at a start: an index on a large collection."""
        return pymongo.timeout(BUILD_SECONDS)

    async def check(self) -> None:
        """NotAReplicaSet where there are no transactions to be had."""
        hello = await self._db.command("hello")
        if "setName" not in hello and hello.get("msg") != "isdbgrid":
            raise NotAReplicaSet

    async def now(self) -> datetime:
        """By the clock that all processes share."""
        hello = await self._db.command("hello")
        now: datetime = hello["localTime"]
        return now.replace(tzinfo=UTC)  # commands know nothing of tz_aware

    async def close(self) -> None:
        with pymongo.timeout(PING_SECONDS):  # sessions are ended at a server that may be gone
            await self.client.close()

    async def transaction(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Run `work` on a snapshot and commit it by majority; Raced when somebody was first."""
        async with self.client.start_session() as session:
            await session.start_transaction(ReadConcern("snapshot"), WriteConcern("majority"))
            try:
                answer = await work(session)
            except PyMongoError as error:
                await session.abort_transaction()
                raise _raced(error) from error
            except BaseException:
                await session.abort_transaction()
                raise
            await _commit(session)
            return answer

    async def until_won(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """A transaction that is tried again, with jitter, while it loses races; then TryAgain."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return await self.transaction(work)
            except Raced:
                self.races += 1
                if time.monotonic() > deadline:
                    raise TryAgain from None
                await asyncio.sleep(random.uniform(0.001, 0.02))


async def _commit(session: Session) -> None:
    """A commit whose outcome is unknown may be repeated: it happens once."""
    deadline = time.monotonic() + OPERATION_MS / 1000
    while True:
        try:
            await session.commit_transaction()
            return
        except PyMongoError as error:
            unknown = error.has_error_label("UnknownTransactionCommitResult")
            if not unknown or time.monotonic() > deadline:
                raise _raced(error) from error


def _raced(error: PyMongoError) -> Exception:
    return Raced() if getattr(error, "code", None) in _CONFLICTS else error


def as_refusal(error: BaseException) -> Refusal | None:
    """What a failure of the database means to the caller; None when it is a mistake of ours."""
    if isinstance(error, ConnectionFailure | NetworkTimeout | ExecutionTimeout | WTimeoutError):
        return StorageAway()
    if isinstance(error, ConfigurationError) and "Sessions" in str(error):
        return StorageAway()  # a member that is only starting has none yet
    if isinstance(error, PyMongoError):
        if error.timeout or error.has_error_label("RetryableWriteError"):
            return StorageAway()
        if error.has_error_label("TransientTransactionError"):
            return TryAgain()
    return None
