"""The connection: transactions that are won, lost and tried again, and a MongoDB that is away."""

import asyncio
import socket
import time

import pytest
from pymongo.errors import (
    AutoReconnect,
    DuplicateKeyError,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WTimeoutError,
)

from rooms.keeper import Raced
from rooms.refusals import NoSuchUser, StorageAway, TryAgain
from storage import database as module
from storage.database import Collection, Database, NotAReplicaSet, Session, as_refusal

gen_test = pytest.mark.gen_test(timeout=60)


@pytest.fixture
def things(database: Database) -> Collection:
    return database.collection("things")


def labelled(label: str) -> PyMongoError:
    error = PyMongoError("labelled")
    error._add_error_label(label)
    return error


@gen_test
async def test_the_way_there_and_back_is_measured_in_milliseconds(database: Database) -> None:
    started = time.perf_counter()
    taken = await database.latency_ms()
    assert taken is not None
    assert 0 < taken <= (time.perf_counter() - started) * 1000 + 0.01


class Hello:
    """A MongoDB that says who it is."""

    def __init__(self, **answer: str) -> None:
        self.answer = answer

    async def command(self, name: str) -> dict[str, str]:
        assert name == "hello"
        return self.answer


@gen_test
async def test_a_single_mongodb_has_no_transactions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.check()
    for hello in (Hello(setName="rs0"), Hello(msg="isdbgrid")):
        monkeypatch.setattr(database, "_db", hello)
        await database.check()
    monkeypatch.setattr(database, "_db", Hello())
    with pytest.raises(NotAReplicaSet) as said:
        await database.check()
    assert "replica set" in str(said.value)


@gen_test
async def test_a_transaction_is_there_as_a_whole(database: Database, things: Collection) -> None:
    await things.insert_one({"_id": 0})

    async def work(session: Session) -> str:
        await things.insert_one({"_id": 1}, session=session)
        await things.insert_one({"_id": 2}, session=session)
        return "answer"

    assert await database.transaction(work) == "answer"
    assert await things.count_documents({}) == 3


@pytest.mark.parametrize("failure", [ValueError("ours"), NoSuchUser(), asyncio.CancelledError()])
@gen_test
async def test_nothing_of_a_transaction_that_failed_stays(
    database: Database, things: Collection, failure: BaseException
) -> None:
    await things.insert_one({"_id": 0})

    async def work(session: Session) -> None:
        await things.insert_one({"_id": 1}, session=session)
        raise failure

    with pytest.raises(type(failure)):
        await database.transaction(work)
    assert await things.count_documents({}) == 1
    await things.update_one({"_id": 0}, {"$set": {"free": True}})


@gen_test
async def test_an_error_of_the_database_that_is_no_race_stays_what_it_is(
    database: Database, things: Collection
) -> None:
    await things.insert_one({"_id": 0})

    async def work(session: Session) -> None:
        await things.insert_one({"_id": 1}, session=session)
        await things.insert_one({"_id": 0}, session=session)

    with pytest.raises(DuplicateKeyError):
        await database.transaction(work)
    assert await things.count_documents({}) == 1


@gen_test
async def test_whoever_writes_what_another_transaction_has_written_has_lost_the_race(
    database: Database, things: Collection
) -> None:
    await things.insert_one({"_id": 0, "n": 0})
    both_read = asyncio.Barrier(2)

    async def work(session: Session) -> None:
        row = await things.find_one({"_id": 0}, session=session)
        assert row is not None
        await both_read.wait()
        await things.update_one({"_id": 0}, {"$set": {"n": row["n"] + 1}}, session=session)

    done = await asyncio.gather(
        database.transaction(work), database.transaction(work), return_exceptions=True
    )
    assert sorted(map(repr, done)) == sorted([repr(None), repr(Raced())])
    assert await things.find_one({"_id": 0}) == {"_id": 0, "n": 1}


