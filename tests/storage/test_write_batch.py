"""Writes of one atomic change, and commits of several in one transaction, on a real MongoDB."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import bson
import pytest
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from core.errors import WriteConflict
from rooms.events import LOG_SIZE
from storage import write_batch
from storage.database import Database, Session
from storage.rooms.rooms import add_room_writes
from storage.write_batch import MAX_FIELDS, MIN_EARLY, GroupCommit, WriteBatch
from tests.support.room_builders import ANNA, BERT, live_room
from tests.support.storage import StoresFixture

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


UNKNOWN_RESULT = OperationFailure(
    "no majority in time", 64, {"errorLabels": ["UnknownTransactionCommitResult"]}
)


class CommitFixture:
    """Commits of rows with these numbers; `commit_in_flight` has the row 1."""

    def __init__(self, stores: StoresFixture) -> None:
        self.stores = stores
        self.commits = GroupCommit(stores.database)
        self.rows = stores.rows(NAME)

    def commit(self, *numbers: int, guard: int | None = None) -> "asyncio.Task[None]":
        """Insert two rows for each number; `guard` is a row that must exist."""
        batch = WriteBatch()
        batch.insert(NAME, *({"_id": n} for n in numbers), *({"_id": -n} for n in numbers))
        if guard is not None:
            batch.update(NAME, {"_id": guard}, {"$set": {"seen": True}})
        return self.commit_batch(batch)

    def commit_batch(self, batch: WriteBatch) -> "asyncio.Task[None]":
        return asyncio.ensure_future(self.commits.commit(batch))

    async def ids(self) -> list[int]:
        return sorted([row["_id"] async for row in self.rows.find({"_id": {"$gt": 0}})])


@pytest.fixture
def fixture(stores: StoresFixture) -> CommitFixture:
    return CommitFixture(stores)


# ---- one batch


async def test_all_writes_to_a_collection_take_one_command_of_each_kind(
    fixture: CommitFixture, commands: list[str]
) -> None:
    await fixture.rows.insert_many([{"_id": 1}, {"_id": 2}, {"_id": 3}])
    batch, more = WriteBatch(), WriteBatch()
    batch.insert(NAME, {"_id": 4}, {"_id": 5})
    batch.update(NAME, {"_id": 1}, {"$set": {"n": 1}})
    batch.replace(NAME, {"_id": 2}, {"n": 2})
    batch.delete(NAME, {"_id": 3})
    more.upsert(NAME, {"_id": 6}, {"$inc": {"n": 6}})
    more.update_if_present(NAME, {"_id": 7}, {"$inc": {"n": 7}})
    joined = WriteBatch.joined([batch, more])
    assert (len(batch), len(more), len(joined)) == (5, 2, 7)
    commands.clear()
    await fixture.commits.commit(joined)
    assert sorted(commands) == ["commitTransaction", "delete", "insert", "update", "update"]
    assert await fixture.rows.find().sort("_id", 1).to_list() == [
        {"_id": 1, "n": 1},
        {"_id": 2, "n": 2},
        {"_id": 4},
        {"_id": 5},
        {"_id": 6, "n": 6},
    ]


@pytest.mark.parametrize(
    "add_guarded",
    [
        lambda batch: batch.insert(NAME, {"_id": 1}),
        lambda batch: batch.update(NAME, {"_id": 1, "v": 0}, {"$set": {"v": 2}}),
        lambda batch: batch.replace(NAME, {"_id": 1, "v": 0}, {"v": 2}),
        lambda batch: batch.delete(NAME, {"_id": 1, "v": 0}),
    ],
    ids=["insert", "update", "replace", "delete"],
)
async def test_write_whose_guard_fails_undoes_the_others(
    fixture: CommitFixture, add_guarded: Callable[[WriteBatch], None]
) -> None:
    await fixture.rows.insert_one({"_id": 1, "v": 1})
    alone, batch = WriteBatch(), WriteBatch()
    batch.insert(NAME, {"_id": 2})
    batch.upsert(NAME, {"_id": 3}, {"$inc": {"gold": 1}})
    for attempt in (alone, batch):
        add_guarded(attempt)
        with pytest.raises(WriteConflict):
            await fixture.commits.commit(attempt)
        assert await fixture.rows.find().to_list() == [{"_id": 1, "v": 1}]


# ---- several batches


async def test_commits_behind_one_in_flight_share_a_transaction_with_those_of_cancelled_callers(
    fixture: CommitFixture, monkeypatch: pytest.MonkeyPatch, commands: list[str]
) -> None:
    commands.clear()
    async with commit_in_flight(fixture.commits, monkeypatch):
        tasks = [fixture.commit(n) for n in range(2, 12)]
        await asyncio.sleep(0)
        tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert commands.count("commitTransaction") == 2
    assert await fixture.ids() == [*range(1, 12)]


@pytest.mark.parametrize("early", [True, False], ids=["many", "few"])
async def test_many_commits_begin_while_those_before_are_committed(
    fixture: CommitFixture, monkeypatch: pytest.MonkeyPatch, commands: list[str], early: bool
) -> None:
    commit, committing, over = Session.commit_transaction, asyncio.Event(), asyncio.Event()

    async def hold_the_first(session: Any) -> None:
        if not committing.is_set():
            committing.set()
            await over.wait()
        await commit(session)

    monkeypatch.setattr(write_batch, "STALLED_SECONDS", 3600)
    monkeypatch.setattr(Session, "commit_transaction", hold_the_first)
    await fixture.rows.insert_one({"_id": 0})  # the collection exists
    commands.clear()
    first = fixture.commit(1)
    others = [fixture.commit(2 + n) for n in range(MIN_EARLY - (not early))]
    await committing.wait()
    if early:
        await asyncio.gather(*others)
        assert not first.done()
    over.set()
    await asyncio.gather(first, *others)
    in_turn = ["insert", "commitTransaction"] * 2
    assert commands == (["insert"] * 2 + ["commitTransaction"] * 2 if early else in_turn)


async def test_write_that_waits_for_a_document_holds_up_no_other(fixture: CommitFixture) -> None:
    await fixture.rows.insert_one({"_id": 7})
    batch, locked = WriteBatch(), asyncio.Event()
    batch.update(NAME, {"_id": 7}, {"$set": {"seen": True}})
    other: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def lock(session: Any) -> None:
        await fixture.rows.update_one({"_id": 7}, {"$set": {"locked": True}}, session=session)
        locked.set()
        await other

    holder = asyncio.ensure_future(fixture.stores.database.transaction(lock))
    await locked.wait()
    waiting = fixture.commit_batch(batch)
    await fixture.commit(1)
    assert not waiting.done()
    other.set_result(None)
    await asyncio.gather(holder, waiting)
    assert (await fixture.rows.find_one({"_id": 7})) == {"_id": 7, "locked": True, "seen": True}


@pytest.mark.parametrize(("limit", "value"), [("MAX_WRITES", 4), ("MAX_FIELDS", 6)])
async def test_a_transaction_has_a_limited_number_of_writes_and_of_updated_fields(
    fixture: CommitFixture,
    monkeypatch: pytest.MonkeyPatch,
    commands: list[str],
    limit: str,
    value: int,
) -> None:
    monkeypatch.setattr(write_batch, limit, value)
    await fixture.rows.insert_many([{"_id": n} for n in range(2, 6)])
    commands.clear()
    async with commit_in_flight(fixture.commits, monkeypatch):
        tasks: list[asyncio.Task[None]] = []
        for n in range(2, 6):
            batch = WriteBatch()
            batch.insert(NAME, {"_id": 10 + n})
            batch.update(NAME, {"_id": n}, {"$set": {"a": n, "b": n}, "$unset": {"c": ""}})
            tasks.append(fixture.commit_batch(batch))
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert commands.count("commitTransaction") == 3, "the first, and two with two commits each"


def test_a_transaction_with_the_largest_updates_stays_below_48_mb() -> None:
    """MongoDB closes the connection at more than that, which all of the group would lose."""
    long = "\U0001f339" * 512
    anna, bert = (replace(person, nickname=long[:50], face_url=long) for person in (ANNA, BERT))
    gift: Any = {"id": 1, "name": long[:60], "image": long, "effect": long}
    faces: Any = {"from": anna.public_profile(), "to": bert.public_profile()}
    room = live_room()
    for _ in range(LOG_SIZE):
        room.add_gift({**faces, "gift": gift, "num": 1, "gold": 10, "request_id": long[:64]}, 5)
    batch = WriteBatch()
    add_room_writes(room, room.numbered(0), batch)
    [[update]] = batch.writes.values()
    size = len(bson.encode(update))
    assert size / batch.fields < 10_000
    assert MAX_FIELDS * 10_000 + size < 48_000_000


# ---- failures of one of several


@pytest.mark.parametrize("failing", [0, 2])
async def test_a_conflict_or_refused_write_fails_only_its_own_commit(
    fixture: CommitFixture, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    wrong = WriteBatch()
    wrong.upsert(NAME, {"_id": 8}, {"$inc": {"n": "text"}})
    wrong.insert(NAME, {"_id": 9})
    async with commit_in_flight(fixture.commits, monkeypatch):
        tasks = [fixture.commit(2 + n, guard=99 if n == failing else None) for n in range(3)]
        tasks.append(fixture.commit_batch(wrong))
        await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    expected = [WriteConflict if n == failing else type(None) for n in range(3)]
    assert [type(result) for result in results[:3]] == expected
    assert isinstance(results[3], OperationFailure)
    assert await fixture.ids() == sorted({1, 2, 3, 4} - {2 + failing})


@pytest.mark.parametrize("error", [AutoReconnect("gone"), UNKNOWN_RESULT], ids=["gone", "unknown"])
async def test_an_outage_fails_every_commit_without_a_retry(
    fixture: CommitFixture, monkeypatch: pytest.MonkeyPatch, error: PyMongoError
) -> None:
    """Each may have been committed: only its caller can tell by reading."""
    tries = []

    async def fail(_self: Database, _work: Any) -> None:
        tries.append(1)
        raise error

    async with commit_in_flight(fixture.commits, monkeypatch):
        monkeypatch.setattr(Database, "transaction", fail)
        tasks = [fixture.commit(2), fixture.commit(3)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*tasks, return_exceptions=True) == [error] * 2
    assert len(tries) == 1
