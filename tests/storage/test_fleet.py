"""Reports of processes, and lengths of the queues, on a real MongoDB."""

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.fleet import POINT_SECONDS, FleetStore, ProcessStatus, Queues, Readings
from tests.support.storage import StoresFixture

NOW = datetime(2026, 11, 26, 20, tzinfo=UTC)
READINGS = dict.fromkeys(Readings.__slots__, 0) | {
    "sockets": 2,
    "requests_rate": 10,
    "failed_rate": 0.5,
    "loop_lag_ms": 1.5,
    "slowest_request_ms": 30,
}
STATUS = ProcessStatus(
    machine="$qlive.a",
    pid=4711,
    address="http://10.0.0.11:8000",
    version="1.0.0+7c0141fc",
    started_at=NOW,
    draining=False,
    readings=Readings(**READINGS),
)


@pytest.fixture
def fleet(stores: StoresFixture) -> FleetStore:
    return stores.fleet


async def test_a_process_has_its_lease_and_its_last_status_until_the_lease_is_released(
    stores: StoresFixture, fleet: FleetStore
) -> None:
    before = await stores.database.now()
    await fleet.add_status("one", replace(STATUS, draining=True, version="0"))
    await stores.presence.renew("one", 60)
    await stores.rows("process_statuses").update_one(
        {"process": "one"}, {"$set": {"at": before - timedelta(seconds=5)}}
    )
    await fleet.add_status("one", STATUS)
    now = before + timedelta(seconds=30)
    (found,) = await fleet.processes(now)
    assert {**asdict(found), **asdict(STATUS)} == asdict(found)
    assert (found.id, found.state) == ("one", "serving")
    renewed_at = found.lease_until - timedelta(seconds=60)
    assert found.lease_age_seconds == (now - renewed_at).total_seconds()
    assert renewed_at >= before
    await stores.presence.forget("one")
    assert await fleet.processes(now) == []


async def test_a_process_whose_lease_has_lapsed_is_missing_until_another_one_is_in_its_place(
    stores: StoresFixture, fleet: FleetStore
) -> None:
    now = await stores.database.now()

    async def start(process: str, seconds: int, **status: Any) -> dict[str, str]:
        """States after a start, by process, in their order; the lease lapses after `seconds`."""
        await fleet.add_status(process, replace(STATUS, **status))
        await stores.presence.renew(process, seconds)
        return {row.id: row.state for row in await fleet.processes(now + timedelta(seconds=60))}

    assert await start("gone", 30) == {"gone": "missing"}
    missing = {"gone": "missing"}
    assert await start("b", 90, machine="b", draining=True) == missing | {"b": "draining"}
    others = {"b": "draining", "c": "serving"}
    assert await start("c", 90, address="http://10.0.0.11:8001") == missing | others
    assert await start("dead", 30) == missing | {"dead": "missing"} | others
    states = await start("next", 90)
    assert [*states.items()] == [("next", "serving"), ("c", "serving"), ("b", "draining")]


async def test_a_point_of_a_chart_has_the_sum_of_all_processes_and_the_longest_time(
    stores: StoresFixture, fleet: FleetStore
) -> None:
    """However often each of them stores its status; the present interval is not complete yet."""

    async def add(process: str, at: datetime, **readings: Any) -> None:
        changed = replace(STATUS, readings=replace(STATUS.readings, **readings))
        row = {"process": process, **asdict(changed), "at": at}
        await stores.rows("process_statuses").insert_one(row)

    first, second = (NOW - timedelta(seconds=POINT_SECONDS * n) for n in (2, 1))
    for seconds, requests in ((0, 10), (5, 20), (10, 30)):
        await add("one", first + timedelta(seconds=seconds), requests_rate=requests)
    await add("two", first, requests_rate=5, loop_lag_ms=7.5, slowest_request_ms=20)
    for at in (second, NOW, NOW - timedelta(hours=1)):
        await add("two", at)
    older, newer = await fleet.chart_points(NOW + timedelta(seconds=3))
    assert (older["_id"], newer["_id"]) == (first, second)
    assert (older["processes"], older["sockets"], older["requests_rate"]) == (2, 4, 25)
    assert (older["loop_lag_ms"], older["slowest_request_ms"]) == (7.5, 30)
    assert (newer["processes"], newer["failed_rate"]) == (1, 0.5)


async def test_queues_are_counted_by_lane_up_to_a_limit_with_the_age_of_their_oldest_entry(
    stores: StoresFixture, fleet: FleetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = await stores.database.now()
    assert await fleet.queues(now) == Queues(0, 0, 0, 0, 0)
    await stores.outbox.add("im_kick", {}, urgent=True)
    for _ in range(3):
        await stores.outbox.add("portrait_set", {})
    failed = {"kind": "im_kick", "state": "failed", "tries": 20, "payload": {}, "due_at": now}
    await stores.rows("outbox").insert_one(failed)
    relays = stores.rows("relay_cursors")
    for live_id, seconds in {1: 60, 2: 5, 3: -60}.items():
        await relays.insert_one({"_id": live_id, "due_at": now - timedelta(seconds=seconds)})
    await relays.insert_one({"_id": 4})  # has nothing to relay
    oldest = await stores.outbox.oldest()
    assert oldest
    age = max(0, (now - oldest).total_seconds())
    assert await fleet.queues(now) == Queues(1, 3, age, 2, 60)
    monkeypatch.setattr("storage.fleet.MAX_COUNT", 2)
    assert await fleet.queues(now) == Queues(1, 2, age, 2, 60)
