"""Machines and states of processes, from their leases."""

from datetime import UTC, datetime, timedelta
from typing import Any

from services.fleet import FleetReport, fleet_of
from storage.fleet import StoredProcess

NOW = datetime(2026, 11, 26, 20, tzinfo=UTC)


def stored(name: str, machine: str = "", *, left: float = 10, **report: Any) -> StoredProcess:
    """A process whose lease is valid for another `left` seconds; without a machine, an old one."""
    fields = {"machine": machine, "address": "http://10.0.0.1:8000", "worker": 0, "version": "1"}
    fields |= {"started_at": NOW - timedelta(hours=1), "draining": False}
    until = NOW + timedelta(seconds=left)
    return StoredProcess(name, until, None, fields | report if machine else {})


def states(fleet: FleetReport) -> dict[str, str]:
    return {process.id: process.state for process in fleet.processes}


def test_processes_are_grouped_by_machine_and_ordered_by_worker() -> None:
    rows = [stored("old"), stored("b1", "b", worker=1), stored("a", "a"), stored("b0", "b")]
    found = [
        (name, [it.id for it in processes]) for name, processes in fleet_of(rows, NOW).machines
    ]
    assert found == [("a", ["a"]), ("b", ["b0", "b1"]), (None, ["old"])]


def test_a_process_whose_lease_has_lapsed_is_missing() -> None:
    fleet = fleet_of([stored("gone", "a", left=-1), stored("b", "a", worker=1)], NOW)
    assert states(fleet) == {"gone": "missing", "b": "serving"}
    assert fleet.missing == 1


def test_a_missing_process_is_replaced_by_a_later_one_in_its_place() -> None:
    gone = stored("gone", "a", left=-1)
    later = {"started_at": NOW - timedelta(minutes=1)}
    fleet = fleet_of([gone, stored("next", "a", **later)], NOW)
    assert states(fleet) == {"next": "serving", "gone": "replaced"}
    assert fleet.missing == 0
    for other in (
        stored("x", "b", **later),
        stored("x", "a", worker=1, **later),
        stored("x", "a", address="http://10.0.0.1:9000", **later),
        stored("x", "a", started_at=NOW - timedelta(hours=2)),
        stored("x", "a", left=-2, **later),
    ):
        assert states(fleet_of([gone, other], NOW))["gone"] == "missing", other


def test_a_process_of_a_release_before_reports_serves_or_is_missing() -> None:
    fleet = fleet_of([stored("old"), stored("older", left=-1)], NOW)
    assert states(fleet) == {"old": "serving", "older": "missing"}
    assert fleet.versions == []
    assert not fleet.versions_differ


def test_versions_differ_among_processes_that_hold_a_lease() -> None:
    one, gone = stored("one", "a"), stored("gone", "a", left=-1, version="0")
    fleet = fleet_of([one, gone], NOW)
    assert (fleet.versions, fleet.versions_differ) == (["1"], False)
    fleet = fleet_of([one, stored("two", "b", version="2")], NOW)
    assert (fleet.versions, fleet.versions_differ) == (["1", "2"], True)
    assert fleet_of([one, stored("old")], NOW).versions_differ


def test_a_process_that_drains_still_holds_its_lease() -> None:
    fleet = fleet_of([stored("one", "a", draining=True)], NOW)
    assert states(fleet) == {"one": "draining"}
    assert fleet.versions == ["1"]
