"""The chain over the rows of `audit`: order, retention, and what its check notices."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from bson import ObjectId, json_util
from pymongo.asynchronous.collection import AsyncCollection

from storage.audit import AuditStore
from storage.audit_chain import digest
from storage.audit_check import AuditCheck, AuditChecker, ChainPosition
from storage.database import Database
from tests.support.storage import StoresFixture

gen_test = pytest.mark.gen_test(timeout=60)
Rows = AsyncCollection[dict[str, Any]]


async def write(audit: AuditStore, count: int) -> None:
    """Appends `count` entries, each with its outcome."""
    for n in range(count):
        entry = await audit.begin("ops", f"POST x{n}", str(n), "why", {"n": n})
        await audit.done(entry, {}, {"n": n})


async def checked(database: Database, noted: ChainPosition | None = None) -> AuditCheck:
    return await AuditChecker(database).check(noted)


@pytest.fixture
def rows(stores: StoresFixture) -> Rows:
    return stores.database.collection("audit")


@pytest.fixture
def ends(stores: StoresFixture) -> Rows:
    return stores.database.collection("audit_chain")


@gen_test
async def test_rows_of_several_processes_form_one_chain_without_gaps(
    stores: StoresFixture, rows: Rows
) -> None:
    processes = [AuditStore(stores.database) for _ in range(4)]
    await processes[0].make_indexes()
    await asyncio.gather(*(write(audit, 2) for audit in processes for _ in range(5)))
    chain = await rows.find().sort("seq", 1).to_list()
    assert [row["seq"] for row in chain] == [*range(1, 81)]
    assert all(row["previous"] == before["hash"] for before, row in pairwise(chain))
    found = await checked(stores.database)
    assert (found.problem, found.head) == ("", ChainPosition(80, chain[-1]["hash"]))


@gen_test
async def test_rows_that_arrive_together_share_transactions(stores: StoresFixture) -> None:
    audit = AuditStore(stores.database)
    before = stores.database.conflict_retries
    entries = await asyncio.gather(*(audit.begin("ops", "x", "", "", n) for n in range(60)))
    assert [entry["seq"] for entry in entries] == [*range(1, 61)]
    assert stores.database.conflict_retries - before <= 1  # the first one creates the head


@gen_test
async def test_hash_covers_every_field_as_mongoexport_writes_it(
    stores: StoresFixture, rows: Rows
) -> None:
    await write(AuditStore(stores.database), 1)
    for row in await rows.find().to_list():
        hash_ = row.pop("hash")
        exported = json.loads(json_util.dumps(row, json_options=json_util.CANONICAL_JSON_OPTIONS))
        text = json.dumps(exported, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert hashlib.sha256(text.encode()).hexdigest() == hash_
        assert {"_id", "at", "terms", "seq", "previous", "who", "role", "address"} <= row.keys()


@pytest.mark.parametrize(
    "fields",
    [{name: "x"} for name in ("who", "role", "address", "what", "on", "reason", "asked", "after")]
    + [{"done": False}, {"terms": ["x"]}, {"at": datetime(2020, 1, 1, tzinfo=UTC)}, {"new": 1}],
    ids=lambda fields: next(iter(fields)),
)
@gen_test
async def test_a_changed_field_is_noticed(
    stores: StoresFixture, rows: Rows, fields: dict[str, Any]
) -> None:
    await write(AuditStore(stores.database), 2)
    await rows.update_one({"seq": 4}, {"$set": fields})
    assert (await checked(stores.database)).problem.startswith("Row 4 (")


@gen_test
async def test_a_replaced_row_is_noticed_although_its_hash_is_right(
    stores: StoresFixture, rows: Rows
) -> None:
    await write(AuditStore(stores.database), 2)
    row = await rows.find_one({"seq": 2})
    assert row
    forged = {**row, "who": "another"}
    await rows.replace_one({"_id": row["_id"]}, {**forged, "hash": digest(forged)})
    problem = (await checked(stores.database)).problem
    assert problem.startswith("Row 3 (")
    assert problem.endswith("does not continue row 2: one of the two was replaced.")


@pytest.mark.parametrize(
    ("deleted", "problem"),
    [
        ([1, 2], "Missing before row 3: 1 to 2."),
        ([3], "Missing before row 4: 3."),
        ([5, 6], "The newest rows are missing: 5 to 6."),
        ([1, 2, 3, 4, 5, 6], "The newest rows are missing: 1 to 6."),
    ],
)
@gen_test
async def test_deleted_rows_are_noticed(
    stores: StoresFixture, rows: Rows, deleted: list[int], problem: str
) -> None:
    await write(AuditStore(stores.database), 3)
    await rows.delete_many({"seq": {"$in": deleted}})
    assert (await checked(stores.database)).problem == problem


@gen_test
async def test_a_lost_or_altered_head_is_noticed_and_stops_no_operator(
    stores: StoresFixture, ends: Rows
) -> None:
    audit = AuditStore(stores.database)
    await write(audit, 2)
    await ends.update_one({"_id": "head"}, {"$set": {"seq": 3}})
    found = await checked(stores.database)
    assert found.problem == "Row 4 is not the recorded end of the chain, row 3."
    await write(audit, 1)
    assert "has the number of another row" in (await checked(stores.database)).problem
    await ends.delete_one({"_id": "head"})
    await write(audit, 1)
    assert (await audit.page(None, 1))[0]["seq"] == 6


@gen_test
async def test_rows_that_were_deleted_with_the_head_are_suspected(
    stores: StoresFixture, rows: Rows, ends: Rows
) -> None:
    audit = AuditStore(stores.database)
    await write(audit, 2)
    await rows.delete_one({"seq": 4})
    await ends.delete_one({"_id": "head"})
    found = await checked(stores.database)
    assert found.problem == "The end of the chain is not recorded: newer rows may be missing."
    await write(audit, 1)
    found = await checked(stores.database)
    assert found.problem == "The record of the chain's end was lost: rows after 3 may be missing."


@gen_test
async def test_retention_deletes_a_prefix_and_the_rest_is_a_chain(
    stores: StoresFixture, rows: Rows
) -> None:
    audit = AuditStore(stores.database)
    await audit.make_indexes()
    old = datetime.now(UTC) + timedelta(days=1)
    await write(audit, 2)
    assert [await audit.delete_before(old, 3), await audit.delete_before(old, 3)] == [3, 1]
    found = await checked(stores.database)
    assert (found.problem, found.base) == ("", found.head)
    await write(audit, 2)
    await audit.delete_before(old, 1)
    found = await checked(stores.database)
    assert (found.problem, found.base.seq, found.head.seq) == ("", 5, 8)
    await rows.delete_one({"seq": 6})
    assert (await checked(stores.database)).problem == "Missing before row 7: 6."


@gen_test
async def test_of_overlapping_sweeps_the_one_that_deletes_more_counts(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit, faster = AuditStore(stores.database), AuditStore(stores.database)
    old = datetime.now(UTC) + timedelta(days=1)
    await write(audit, 3)
    transaction = stores.database.transaction_with_retry

    async def overtaken(work: Any) -> Any:
        monkeypatch.setattr(stores.database, "transaction_with_retry", transaction)
        await faster.delete_before(old, 3)
        return await transaction(work)

    monkeypatch.setattr(stores.database, "transaction_with_retry", overtaken)
    assert await audit.delete_before(old, 2) == 0
    found = await checked(stores.database)
    assert (found.problem, found.base.seq) == ("", 3)


@gen_test
async def test_retention_stops_at_the_first_row_that_is_not_old(stores: StoresFixture) -> None:
    """Clocks of processes differ: a later row may have an earlier time."""
    audit, now = AuditStore(stores.database), datetime.now(UTC)
    make = ObjectId.from_datetime
    for days in (3, 0, 2):
        await audit._chain.append({"_id": make(now - timedelta(days=days)), "at": now})
    assert await audit.delete_before(now - timedelta(days=1), 9) == 1
    assert (await checked(stores.database)).problem == ""


@gen_test
async def test_rows_of_earlier_versions_are_accepted_before_the_chain_only(
    stores: StoresFixture, rows: Rows
) -> None:
    now = datetime.now(UTC)
    await rows.insert_many([{"at": now - timedelta(days=n), "who": "ops"} for n in (1, 2)])
    assert (await checked(stores.database)).problem == ""
    await write(AuditStore(stores.database), 1)
    found = await checked(stores.database)
    assert (found.problem, found.unchained, found.head.seq) == ("", 2, 2)
    await rows.insert_one({"at": now + timedelta(minutes=1), "who": "ops"})
    problem = (await checked(stores.database)).problem
    assert problem.endswith("has no hash, but is later than the first that has one.")


@gen_test
async def test_a_chain_that_was_rewritten_is_not_the_noted_one(
    stores: StoresFixture, rows: Rows, ends: Rows
) -> None:
    await write(AuditStore(stores.database), 1)
    noted = (await checked(stores.database)).head
    await write(AuditStore(stores.database), 1)
    assert (await checked(stores.database, noted)).problem == ""
    for collection in (rows, ends):
        await collection.delete_many({})
    assert "missing: 1 to 2." in (await checked(stores.database, noted)).problem
    await write(AuditStore(stores.database), 2)
    assert (await checked(stores.database)).problem == ""
    assert "the chain was rewritten" in (await checked(stores.database, noted)).problem


@gen_test
async def test_a_check_sees_one_moment_while_rows_are_written_and_deleted(
    stores: StoresFixture,
) -> None:
    audit, old = AuditStore(stores.database), datetime.now(UTC) + timedelta(days=1)
    await audit.make_indexes()
    await write(audit, 5)

    async def repeat(work: Callable[[], Any]) -> None:
        for _ in range(8):
            await work()

    found: list[AuditCheck] = []

    async def check() -> None:
        found.append(await checked(stores.database))

    await asyncio.gather(
        repeat(lambda: write(audit, 1)), repeat(lambda: audit.delete_before(old, 2)), repeat(check)
    )
    assert {result.problem for result in found} == {""}
    assert (await checked(stores.database)).head.seq == 26
