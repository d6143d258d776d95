"""Pool of MongoDB sessions for transactions, which are recorded before their first use.

A process that is killed within a transaction leaves it open, and MongoDB blocks the documents that
it has written until `transactionLifetimeLimitSeconds`, 60 by default. Another process can end it at
once, but only by the id of its session. Sessions are reused for the lifetime of the process, so
that there are few to record.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from core.batching import SingleFlight
from core.limits import ConcurrencyLimit

MAX_SESSIONS = 64
"""Concurrent transactions of a process; further ones wait. PyMongo has 100 connections."""
BLOCK = 8
"""Sessions that are recorded by one write."""

SessionId = bytes
Recorder = Callable[[Sequence[SessionId]], Awaitable[None]]


class SessionPool:
    """Sessions of this process; each is used by one transaction at a time."""

    def __init__(self, client: AsyncMongoClient[dict[str, Any]], timeout: float) -> None:
        """`timeout`: longest wait for a session, in seconds."""
        self._client = client
        self._sessions: list[AsyncClientSession] = []
        self._unrecorded: list[AsyncClientSession] = []
        self._idle: list[AsyncClientSession] = []
        self._doubtful: list[AsyncClientSession] = []
        """Sessions whose transaction may still be open on the server."""
        self._limit = ConcurrencyLimit(MAX_SESSIONS, timeout)
        self._growth = SingleFlight(self._grow)
        self._ending = SingleFlight(self._end_doubtful)
        self.recorder: Recorder | None = None
        """Stores the ids of new sessions before their first use; None: nothing records them."""

    @property
    def ids(self) -> list[SessionId]:
        """The ids of all sessions that may have an open transaction."""
        return [session.session_id["id"] for session in self._sessions]

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncClientSession]:
        """Holds a session; TryAgain if none becomes free in time.

        The transaction is aborted if the block raises before it commits.
        """
        async with self._limit.slot():
            session = await self._take()
            returned_to = self._doubtful
            try:
                yield session
                returned_to = self._idle
            except BaseException as error:
                acknowledged = await _abort(session)
                if acknowledged and not _leaves_transaction(error):
                    returned_to = self._idle
                raise
            finally:
                returned_to.append(session)

    async def prepare(self) -> None:
        """Make sessions available: the first transactions need not wait for their record."""
        await self._growth.get()

    async def end_doubtful(self) -> None:
        """End the transactions of which this process does not know whether they have ended.

        A transaction stays open if MongoDB, or the network, was gone when it had to be aborted.
        """
        await self._ending.get()

    async def _end_doubtful(self) -> None:
        if not self._doubtful:
            return
        doubtful, self._doubtful = self._doubtful, []
        try:
            await self.kill([session.session_id["id"] for session in doubtful])
        except BaseException:
            self._doubtful += doubtful
            raise
        self._idle += doubtful

    async def kill(self, session_ids: Sequence[SessionId]) -> None:
        """Abort the transactions of these sessions, of any process. The sessions stay usable."""
        sessions = [{"id": session_id} for session_id in session_ids]
        await self._client.admin.command("killSessions", sessions)

    async def close(self) -> None:
        for session in self._sessions:
            await session.end_session()

    async def _take(self) -> AsyncClientSession:
        while not self._idle:
            await self._growth.get()
        return self._idle.pop()

    async def _grow(self) -> None:
        """Make sessions available: new ones, or those of transactions that were in doubt."""
        if self._idle:
            return
        if len(self._sessions) >= MAX_SESSIONS and not self._unrecorded:
            await self.end_doubtful()
            return
        if not self._unrecorded:
            # Without causal consistency, each transaction reads the newest data, as on a session
            # of its own.
            fresh = [self._client.start_session(causal_consistency=False) for _ in range(BLOCK)]
            self._sessions += fresh
            self._unrecorded += fresh
        if self.recorder:
            await self.recorder(self.ids)
        self._idle += self._unrecorded
        self._unrecorded = []


async def _abort(session: AsyncClientSession) -> bool:
    """Abort the open transaction, if any; False if MongoDB did not answer, which PyMongo hides."""
    if not session.in_transaction:
        return True
    acknowledged = True
    finish = session._finish_transaction_with_retry

    async def finish_and_note(command_name: str) -> dict[str, Any]:
        nonlocal acknowledged
        try:
            return await finish(command_name)
        except ConnectionFailure:
            acknowledged = False
            raise

    session._finish_transaction_with_retry = finish_and_note  # type: ignore[method-assign]
    try:
        await session.abort_transaction()
    finally:
        del session._finish_transaction_with_retry
    return acknowledged


def _leaves_transaction(error: BaseException) -> bool:
    """Whether a transaction that failed so may be open: MongoDB did not answer a command."""
    if not isinstance(error, Exception):
        return True
    return isinstance(error, PyMongoError) and not isinstance(error, OperationFailure)
