"""Transactions, their retries, and an unreachable MongoDB."""

import asyncio
import time
from typing import Any

import pytest
from pymongo import MongoClient
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
from pymongo.monitoring import ConnectionCreatedEvent, ConnectionPoolListener, ConnectionReadyEvent

import core.retry
from core.errors import TryAgain, WriteConflict
from storage import database as module
from storage.database import Collection, CommandLatency, Database, NotAReplicaSet, Session
from storage.errors import StorageUnavailable, UserNotFound, storage_error
from tests.support.ports import free_port
from tests.support.storage import NAME


@pytest.fixture
def documents(database: Database) -> Collection:
    return database.collection("things")


def labelled(label: str) -> PyMongoError:
    error = PyMongoError("labelled")
    error._add_error_label(label)
    return error


TO_BE_REPEATED = OperationFailure("lost", 1, {"errorLabels": ["TransientTransactionError"]})


async def test_latency_is_measured_in_milliseconds(database: Database) -> None:
    started = time.perf_counter()
    taken = await database.latency_ms()
    assert taken is not None
    assert 0 < taken <= (time.perf_counter() - started) * 1000 + 0.01


class ConnectionsBeingOpened(ConnectionPoolListener):
    """Counts the connections that are not open yet; the other events are of no interest."""

    now = most = 0

    def connection_created(self, _event: ConnectionCreatedEvent) -> None:
        self.now += 1
        self.most = max(self.most, self.now)

    def connection_ready(self, _event: ConnectionReadyEvent) -> None:
        self.now -= 1

    def _ignored(self, event: object) -> None:
        pass

    pool_created = pool_ready = pool_cleared = pool_closed = connection_closed = _ignored
    connection_check_out_started = connection_check_out_failed = _ignored
    connection_checked_out = connection_checked_in = _ignored


async def test_a_burst_of_commands_opens_its_connections_at_the_same_time(mongo_uri: str) -> None:
    opening = ConnectionsBeingOpened()
    database = Database(mongo_uri, "burst", [opening])  # type: ignore[list-item]
    try:
        await asyncio.gather(*(database.latency_ms() for _ in range(20)))
        assert opening.most > 2  # PyMongo's default
        assert opening.now == 0
    finally:
        await database.close()


class HelloDatabase:
    """Answers the hello command with the given fields."""

    def __init__(self, **answer: str) -> None:
        self.answer = answer

    async def command(self, name: str) -> dict[str, str]:
        assert name == "hello"
        return self.answer


