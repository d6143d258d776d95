"""Commits of several rooms in one transaction, on a real MongoDB."""

import asyncio
from dataclasses import replace
from typing import Any

import bson
import pytest
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from core.errors import WriteConflict
from rooms.events import LOG_SIZE
from storage import database, write_batch
from storage.database import Database
from storage.rooms.rooms import _changes
from storage.write_batch import MAX_ALONE, MAX_FIELDS, MIN_EARLY, GroupCommit, WriteBatch
from tests.support.commits import NAME, commit_in_flight
from tests.support.room_builders import ANNA, BERT, live_room
from tests.support.storage import StoresFixture

UNKNOWN_RESULT = OperationFailure(
    "no majority in time", 64, {"errorLabels": ["UnknownTransactionCommitResult"]}
)


class CommitFixture:
    """Commits of rows with these numbers; `commit_in_flight` has the row 1."""

    def __init__(self, stores: StoresFixture) -> None:
        self.stores = stores
        self.commits = GroupCommit(stores.database)
        self.rows = stores.database.collection(NAME)

    def commit(self, *numbers: int, guard: int | None = None) -> "asyncio.Task[None]":
        """Insert two rows for each number; `guard` is a row that must exist."""
        batch = WriteBatch()
        batch.insert(NAME, *({"_id": n} for n in numbers), *({"_id": -n} for n in numbers))
        if guard is not None:
            batch.update(NAME, {"_id": guard}, {"$set": {"seen": True}})
        return asyncio.ensure_future(self.commits.commit(batch))

    async def ids(self) -> list[int]:
        return [row["_id"] for row in await self.rows.find({"_id": {"$gt": 0}}).to_list()]


