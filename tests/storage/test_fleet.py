"""Reports stored with leases, and lengths of the queues, on a real MongoDB."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest

from core.process_report import ProcessReport, Readings
from storage.fleet import FleetStore, Queues
from tests.support.storage import StoresFixture

gen_test = pytest.mark.gen_test(timeout=60)
NOW = datetime(2026, 11, 26, 20, tzinfo=UTC)
REPORT = ProcessReport(
    machine="$qlive.a",
    worker=1,
    pid=4711,
    address="http://10.0.0.11:8000",
    version="0.1.0+7c0141fc",
    started_at=NOW,
    draining=False,
    readings=Readings(
        loop_lag_ms=1.5,
        sockets=2,
        rooms=1,
        requests=0,
        joins_waiting=0,
        slow_clients=0,
        rooms_behind=0,
        relay_waiting=0,
        bus_waiting=0,
    ),
)


@pytest.fixture
def fleet(stores: StoresFixture) -> FleetStore:
    return FleetStore(stores.database, stores.outbox)


@gen_test
async def test_a_renewal_stores_the_report_of_the_process(
    stores: StoresFixture, fleet: FleetStore
) -> None:
    before = await stores.database.now()
    await stores.presence.renew("one", 60, REPORT)
    (found,) = await fleet.processes()
    assert (found.id, found.report) == ("one", asdict(REPORT))
    assert found.renewed_at is not None
    assert found.renewed_at >= before
    assert found.lease_until == found.renewed_at + timedelta(seconds=60)
    assert (await stores.presence.expired_processes()) == []


@gen_test
async def test_the_next_report_replaces_the_one_before(
    stores: StoresFixture, fleet: FleetStore
) -> None:
    processes = stores.database.collection("processes")
    await stores.presence.renew("one", 60, REPORT)
    await processes.update_one({"_id": "one"}, {"$set": {"report.of_a_later_release": 1}})
    assert await stores.presence.renew("one", 60, REPORT)
    assert [it.report for it in await fleet.processes()] == [asdict(REPORT)]


@gen_test
async def test_a_lease_of_the_release_before_is_read_without_a_report(
    stores: StoresFixture, fleet: FleetStore
) -> None:
    until = NOW + timedelta(seconds=15)
    old = {"_id": "old", "expires_at": until, "held": False, "schema": 1}
    await stores.database.collection("processes").insert_one(old)
    (found,) = await fleet.processes()
    assert (found.lease_until, found.renewed_at, found.report) == (until, None, {})


@gen_test
async def test_a_released_lease_is_gone(stores: StoresFixture, fleet: FleetStore) -> None:
    await stores.presence.renew("one", 60, REPORT)
    await stores.presence.forget("one")
    assert await fleet.processes() == []


@gen_test
async def test_queues_are_counted_by_lane_with_the_age_of_their_oldest_entry(
    stores: StoresFixture, fleet: FleetStore
) -> None:
    now = await stores.database.now()
    assert await fleet.queues(now) == Queues(0, 0, None, 0, None)
    await stores.outbox.add("im_kick", {}, urgent=True)
    for _ in range(2):
        await stores.outbox.add("portrait_set", {})
    failed = {"kind": "im_kick", "state": "failed", "tries": 20, "payload": {}, "due_at": now}
    await stores.database.collection("errands").insert_one(failed)
    relays = stores.database.collection("relays")
    ages = {1: 60, 2: 5, 3: -60}
    for live_id, seconds in ages.items():
        await relays.insert_one({"_id": live_id, "due_at": now - timedelta(seconds=seconds)})
    await relays.insert_one({"_id": 4})  # has nothing to relay
    found = await fleet.queues(now)
    assert (found.outbox_urgent, found.outbox_normal, found.relay_rooms) == (1, 2, 2)
    assert found.relay_oldest_at == now - timedelta(seconds=60)
    assert found.outbox_oldest_at == await stores.outbox.oldest()


@gen_test
async def test_a_long_queue_is_not_counted_to_its_end(
    stores: StoresFixture, fleet: FleetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.fleet.MAX_COUNT", 2)
    for _ in range(3):
        await stores.outbox.add("portrait_set", {})
    assert (await fleet.queues(await stores.database.now())).outbox_normal == 2
