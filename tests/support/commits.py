"""A commit of a GroupCommit that is in flight for as long as a test needs it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from storage import write_batch
from storage.database import Database
from storage.write_batch import GroupCommit, WriteBatch

NAME = "plain"


@asynccontextmanager
async def commit_in_flight(
    commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """Inserts the rows 1 and -1, in a transaction that does not end before the block."""
    monkeypatch.setattr(write_batch, "STALLED_SECONDS", 3600)
    started, over = asyncio.Event(), asyncio.Event()
    transaction = Database.transaction

    async def wait(self: Database, work: Any) -> None:
        started.set()
        await over.wait()
        await transaction(self, work)

    batch = WriteBatch()
    batch.insert(NAME, {"_id": 1}, {"_id": -1})
    with monkeypatch.context() as patch:
        patch.setattr(Database, "transaction", wait)
        first = asyncio.ensure_future(commits.commit(batch))
        await started.wait()
    yield
    over.set()
    await first