async def test_commits_behind_one_in_flight_share_a_transaction(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch, commands: list[str]
) -> None:
    fixture = CommitFixture(stores)
    commands.clear()
    async with commit_in_flight(fixture.commits, monkeypatch):
        tasks = [fixture.commit(n) for n in range(2, 34)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert commands.count("commitTransaction") == 2
    assert sorted(await fixture.ids()) == [*range(1, 34)]


@pytest.mark.parametrize("early", [True, False], ids=["many", "few"])
async def test_many_commits_begin_while_those_before_are_committed(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch, commands: list[str], early: bool
) -> None:
    fixture, commit = CommitFixture(stores), database._commit
    committing, over = asyncio.Event(), asyncio.Event()

    async def hold_the_first(session: Any) -> None:
        if not committing.is_set():
            committing.set()
            await over.wait()
        await commit(session)

    monkeypatch.setattr(write_batch, "STALLED_SECONDS", 3600)
    monkeypatch.setattr(database, "_commit", hold_the_first)
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


@pytest.mark.parametrize("conflicting", [0, 1, 2])
async def test_a_conflict_fails_only_its_own_commit(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch, conflicting: int
) -> None:
    fixture = CommitFixture(stores)
    async with commit_in_flight(fixture.commits, monkeypatch):
        tasks = [fixture.commit(2 + n, guard=99 if n == conflicting else None) for n in range(3)]
        await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    expected = [WriteConflict if n == conflicting else type(None) for n in range(3)]
    assert [type(result) for result in results] == expected
    assert sorted(await fixture.ids()) == sorted({1, 2, 3, 4} - {2 + conflicting})


async def test_a_write_that_the_database_refuses_fails_only_its_own_commit(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixture, wrong = CommitFixture(stores), WriteBatch()
    wrong.upsert(NAME, {"_id": 5}, {"$inc": {"n": "text"}})
    wrong.insert(NAME, {"_id": 6})
    async with commit_in_flight(fixture.commits, monkeypatch):
        tasks = [fixture.commit(2), asyncio.ensure_future(fixture.commits.commit(wrong))]
        await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[0] is None
    assert isinstance(results[1], OperationFailure)
    assert sorted(await fixture.ids()) == [1, 2]


@pytest.mark.parametrize("error", [AutoReconnect("gone"), UNKNOWN_RESULT], ids=["gone", "unknown"])
async def test_an_outage_fails_every_commit_without_a_retry(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch, error: PyMongoError
) -> None:
    """Each may have been committed: only its caller can tell by reading."""
    fixture, tries = CommitFixture(stores), []

    async def fail(_self: Database, _work: Any) -> None:
        tries.append(1)
        raise error

    async with commit_in_flight(fixture.commits, monkeypatch):
        monkeypatch.setattr(Database, "transaction", fail)
        tasks = [fixture.commit(2), fixture.commit(3)]
        await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results == [error] * 2
    assert len(tries) == 1


async def test_a_lone_single_write_needs_no_transaction(
    stores: StoresFixture, commands: list[str]
) -> None:
    batch = WriteBatch()
    batch.insert(NAME, {"_id": 1})
    commands.clear()
    await GroupCommit(stores.database).commit(batch)
    assert commands == ["insert"]


async def test_a_transaction_has_a_limited_number_of_writes(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch, commands: list[str]
) -> None:
    monkeypatch.setattr(write_batch, "MAX_WRITES", 4)
    fixture = CommitFixture(stores)
    commands.clear()
    async with commit_in_flight(fixture.commits, monkeypatch):
        tasks = [fixture.commit(n) for n in range(2, 6)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert commands.count("commitTransaction") == 3, "the first, and two with two commits each"


async def test_a_transaction_updates_a_limited_number_of_fields(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch, commands: list[str]
) -> None:
    monkeypatch.setattr(write_batch, "MAX_FIELDS", 6)
    fixture = CommitFixture(stores)
    await fixture.rows.insert_many([{"_id": n} for n in range(2, 6)])
    tasks: list[asyncio.Task[None]] = []
    commands.clear()
    async with commit_in_flight(fixture.commits, monkeypatch):
        for n in range(2, 6):
            batch = WriteBatch()
            batch.update(NAME, {"_id": n}, {"$set": {"a": n, "b": n}, "$unset": {"c": ""}})
            tasks.append(asyncio.ensure_future(fixture.commits.commit(batch)))
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert commands.count("commitTransaction") == 3, "the first, and two with two commits each"


def test_a_transaction_with_the_largest_updates_stays_below_48_mb() -> None:
    """MongoDB closes the connection at more than that, which all of the group would lose."""
    long = "\U0001f339" * 512
    anna, bert = (replace(it, nickname=long[:50], face_url=long) for it in (ANNA, BERT))
    gift: Any = {"id": 1, "name": long[:60], "image": long, "effect": long}
    faces: Any = {"from": anna.face(), "to": bert.face()}
    room = live_room()
    for _ in range(LOG_SIZE):
        room.add_gift({**faces, "gift": gift, "num": 1, "gold": 10, "request_id": long[:64]})
    update = _changes(room, room.numbered(0))
    size, fields = len(bson.encode(update)), sum(map(len, update.values()))
    assert size / fields < 10_000
    assert MAX_FIELDS * 10_000 + size < 48_000_000


async def test_few_commits_of_a_group_that_failed_run_at_once(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixture, transaction = CommitFixture(stores), Database.transaction
    running: set[int] = set()
    at_once: list[int] = []

    async def count(self: Database, work: Any) -> None:
        number = len(at_once)
        running.add(number)
        at_once.append(len(running))
        try:
            await transaction(self, work)
        finally:
            running.discard(number)

    async with commit_in_flight(fixture.commits, monkeypatch):
        monkeypatch.setattr(Database, "transaction", count)
        tasks = [fixture.commit(2 + n, guard=99 if n == 3 else None) for n in range(40)]
        await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [n for n, result in enumerate(results) if result is not None] == [3]
    assert sorted(await fixture.ids()) == sorted({*range(1, 42)} - {5})
    assert len(at_once) == 1 + len(tasks)
    assert max(at_once) == MAX_ALONE


async def test_a_cancelled_caller_affects_no_other(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixture = CommitFixture(stores)
    async with commit_in_flight(fixture.commits, monkeypatch):
        tasks = [fixture.commit(2), fixture.commit(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted(await fixture.ids()) == [1, 2, 3]


async def test_write_that_waits_for_a_locked_document_holds_up_no_other(
    stores: StoresFixture,
) -> None:
    fixture = CommitFixture(stores)
    await fixture.rows.insert_one({"_id": 7})
    commit = WriteBatch()
    commit.update(NAME, {"_id": 7}, {"$set": {"seen": True}})
    locked = asyncio.Event()

    async def lock(session: Any) -> None:
        await fixture.rows.update_one({"_id": 7}, {"$set": {"locked": True}}, session=session)
        locked.set()
        await other

    holder = asyncio.ensure_future(stores.database.transaction(lock))
    other: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    await locked.wait()
    waiting = asyncio.ensure_future(fixture.commits.commit(commit))
    await fixture.commit(1)
    assert not waiting.done()
    other.set_result(None)
    await asyncio.gather(holder, waiting)
    assert (await fixture.rows.find_one({"_id": 7})) == {"_id": 7, "locked": True, "seen": True}