@gen_test
async def test_until_won_every_effect_is_there(database: Database, things: Collection) -> None:
    await things.insert_one({"_id": 0, "n": 0})
    tries = 0

    async def work(session: Session) -> None:
        nonlocal tries
        tries += 1
        row = await things.find_one({"_id": 0}, session=session)
        assert row is not None
        await things.update_one({"_id": 0}, {"$set": {"n": row["n"] + 1}}, session=session)
        await things.insert_one({"n": row["n"]}, session=session)

    await asyncio.gather(*(database.until_won(work) for _ in range(8)))
    assert await things.find_one({"_id": 0}) == {"_id": 0, "n": 8}
    assert sorted(await things.distinct("n", {"_id": {"$ne": 0}})) == list(range(8))
    assert tries >= 8


@gen_test
async def test_whoever_loses_for_too_long_is_asked_to_try_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
    tries = 0

    async def work(session: Session) -> None:
        nonlocal tries
        tries += 1
        raise Raced

    with pytest.raises(TryAgain):
        await database.until_won(work)
    assert tries > 1


class Commits:
    """A session whose commits fail in turn."""

    def __init__(self, *failures: PyMongoError) -> None:
        self.failures = list(failures)
        self.tries = 0

    async def commit_transaction(self) -> None:
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)


@gen_test
async def test_a_commit_whose_outcome_is_unknown_is_repeated() -> None:
    session = Commits(*(labelled("UnknownTransactionCommitResult") for _ in range(2)))
    await module._commit(session)  # type: ignore[arg-type]
    assert session.tries == 3


@gen_test
async def test_a_commit_whose_outcome_stays_unknown_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "OPERATION_MS", -1)
    session = Commits(labelled("UnknownTransactionCommitResult"))
    with pytest.raises(PyMongoError, match="labelled"):
        await module._commit(session)  # type: ignore[arg-type]
    assert session.tries == 1


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (OperationFailure("conflict", 112), Raced),
        (OperationFailure("too old", 246), Raced),
        (OperationFailure("other", 1), OperationFailure),
    ],
)
@gen_test
async def test_a_commit_can_lose_the_race(failure: PyMongoError, why: type[Exception]) -> None:
    with pytest.raises(why):
        await module._commit(Commits(failure))  # type: ignore[arg-type]


# ---- away


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def all_failures(database: Database) -> list[PyMongoError]:
    """Of a read, a write and a transaction."""
    things = database.collection("things")
    failures = []
    for attempt in (
        things.find_one({}),
        things.insert_one({}),
        database.until_won(lambda session: things.insert_one({}, session=session)),
    ):
        with pytest.raises(PyMongoError) as failure:
            await attempt
        failures.append(failure.value)
    return failures


def assert_away(failures: list[PyMongoError]) -> None:
    for failure in failures:
        refusal = as_refusal(failure)
        assert isinstance(refusal, StorageAway)
        assert (refusal.status, refusal.code) == (503, "storage_away")


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OPERATION_MS", 300)
    monkeypatch.setattr(module, "PING_SECONDS", 0.1)


@gen_test
async def test_a_mongodb_that_is_away_is_said_so_in_time(soon: None) -> None:
    database = Database(f"mongodb://127.0.0.1:{closed_port()}", "away")
    started = time.monotonic()
    failures = await all_failures(database)
    latency = await database.latency_ms()
    taken = time.monotonic() - started
    await database.close()
    assert_away(failures)
    assert latency is None
    assert taken < 4


class Silent:
    """A MongoDB that accepts and never answers.

    Not a socket that says nothing: pymongo leaks the one on which its monitor was greeting.
    """

    async def command(self, _name: str) -> None:
        await asyncio.Event().wait()


@gen_test
async def test_a_mongodb_that_says_nothing_has_no_latency(
    database: Database, soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_db", Silent())
    assert await database.latency_ms() is None


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (ServerSelectionTimeoutError("x"), StorageAway),
        (AutoReconnect("x"), StorageAway),
        (NetworkTimeout("x"), StorageAway),
        (ExecutionTimeout("x", 50), StorageAway),
        (WTimeoutError("x"), StorageAway),
        (labelled("RetryableWriteError"), StorageAway),
        (labelled("TransientTransactionError"), TryAgain),
        (OperationFailure("a mistake of ours", 9), type(None)),
        (DuplicateKeyError("x"), type(None)),
        (ValueError("x"), type(None)),
    ],
)
def test_what_a_failure_means_to_the_caller(error: Exception, refusal: type) -> None:
    assert type(as_refusal(error)) is refusal
