"""Commits that become ready while another is in flight go together in one transaction."""

import asyncio
from collections import deque

from bson.errors import BSONError
from pymongo.errors import OperationFailure

from core.errors import WriteConflict
from storage.database import Database, Session
from storage.errors import StorageUnavailable
from storage.write_batch import WriteBatch

MAX_WRITES = 500
"""Writes of one transaction; one more batch may go over it."""
STALLED_SECONDS = 0.1
"""How long a commit keeps the next one waiting. A single write goes without a transaction, and
waits for a document that a transaction has locked; the other rooms must not."""


class GroupCommit:
    """Commits write batches, each atomically, with few commands.

    One transaction is in flight, unless it stalls: with two, which share the same writes, a change
    took 7 to 20 % more of the process and of mongod, and no less time.

    Batches in one transaction fail together if one of them conflicts, or cannot be written: then
    each is committed by itself, so that it costs the others one retry at most.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[tuple[WriteBatch, asyncio.Future[None]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._awaited: asyncio.Task[None] | None = None
        """The commit that the next one waits for."""

    async def commit(self, batch: WriteBatch) -> None:
        """Returns once the batch is majority-committed. Raises WriteConflict."""
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((batch, committed))
        self._start()
        await committed

    def _start(self) -> None:
        if not self._waiting or self._awaited:
            return
        group = [self._waiting.popleft()]
        size = len(group[0][0])
        while self._waiting and size < MAX_WRITES:
            size += len(self._waiting[0][0])
            group.append(self._waiting.popleft())
        loop = asyncio.get_running_loop()
        self._awaited = task = loop.create_task(self._commit_group(group))
        self._tasks.add(task)
        stalled = loop.call_later(STALLED_SECONDS, self._start_next, task)

        def finish(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            stalled.cancel()
            self._start_next(task)

        task.add_done_callback(finish)

    def _start_next(self, after: asyncio.Task[None]) -> None:
        if self._awaited is after:
            self._awaited = None
            self._start()

    async def _commit_group(self, group: list[tuple[WriteBatch, asyncio.Future[None]]]) -> None:
        error: Exception | None = StorageUnavailable()
        try:
            await self._commit_together([batch for batch, _ in group])
            error = None
        except Exception as raised:  # noqa: BLE001 - raised to the callers
            error = raised
            if len(group) > 1 and _may_be_repeated(raised):
                await asyncio.gather(*(self._commit_group([alone]) for alone in group))
        finally:
            _answer(group, error)

    async def _commit_together(self, batches: list[WriteBatch]) -> None:
        together = batches[0] if len(batches) == 1 else WriteBatch.joined(batches)
        if len(together) == 1:
            await together.execute_alone(self._database)
            return

        async def write(session: Session) -> None:
            await together.execute(self._database, session)

        await self._database.transaction(write)


def _may_be_repeated(error: Exception) -> bool:
    """Whether the transaction is known to be aborted, by a reason that may lie in one batch."""
    if isinstance(error, OperationFailure):
        return not error.has_error_label("UnknownTransactionCommitResult")
    return isinstance(error, WriteConflict | BSONError)


def _answer(group: list[tuple[WriteBatch, asyncio.Future[None]]], error: Exception | None) -> None:
    for _, committed in group:
        if committed.done():
            continue
        if error is None:
            committed.set_result(None)
        else:
            committed.set_exception(error)