async def test_check_requires_a_replica_set_or_mongos(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.check()
    for hello in (HelloDatabase(setName="rs0"), HelloDatabase(msg="isdbgrid")):
        monkeypatch.setattr(database, "_db", hello)
        await database.check()
    monkeypatch.setattr(database, "_db", HelloDatabase())
    with pytest.raises(NotAReplicaSet) as error:
        await database.check()
    assert "replica set" in str(error.value)


async def test_transaction_commits_all_its_writes(
    database: Database, documents: Collection
) -> None:
    await documents.insert_one({"_id": 0})

    async def work(session: Session) -> str:
        await documents.insert_one({"_id": 1}, session=session)
        await documents.insert_one({"_id": 2}, session=session)
        return "answer"

    assert await database.transaction(work) == "answer"
    assert await documents.count_documents({}) == 3


@pytest.mark.parametrize("failure", [ValueError("ours"), UserNotFound(), asyncio.CancelledError()])
async def test_failed_transaction_leaves_no_writes_or_locks(
    database: Database, documents: Collection, failure: BaseException
) -> None:
    await documents.insert_one({"_id": 0})

    async def work(session: Session) -> None:
        await documents.insert_one({"_id": 1}, session=session)
        raise failure

    with pytest.raises(type(failure)):
        await database.transaction(work)
    assert await documents.count_documents({}) == 1
    await documents.update_one({"_id": 0}, {"$set": {"free": True}})


async def test_database_error_other_than_a_conflict_is_raised_unchanged(
    database: Database, documents: Collection
) -> None:
    await documents.insert_one({"_id": 0})

    async def work(session: Session) -> None:
        await documents.insert_one({"_id": 1}, session=session)
        await documents.insert_one({"_id": 0}, session=session)

    with pytest.raises(DuplicateKeyError):
        await database.transaction(work)
    assert await documents.count_documents({}) == 1


async def test_concurrent_transactions_on_the_same_document_conflict(
    database: Database, documents: Collection
) -> None:
    await documents.insert_one({"_id": 0, "n": 0})
    both_read = asyncio.Barrier(2)

    async def work(session: Session) -> None:
        row = await documents.find_one({"_id": 0}, session=session)
        assert row is not None
        await both_read.wait()
        await documents.update_one({"_id": 0}, {"$set": {"n": row["n"] + 1}}, session=session)

    results = await asyncio.gather(
        database.transaction(work), database.transaction(work), return_exceptions=True
    )
    assert sorted(map(repr, results)) == sorted([repr(None), repr(WriteConflict())])
    assert await documents.find_one({"_id": 0}) == {"_id": 0, "n": 1}


async def test_retried_transactions_apply_every_effect(
    database: Database, documents: Collection
) -> None:
    await documents.insert_one({"_id": 0, "n": 0})
    attempts = 0

    async def work(session: Session) -> None:
        nonlocal attempts
        attempts += 1
        row = await documents.find_one({"_id": 0}, session=session)
        assert row is not None
        await documents.update_one({"_id": 0}, {"$set": {"n": row["n"] + 1}}, session=session)
        await documents.insert_one({"n": row["n"]}, session=session)

    await asyncio.gather(*(database.transaction_with_retry(work) for _ in range(8)))
    assert await documents.find_one({"_id": 0}) == {"_id": 0, "n": 8}
    assert sorted(await documents.distinct("n", {"_id": {"$ne": 0}})) == list(range(8))
    assert attempts >= 8


async def test_retries_end_with_try_again_after_the_timeout(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core.retry, "CONFLICT_SECONDS", 0.05)
    attempts = 0

    async def work(session: Session) -> None:
        nonlocal attempts
        attempts += 1
        raise WriteConflict

    with pytest.raises(TryAgain):
        await database.transaction_with_retry(work)
    assert attempts > 1


async def test_transaction_that_mongodb_aborts_is_repeated(
    database: Database, documents: Collection
) -> None:
    attempts = 0

    async def work(session: Session) -> None:
        nonlocal attempts
        attempts += 1
        await documents.insert_one({"n": attempts}, session=session)
        if attempts == 1:
            await database.client.admin.command("killSessions", [session.session_id])
            await documents.insert_one({}, session=session)

    await database.transaction_with_retry(work)
    assert await documents.distinct("n") == [2]
    assert await documents.count_documents({}) == 1


async def test_documents_of_an_abandoned_transaction_are_free_after_the_limit(
    database: Database, documents: Collection, mongo: MongoClient[Any]
) -> None:
    """As after a kill within a transaction; the limit is 1 s here."""
    await documents.insert_one({"_id": 0, "n": 0})
    parameter = "transactionLifetimeLimitSeconds"
    was = mongo.admin.command("setParameter", 1, **{parameter: 1})["was"]
    try:
        async with database.client.start_session() as session:
            await session.start_transaction()
            await documents.update_one({"_id": 0}, {"$inc": {"n": 1}}, session=session)
            with pytest.raises(WriteConflict):
                await database.transaction(
                    lambda other: documents.update_one(
                        {"_id": 0}, {"$inc": {"n": 2}}, session=other
                    )
                )
            await documents.update_one({"_id": 0}, {"$inc": {"n": 4}})  # waits for the limit
    finally:
        mongo.admin.command("setParameter", 1, **{parameter: was})
    assert await documents.distinct("n") == [4]


class FailingCommits:
    """A session whose commits raise the given errors, one each, and then succeed."""

    def __init__(self, *failures: PyMongoError) -> None:
        self.failures = list(failures)
        self.attempts = 0

    async def commit_transaction(self) -> None:
        self.attempts += 1
        if self.failures:
            raise self.failures.pop(0)


async def test_commit_with_unknown_outcome_is_repeated() -> None:
    session = FailingCommits(*(labelled("UnknownTransactionCommitResult") for _ in range(2)))
    await module._commit(session)  # type: ignore[arg-type]
    assert session.attempts == 3


async def test_commit_with_unknown_outcome_is_given_up_at_the_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "OPERATION_MS", -1)
    session = FailingCommits(labelled("UnknownTransactionCommitResult"))
    with pytest.raises(PyMongoError, match="labelled"):
        await module._commit(session)  # type: ignore[arg-type]
    assert session.attempts == 1


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (TO_BE_REPEATED, WriteConflict),
        (OperationFailure("other", 1), OperationFailure),
        (labelled("TransientTransactionError"), PyMongoError),
    ],
)
async def test_conflict_on_commit_is_a_write_conflict(
    failure: PyMongoError, expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        await module._commit(FailingCommits(failure))  # type: ignore[arg-type]


# ---- unreachable


async def all_failures(database: Database) -> list[PyMongoError]:
    """The errors of a read, a write and a transaction."""
    documents = database.collection("things")
    failures = []
    for attempt in (
        documents.find_one({}),
        documents.insert_one({}),
        database.transaction_with_retry(lambda session: documents.insert_one({}, session=session)),
    ):
        with pytest.raises(PyMongoError) as failure:
            await attempt
        failures.append(failure.value)
    return failures


def assert_unavailable(failures: list[PyMongoError]) -> None:
    for failure in failures:
        storage_failure = storage_error(failure)
        assert isinstance(storage_failure, StorageUnavailable)
        assert storage_failure.code == "storage_away"


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OPERATION_MS", 300)
    monkeypatch.setattr(module, "PING_SECONDS", 0.1)


async def test_unreachable_mongodb_is_reported_in_time(short_timeouts: None) -> None:
    database = Database(f"mongodb://127.0.0.1:{free_port()}", "away")
    started = time.monotonic()
    failures = await all_failures(database)
    latency = await database.latency_ms()
    taken = time.monotonic() - started
    await database.close()
    assert_unavailable(failures)
    assert latency is None
    assert taken < 20, "PyMongo itself would wait for a server for 30 s each time"


class UnresponsiveDatabase:
    """A MongoDB that never answers.

    A silent socket would not do: pymongo leaks the one on which its monitor waits for hello.
    """

    async def command(self, _name: str) -> None:
        await asyncio.Event().wait()


async def test_unresponsive_mongodb_has_no_latency(
    database: Database, short_timeouts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_db", UnresponsiveDatabase())
    assert await database.latency_ms() is None


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


async def test_a_closed_database_is_unavailable(mongo_uri: str) -> None:
    """A request may outlast the drain, and is answered like others that are refused."""
    database = Database(mongo_uri, NAME)
    await database.collection("things").find_one({})
    await database.close()

    async def work(session: Session) -> None:
        await database.collection("things").insert_one({}, session=session)

    for attempt in (database.collection("things").find_one({}), database.transaction(work)):
        with pytest.raises(PyMongoError) as error:
            await attempt
        assert isinstance(storage_error(error.value), StorageUnavailable)


async def test_every_command_is_reported_with_outcome_and_seconds(mongo_uri: str) -> None:
    reports: list[tuple[str, str, float]] = []
    database = Database(mongo_uri, NAME, [CommandLatency(lambda *it: reports.append(it))])
    await database.collection("things").find_one({})
    with pytest.raises(OperationFailure):
        await database.collection("things").find_one({"$nonsense": 1})
    await database.close()
    finds = [(name, outcome) for name, outcome, _ in reports if name == "find"]
    assert finds == [("find", "ok"), ("find", "failed")]
    assert all(0 < seconds < 30 for _, _, seconds in reports)
