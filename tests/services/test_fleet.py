"""Machines and states of processes, from their leases."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from services.fleet import FleetReport, fleet_of
from storage.fleet import ProcessReport, Readings, StoredProcess

NOW = datetime(2026, 11, 26, 20, tzinfo=UTC)


def stored(
    name: str, machine: str, port: int = 8000, *, left: float = 10, **report: Any
) -> StoredProcess:
    """A process whose lease is valid for another `left` seconds."""
    hour_ago = NOW - timedelta(hours=1)
    readings = Readings(*(0 for _ in Readings.__slots__))
    usual = ProcessReport(machine, 1, f"http://10.0.0.1:{port}", "1", hour_ago, False, readings)
    return StoredProcess(name, NOW + timedelta(seconds=left), NOW, replace(usual, **report))


def states(fleet: FleetReport) -> dict[str, str]:
    return {process.id: process.state for process in fleet.processes}


def test_processes_are_grouped_by_machine_and_ordered_by_port() -> None:
    rows = [stored("b1", "b", 8001), stored("a", "a"), stored("b0", "b")]
    found = [
        (it.machine, [process.id for process in it.processes])
        for it in fleet_of(rows, NOW).machines
    ]
    assert found == [("a", ["a"]), ("b", ["b0", "b1"])]


def test_a_process_whose_lease_has_lapsed_is_missing() -> None:
    fleet = fleet_of([stored("gone", "a", left=-1), stored("b", "a", 8001)], NOW)
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
        stored("x", "a", 9000, **later),
        stored("x", "a", started_at=NOW - timedelta(hours=2)),
        stored("x", "a", left=-2, **later),
    ):
        assert states(fleet_of([gone, other], NOW))["gone"] == "missing", other


def test_versions_are_those_of_the_processes_that_hold_a_lease() -> None:
    one, gone = stored("one", "a"), stored("gone", "a", left=-1, version="0")
    assert fleet_of([one, gone], NOW).versions == ["1"]
    assert fleet_of([one, stored("two", "b", version="2")], NOW).versions == ["1", "2"]


def test_a_process_that_drains_still_holds_its_lease() -> None:
    fleet = fleet_of([stored("one", "a", draining=True)], NOW)
    assert states(fleet) == {"one": "draining"}
    assert fleet.versions == ["1"]
