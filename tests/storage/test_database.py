"""Transactions, their retries, and an unreachable MongoDB."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from unittest.mock import AsyncMock

import pytest
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    AutoReconnect,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidOperation,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WTimeoutError,
)

import core.retry
from core.errors import StartupError, TryAgain, WriteConflict
from storage import database as module
from storage.database import Collection, CommandLatency, Database, Session
from storage.errors import StorageUnavailable, storage_error
from tests.support.ports import free_port
from tests.support.storage import NAME


@pytest.fixture
def documents(database: Database) -> Collection:
    return database.collection("things")


def labelled(label: str) -> PyMongoError:
    return PyMongoError("labelled", [label])


async def no_work(_session: Session) -> None:
    """The transaction is empty."""


TO_BE_REPEATED = OperationFailure("lost", 1, {"errorLabels": ["TransientTransactionError"]})
UNKNOWN = labelled("UnknownTransactionCommitResult")


def answering(**answer: str) -> Callable[..., Awaitable[dict[str, str]]]:
    """Answers commands with the given fields."""

    async def command(_database: object, _name: str) -> dict[str, str]:
        return answer

    return command


async def test_check_requires_a_replica_set_or_mongos(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.check()
    monkeypatch.setattr(AsyncDatabase, "command", answering(msg="isdbgrid"))
    await database.check()
    monkeypatch.setattr(AsyncDatabase, "command", answering())
    with pytest.raises(StartupError, match="replica set"):
        await database.check()


# ---- transactions


@pytest.mark.parametrize("failure", [ValueError(), asyncio.CancelledError(), DuplicateKeyError("")])
async def test_failed_transaction_leaves_no_writes_or_locks(
    database: Database, documents: Collection, failure: BaseException
) -> None:
    await documents.insert_one({"_id": 0})

    async def work(session: Session) -> None:
        await documents.update_one({"_id": 0}, {"$set": {"n": 1}}, session=session)
        raise failure

    with pytest.raises(type(failure)):
        await database.transaction(work)
    assert await documents.find().to_list() == [{"_id": 0}]
    await documents.update_one({"_id": 0}, {"$set": {"free": True}})


async def test_retried_transactions_apply_every_effect_or_end_with_try_again(
    database: Database, documents: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await documents.insert_one({"_id": 0, "n": 0})

    async def work(session: Session) -> None:
        row = await documents.find_one({"_id": 0}, session=session)
        assert row is not None
        await documents.update_one({"_id": 0}, {"$set": {"n": row["n"] + 1}}, session=session)
        await documents.insert_one({"n": row["n"]}, session=session)

    await asyncio.gather(*(database.transaction_with_retry(work) for _ in range(5)))
    assert await documents.find_one({"_id": 0}) == {"_id": 0, "n": 5}
    assert sorted(await documents.distinct("n", {"_id": {"$ne": 0}})) == list(range(5))

    async def lose(_session: Session) -> None:
        raise WriteConflict

    monkeypatch.setattr(core.retry, "CONFLICT_SECONDS", 0.3)
    before = database.conflict_retries
    with pytest.raises(TryAgain):
        await database.transaction_with_retry(lose)
    assert database.conflict_retries > before + 1


async def test_aborted_transaction_is_repeated(database: Database, documents: Collection) -> None:
    attempts = 0

    async def work(session: Session) -> None:
        nonlocal attempts
        attempts += 1
        await documents.insert_one({"n": attempts}, session=session)
        if attempts == 1:
            await database.client.admin.command("killSessions", [session.session_id])
            await documents.insert_one({}, session=session)

    await database.transaction_with_retry(work)
    assert [row["n"] for row in await documents.find().to_list()] == [2]


@pytest.mark.parametrize(
    ("failures", "raised"),
    [
        ([TO_BE_REPEATED], WriteConflict),
        ([OperationFailure("other", 1)], OperationFailure),
        ([UNKNOWN, UNKNOWN, labelled("TransientTransactionError")], PyMongoError),
    ],
)
async def test_failed_commit_is_a_conflict_or_repeated_while_its_outcome_is_unknown(
    database: Database,
    failures: list[PyMongoError],
    raised: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commit = AsyncMock(side_effect=failures)
    monkeypatch.setattr(Session, "commit_transaction", commit)
    with pytest.raises(raised):
        await database.transaction(no_work)
    assert commit.await_count == len(failures)
    monkeypatch.setattr(module, "OPERATION_MS", -1)
    monkeypatch.setattr(Session, "commit_transaction", AsyncMock(side_effect=UNKNOWN))
    with pytest.raises(PyMongoError, match="labelled"):
        await database.transaction(no_work)


# ---- unreachable


async def fail_with_storage_unavailable(database: Database) -> None:
    """A read, a write and a transaction do."""
    documents = database.collection("things")
    for attempt in (
        documents.find_one({}),
        documents.insert_one({}),
        database.transaction_with_retry(lambda session: documents.insert_one({}, session=session)),
    ):
        with pytest.raises(PyMongoError) as failure:
            await attempt
        error = storage_error(failure.value)
        assert isinstance(error, StorageUnavailable)
        assert error.code == "storage_away"


async def test_unreachable_mongodb_is_reported_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """tests/runtime/test_outage.py has one that is suspended."""
    monkeypatch.setattr(module, "OPERATION_MS", 300)
    monkeypatch.setattr(module, "PING_SECONDS", 0.1)
    away = Database(f"mongodb://127.0.0.1:{free_port()}", "away")
    started = time.monotonic()
    await fail_with_storage_unavailable(away)
    assert await away.latency_ms() is None
    await away.close()
    assert time.monotonic() - started < 20, "PyMongo itself would wait for a server for 30 s"


async def test_a_closed_database_is_unavailable(mongo_uri: str) -> None:
    """A request may outlast the drain, and is answered like others that are refused."""
    database = Database(mongo_uri, NAME)
    await database.collection("things").find_one({})
    await database.close()
    await fail_with_storage_unavailable(database)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ServerSelectionTimeoutError("x"), StorageUnavailable),
        (AutoReconnect("x"), StorageUnavailable),
        (NetworkTimeout("x"), StorageUnavailable),
        (ExecutionTimeout("x", 50), StorageUnavailable),
        (WTimeoutError("x"), StorageUnavailable),
        (labelled("RetryableWriteError"), StorageUnavailable),
        (OperationFailure("bad query", 9), type(None)),
        (InvalidOperation("ended session"), type(None)),
        (DuplicateKeyError("x"), type(None)),
        (ValueError("x"), type(None)),
    ],
)
def test_driver_errors_map_to_storage_errors(error: Exception, expected: type) -> None:
    assert type(storage_error(error)) is expected


async def test_every_command_is_reported_with_outcome_and_seconds(mongo_uri: str) -> None:
    reports: list[tuple[str, str, float]] = []
    database = Database(mongo_uri, NAME, [CommandLatency(lambda *report: reports.append(report))])
    await database.collection("things").find_one({})
    with pytest.raises(OperationFailure):
        await database.collection("things").find_one({"$nonsense": 1})
    await database.close()
    finds = [(name, outcome) for name, outcome, _ in reports if name == "find"]
    assert finds == [("find", "ok"), ("find", "failed")]
    assert all(0 < seconds < 30 for _, _, seconds in reports)
