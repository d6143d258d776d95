"""A server warns at its start of an unsafe replica set; on a real MongoDB."""

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


def set_journal_default(mongo: MongoClient[Any], *, value: bool) -> None:
    """The tests' MongoDB does not wait for the journal, as MongoDB does by default."""
    config = mongo.admin.command("replSetGetConfig")["config"]
    changes = {"version": config["version"] + 1, "writeConcernMajorityJournalDefault": value}
    mongo.admin.command("replSetReconfig", config | changes)


async def test_sound_mongodb_causes_no_warning(database: Database, mongo: MongoClient[Any]) -> None:
    set_journal_default(mongo, value=True)
    try:
        assert await warnings(database) == {}
    finally:
        set_journal_default(mongo, value=False)


async def test_each_risk_is_warned_of(
    database: Database, mongo: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await warnings(database)).keys() == {"mongodb_journal_off"}
    monkeypatch.setattr(replica_set, "OLDEST_VERSION", (99, 0))
    was = mongo.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=6)["was"]
    try:
        found = await warnings(database, production=True)
    finally:
        mongo.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=was)
    assert {line["log_level"] for line in found.values()} == {"warning"}
    assert found["mongodb_transactions_long"]["seconds"] == 6
    assert found["mongodb_version_unsupported"]["oldest"] == "99.0"
    assert found["mongodb_members_few"]["members"] == 1
    assert len(found) == 4, "the journal, too"


async def test_a_mongodb_that_does_not_answer_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_set, "CHECK_SECONDS", 0.05)
    database = Database("mongodb://127.0.0.1:1/", "none")
    found = await warnings(database)
    await database.close()
    assert found.keys() == {"mongodb_check_skipped"}
