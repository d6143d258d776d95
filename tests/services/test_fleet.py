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
    machines = fleet_of(rows, NOW).machines
    found = [(row.machine, [process.id for process in row.processes]) for row in machines]
    assert found == [("a", ["a"]), ("b", ["b0", "b1"])]


def test_a_process_whose_lease_has_lapsed_is_missing_unless_a_later_one_is_in_its_place() -> None:
    gone, other = stored("gone", "a", left=-1, version="0"), stored("b", "a", 8001, draining=True)
    fleet = fleet_of([gone, other], NOW)
    assert states(fleet) == {"gone": "missing", "b": "draining"}
    assert (fleet.missing, fleet.versions) == (1, ["1"])
    later = {"started_at": NOW - timedelta(minutes=1)}
    fleet = fleet_of([gone, stored("next", "a", version="2", **later), other], NOW)
    assert states(fleet) == {"next": "serving", "gone": "replaced", "b": "draining"}
    assert (fleet.missing, fleet.versions) == (0, ["1", "2"])
    for other in (
        stored("x", "b", **later),
        stored("x", "a", 9000, **later),
        stored("x", "a", started_at=NOW - timedelta(hours=2)),
        stored("x", "a", left=-2, **later),
    ):
        assert states(fleet_of([gone, other], NOW))["gone"] == "missing", other
