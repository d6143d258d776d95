"""The fleet: machines, their processes, and which of them are missing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Literal

from storage.documents import fields_of
from storage.fleet import ProcessReport, StoredProcess

State = Literal["serving", "draining", "missing", "replaced"]


@dataclass(frozen=True, slots=True)
class FleetProcess(ProcessReport):
    """A process that holds a lease, or whose lease has lapsed within the last hour.

    `missing`: it has not renewed its lease, nor released it as a stopping process does. `replaced`:
    the same, and another process has started in its place.
    """

    id: str
    state: State
    lease_until: datetime
    lease_age_seconds: float
    """Time since the last renewal."""

    @property
    def has_lease(self) -> bool:
        return self.state in ("serving", "draining")


@dataclass(frozen=True, slots=True)
class Machine:
    machine: str
    processes: list[FleetProcess]


@dataclass(frozen=True, slots=True)
class FleetReport:
    machines: list[Machine]

    @property
    def processes(self) -> list[FleetProcess]:
        return [process for machine in self.machines for process in machine.processes]

    @property
    def versions(self) -> list[str]:
        """Versions of the processes that hold a lease."""
        return sorted({process.version for process in self.processes if process.has_lease})

    @property
    def missing(self) -> int:
        return sum(process.state == "missing" for process in self.processes)


def fleet_of(stored: Sequence[StoredProcess], now: datetime) -> FleetReport:
    """`now` by the clock of the leases, which is the database's."""
    newest = _newest_starts(process.report for process in stored if process.lease_until >= now)
    found = [
        FleetProcess(
            **fields_of(process.report),
            id=process.id,
            state=_state(process, now, newest),
            lease_until=process.lease_until,
            lease_age_seconds=max(0.0, (now - process.renewed_at).total_seconds()),
        )
        for process in stored
    ]
    found.sort(key=_order)
    machines = groupby(found, lambda process: process.machine)
    return FleetReport([Machine(name, list(processes)) for name, processes in machines])


def _newest_starts(reports: Iterable[ProcessReport]) -> dict[object, datetime]:
    """When the newest process of each place started."""
    starts: dict[object, datetime] = {}
    for report in reports:
        place, start = _place(report), report.started_at
        starts[place] = max(start, starts.get(place, start))
    return starts


def _place(report: ProcessReport) -> tuple[str, str]:
    """Machine and address, which a process shares with its replacement."""
    return report.machine, report.address


def _state(process: StoredProcess, now: datetime, newest: Mapping[object, datetime]) -> State:
    report = process.report
    if process.lease_until >= now:
        return "draining" if report.draining else "serving"
    start = newest.get(_place(report))
    return "replaced" if start and start > report.started_at else "missing"


def _order(process: FleetProcess) -> tuple[str, str, bool, str]:
    """By machine and address; in one place, the process that serves comes first."""
    return *_place(process), not process.has_lease, process.id
