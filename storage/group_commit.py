"""Commits that become ready while another is in flight go together in one transaction."""

import asyncio
from collections import deque
from typing import Any, NamedTuple

from bson.errors import BSONError
from pymongo.errors import OperationFailure

from core.errors import WriteConflict
from storage.database import Database, Session
from storage.errors import StorageUnavailable
from storage.write_batch import WriteBatch

MAX_WRITES = 500
"""Writes of one transaction; one more batch may go over it."""
MAX_FIELDS = 2_000
"""Fields that the guarded updates of one transaction change; one more batch may go over it.

MongoDB closes the connection at a command of more than 48 MB, which fails the whole group. The
update of a room may have 256 events in it, so that a number of writes does not bound the bytes. The
largest fields are events of gifts with the longest texts, of 10 KB.
"""
MAX_ALONE = 16
"""Batches that are committed by themselves at the same time, after conflicts: others of the process
need connections, too."""
MIN_EARLY = 8
"""Batches that begin while the transaction before is being committed. Fewer wait for its end, and
for more of them: each transaction has a command for each collection, and one to commit."""
STALLED_SECONDS = 0.1
"""How long a commit keeps the next one waiting. A single write goes without a transaction, and
waits for a document that a transaction has locked; the other rooms must not."""


class Waiting(NamedTuple):
    """A batch to be committed."""

    batch: WriteBatch
    committed: asyncio.Future[None]


class GroupCommit:
    """Commits write batches, each atomically, with few commands.

    One transaction at a time writes, unless it stalls: with two, which share the same writes, a
    change took 7 to 20 % more of the process and of mongod, and no less time.

    Batches in one transaction fail together if one of them conflicts, or cannot be written: then
    each is committed by itself, so that it costs the others one retry at most.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[Waiting] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._alone = asyncio.Semaphore(MAX_ALONE)
        self._awaited: asyncio.Task[None] | None = None
        """The commit that the next one waits for."""

    async def commit(self, batch: WriteBatch) -> None:
        """Returns once the batch is majority-committed. Raises WriteConflict."""
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(Waiting(batch, committed))
        self._start()
        await committed

    def _start(self) -> None:
        if not self._waiting or self._awaited:
            return
        group = [self._waiting.popleft()]
        writes, fields = len(group[0].batch), group[0].batch.fields
        while self._waiting and writes < MAX_WRITES and fields < MAX_FIELDS:
            group.append(self._waiting.popleft())
            writes += len(group[-1].batch)
            fields += group[-1].batch.fields
        loop = asyncio.get_running_loop()
        self._awaited = task = loop.create_task(self._commit_group(group))
        self._tasks.add(task)
        stalled = loop.call_later(STALLED_SECONDS, self._start_next, task)

        def finish(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            stalled.cancel()
            self._start_next(task)

        task.add_done_callback(finish)

    def _start_next(self, after: asyncio.Task[Any] | None) -> None:
        if after and self._awaited is after:
            self._awaited = None
            self._start()

    async def _commit_group(self, group: list[Waiting]) -> None:
        error: Exception | None = StorageUnavailable()
        try:
            await self._commit_together([it.batch for it in group])
            error = None
        except Exception as raised:  # noqa: BLE001 - raised to the callers
            error = raised
            if len(group) > 1 and _may_be_repeated(raised):
                await self._commit_each(group)
        finally:
            _answer(group, error)

    async def _commit_each(self, group: list[Waiting]) -> None:
        async def commit(alone: Waiting) -> None:
            async with self._alone:
                await self._commit_group([alone])

        await asyncio.gather(*map(commit, group))

    async def _commit_together(self, batches: list[WriteBatch]) -> None:
        together = batches[0] if len(batches) == 1 else WriteBatch.joined(batches)
        if len(together) == 1:
            await together.execute_alone(self._database)
            return

        async def write(session: Session) -> None:
            await together.execute(self._database, session)
            if len(self._waiting) >= MIN_EARLY:
                self._start_next(asyncio.current_task())

        await self._database.transaction(write)


def _may_be_repeated(error: Exception) -> bool:
    """Whether the transaction is known to be aborted, by a reason that may lie in one batch."""
    if isinstance(error, OperationFailure):
        return not error.has_error_label("UnknownTransactionCommitResult")
    return isinstance(error, WriteConflict | BSONError)


def _answer(group: list[Waiting], error: Exception | None) -> None:
    for _, committed in group:
        if committed.done():
            continue
        if error is None:
            committed.set_result(None)
        else:
            committed.set_exception(error)
