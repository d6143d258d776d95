"""Transactions of processes that were killed are ended by the processes that live on."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from pymongo.errors import AutoReconnect
from structlog.testing import capture_logs

from core.errors import TryAgain
from core.process_identity import ProcessIdentity
from storage.database import Database, Session
from storage.presence import PresenceStore
from tests.support.orphans import (
    NEVER_SECONDS,
    TransactionProcess,
    is_blocked,
    leave_open,
    process_with_open_transaction,
    transaction_lifetime,
    transaction_process,
)
from tests.support.room_builders import GRACE
from tests.support.storage import NAME
from tests.support.waiting import until

pytestmark = pytest.mark.linux
orphans_test = pytest.mark.gen_test(timeout=60)


@pytest.fixture(autouse=True)
def endless_transactions(mongo_uri: str) -> Iterator[None]:
    with transaction_lifetime(mongo_uri, NEVER_SECONDS):
        yield


@asynccontextmanager
async def open_transaction(
    database: Database, uri: str, name: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    await database.collection("things").insert_one({"_id": "blocked", "n": 0})
    async with process_with_open_transaction(uri, NAME, name) as child:
        yield child


async def killed_within_a_transaction(database: Database, uri: str, name: str) -> None:
    async with open_transaction(database, uri, name) as child:
        child.kill()
        await child.wait()


async def from_another_machine(database: Database, name: str) -> None:
    """Lets the record of a process come from another machine."""
    change = {"$set": {"host": "another machine"}}
    await database.collection("processes").update_one({"_id": name}, change)


async def use_a_session(process: TransactionProcess) -> None:
    async def work(_session: Session) -> None:
        """Writes nothing."""

    await process.database.transaction(work)


@orphans_test
async def test_start_of_a_successor_ends_the_transaction_of_a_killed_process(
    database: Database, mongo_uri: str
) -> None:
    """Long before the lease of the killed process lapses."""
    await killed_within_a_transaction(database, mongo_uri, "killed")
    assert await is_blocked(database)
    successor = await transaction_process(database, "successor")
    await successor.orphans.start()
    assert not await is_blocked(database)
    row = await database.collection("things").find_one({"_id": "blocked"})
    assert row == {"_id": "blocked", "n": 10}, "the killed process has written nothing"
    assert [it.process for it in await successor.records.all()] == []


@orphans_test
async def test_lapsed_lease_ends_the_transaction_of_a_process_of_another_machine(
    database: Database, mongo_uri: str
) -> None:
    await killed_within_a_transaction(database, mongo_uri, "killed")
    await from_another_machine(database, "killed")
    other = await transaction_process(database, "other")
    other.held_for_full_term()
    await other.orphans.start()
    assert await is_blocked(database), "its lease is valid"
    await PresenceStore(database, GRACE).renew("killed", 0.001)
    await until(lambda: _has_lapsed(other, "killed"))
    await other.orphans.check()
    assert not await is_blocked(database)


async def _has_lapsed(process: TransactionProcess, name: str) -> bool:
    return any(it.lapsed for it in await process.records.all() if it.process == name)


@orphans_test
async def test_lapsed_leases_end_nothing_until_the_own_one_was_held_for_a_full_term(
    database: Database, mongo_uri: str
) -> None:
    """After an outage of MongoDB all leases have lapsed, and their processes are alive."""
    async with open_transaction(database, mongo_uri, "alive"):
        await from_another_machine(database, "alive")
        other = await transaction_process(database, "other")
        await PresenceStore(database, GRACE).renew("alive", 0.001)
        await until(lambda: _has_lapsed(other, "alive"))
        await other.orphans.start()
        assert await is_blocked(database)


@orphans_test
async def test_transactions_of_a_living_process_are_left_alone(
    database: Database, mongo_uri: str
) -> None:
    """For instance of the worker that a new release replaces in the same place."""
    async with open_transaction(database, mongo_uri, "alive") as child:
        os.kill(child.pid, signal.SIGSTOP)
        other = await transaction_process(database, "other")
        other.held_for_full_term()
        await other.orphans.start()
        await other.orphans.check()
        assert await is_blocked(database)


@orphans_test
async def test_suspended_process_loses_its_transaction_with_its_lease(
    database: Database, mongo_uri: str
) -> None:
    async with open_transaction(database, mongo_uri, "suspended") as child:
        os.kill(child.pid, signal.SIGSTOP)
        other = await transaction_process(database, "other")
        other.held_for_full_term()
        await PresenceStore(database, GRACE).renew("suspended", 0.001)
        await until(lambda: _has_lapsed(other, "suspended"))
        await other.orphans.start()
        assert not await is_blocked(database)


@orphans_test
async def test_process_presumed_dead_records_its_sessions_again(database: Database) -> None:
    alive = await transaction_process(database, "alive")
    await alive.orphans.start()
    await use_a_session(alive)
    recorded = await alive.recorded()
    assert recorded == set(alive.database.sessions.ids)
    await alive.records.end((await alive.records.all())[0])
    assert await alive.recorded() == set()
    await use_a_session(alive)
    await alive.orphans.check()
    assert await alive.recorded() == recorded


@orphans_test
async def test_record_stays_as_it_is_while_its_process_is_alive(
    database: Database, commands: list[str]
) -> None:
    alive = await transaction_process(database, "alive")
    await alive.orphans.start()
    await use_a_session(alive)
    before = commands.count("update")
    for _ in range(3):
        await use_a_session(alive)
        await alive.orphans.check()
    assert commands.count("update") == before


@orphans_test
async def test_lease_that_ends_takes_the_record_with_it(database: Database) -> None:
    process = await transaction_process(database, "stops")
    await process.orphans.start()
    await use_a_session(process)
    await process.lease.end()
    assert await process.records.all() == []


@orphans_test
async def test_sessions_of_a_process_without_a_lease_cannot_be_recorded(
    database: Database,
) -> None:
    """Other processes would end its transactions."""
    process = await transaction_process(database, uuid4().hex)
    await process.orphans.start()
    await process.lease.end()
    with pytest.raises(TryAgain):
        await use_a_session(process)


@orphans_test
async def test_lease_of_an_earlier_release_has_no_sessions_to_end(database: Database) -> None:
    await PresenceStore(database, GRACE).renew("earlier", 0.001)
    process = await transaction_process(database, "new")
    process.held_for_full_term()
    await process.orphans.start()
    assert await process.records.all() == []


@orphans_test
async def test_transaction_in_doubt_is_ended_by_its_own_process(database: Database) -> None:
    await database.collection("things").insert_one({"_id": "blocked", "n": 0})
    process = await transaction_process(database, "own")
    await process.orphans.start()
    with pytest.raises(AutoReconnect):
        await leave_open(database, AutoReconnect("gone"))
    assert await is_blocked(database)
    await process.orphans.check()
    assert not await is_blocked(database)


@orphans_test
@pytest.mark.parametrize("platform", ["linux", "darwin"])
async def test_process_that_cannot_identify_itself_on_linux_warns_once_at_its_start(
    database: Database, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    monkeypatch.setattr(ProcessIdentity, "own", lambda: None)
    monkeypatch.setattr("services.orphaned_transactions.sys.platform", platform)
    process = await transaction_process(database, "hidden")
    with capture_logs() as logs:
        await process.orphans.start()
        await process.orphans.check()
    warnings = [entry["event"] for entry in logs if entry["log_level"] == "warning"]
    assert warnings == (["process_identity_unknown"] if platform == "linux" else [])
