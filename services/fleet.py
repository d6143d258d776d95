"""The fleet: machines, their processes, and which of them are missing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Literal

from storage.fleet import StoredProcess

State = Literal["serving", "draining", "missing", "replaced"]
"""missing: its lease has lapsed, and it did not release it. replaced: missing, and a process with a
valid lease has started since in its place."""


@dataclass(frozen=True, slots=True)
class FleetProcess:
    """A process as of its last report."""

    id: str
    state: State
    lease_until: datetime
    renewed_at: datetime
    report: dict[str, Any]

    @property
    def has_lease(self) -> bool:
        return self.state in ("serving", "draining")


@dataclass(frozen=True, slots=True)
class FleetReport:
    """Processes by machine."""

    machines: list[tuple[str, list[FleetProcess]]]

    @property
    def processes(self) -> list[FleetProcess]:
        return [process for _, found in self.machines for process in found]

    @property
    def versions(self) -> list[str]:
        """Versions of the processes that hold a lease."""
        return sorted({it.report["version"] for it in self.processes if it.has_lease})

    @property
    def missing(self) -> int:
        return sum(it.state == "missing" for it in self.processes)


def fleet_of(stored: Sequence[StoredProcess], now: datetime) -> FleetReport:
    """`now` by the clock of the leases, which is the database's."""
    newest = _newest_starts(it for it in stored if it.lease_until >= now)
    found = [
        FleetProcess(it.id, _state(it, now, newest), it.lease_until, it.renewed_at, it.report)
        for it in stored
    ]
    found.sort(key=_order)
    machines = groupby(found, lambda process: process.report["machine"])
    return FleetReport([(name, list(group)) for name, group in machines])


def _newest_starts(stored: Iterable[StoredProcess]) -> dict[object, datetime]:
    """When the newest process of each place started."""
    starts: dict[object, datetime] = {}
    for process in stored:
        place, start = _place(process), process.report["started_at"]
        starts[place] = max(start, starts.get(place, start))
    return starts


def _place(process: StoredProcess | FleetProcess) -> tuple[str, str]:
    """What a process shares with the one that replaces it."""
    return process.report["machine"], process.report["address"]


def _state(process: StoredProcess, now: datetime, newest: Mapping[object, datetime]) -> State:
    if process.lease_until >= now:
        return "draining" if process.report["draining"] else "serving"
    start = newest.get(_place(process))
    return "replaced" if start and start > process.report["started_at"] else "missing"


def _order(process: FleetProcess) -> tuple[str, str, bool, str]:
    """By machine and address; in one place, the process that serves comes first."""
    return *_place(process), not process.has_lease, process.id
