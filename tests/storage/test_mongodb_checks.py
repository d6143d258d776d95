"""What a start warns of, on a real MongoDB."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymongo import MongoClient
from structlog.testing import capture_logs

from storage import replica_set
from storage.database import Database
from storage.replica_set import warn_of_mongodb_risks


async def warnings(database: Database, *, production: bool = False) -> dict[str, dict[str, Any]]:
    with capture_logs() as logs:
        await warn_of_mongodb_risks(database, production=production)
    return {line["event"]: line for line in logs}


@contextmanager
def parameters(mongo: MongoClient[Any], **values: Any) -> Iterator[None]:
    """Sets parameters of the tests' mongod while the block runs."""
    before = {name: mongo.admin.command("getParameter", 1, **{name: 1})[name] for name in values}
    mongo.admin.command("setParameter", 1, **values)
    try:
        yield
    finally:
        mongo.admin.command("setParameter", 1, **before)


@pytest.fixture
def journal_default(mongo: MongoClient[Any]) -> Iterator[None]:
    """The tests' MongoDB does not wait for the journal; here it has MongoDB's default."""
    config = mongo.admin.command("replSetGetConfig")["config"]
    for value in (True, False):
        config["version"] += 1
        config["writeConcernMajorityJournalDefault"] = value
        mongo.admin.command("replSetReconfig", config)
        if value:
            yield


@pytest.mark.usefixtures("journal_default")
async def test_a_sound_mongodb_causes_no_warning(database: Database) -> None:
    assert await warnings(database) == {}


async def test_majority_writes_that_do_not_wait_for_the_journal_are_warned_of(
    database: Database,
) -> None:
    found = await warnings(database)
    assert found.keys() == {"mongodb_journal_off"}


async def test_long_transactions_are_warned_of(database: Database, mongo: MongoClient[Any]) -> None:
    with parameters(mongo, transactionLifetimeLimitSeconds=6):
        found = (await warnings(database))["mongodb_transactions_long"]
    assert (found["seconds"], found["log_level"]) == (6, "warning")


async def test_an_old_version_is_warned_of(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_set, "OLDEST_VERSION", (99, 0))
    found = (await warnings(database))["mongodb_version_unsupported"]
    assert found["oldest"] == "99.0"


async def test_a_single_member_is_warned_of_in_production(database: Database) -> None:
    found = await warnings(database, production=True)
    assert found.keys() == {"mongodb_members_few", "mongodb_journal_off"}
    assert found["mongodb_members_few"]["members"] == 1


async def test_a_mongodb_that_does_not_answer_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_set, "CHECK_SECONDS", 0.05)
    database = Database("mongodb://127.0.0.1:1/", "none")
    found = await warnings(database)
    await database.close()
    assert found.keys() == {"mongodb_check_skipped"}
