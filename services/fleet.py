"""The fleet: machines, their processes, and which of them are missing."""

from collections.abc import Iterable, Sequence
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
    """A process as of its last report; what its release does not report is absent."""

    id: str
    state: State
    lease_until: datetime
    renewed_at: datetime | None
    report: dict[str, Any]

    @property
    def machine(self) -> str | None:
        """None of a process of a release before reports."""
        return self.report.get("machine")

    @property
    def version(self) -> str | None:
        return self.report.get("version")

    @property
    def has_lease(self) -> bool:
        return self.state in ("serving", "draining")


@dataclass(frozen=True, slots=True)
class FleetReport:
    """Processes by machine; those whose machine is unknown come last."""

    machines: list[tuple[str | None, list[FleetProcess]]]

    @property
    def processes(self) -> list[FleetProcess]:
        return [process for _, found in self.machines for process in found]

    @property
    def versions(self) -> list[str]:
        """Known versions of the processes that hold a lease."""
        return sorted({it.version for it in self.processes if it.has_lease and it.version})

    @property
    def versions_differ(self) -> bool:
        """Whether processes of several versions, an unknown one included, hold a lease."""
        return len({it.version for it in self.processes if it.has_lease}) > 1

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
    return FleetReport(
        [(name, list(group)) for name, group in groupby(found, lambda it: it.machine)]
    )


def _newest_starts(stored: Iterable[StoredProcess]) -> dict[object, datetime]:
    """When the newest process of each place started."""
    starts: dict[object, datetime] = {}
    for it in stored:
        if start := it.report.get("started_at"):
            place = _place(it)
            starts[place] = max(start, starts.get(place, start))
    return starts


def _place(process: StoredProcess) -> object:
    """What a process shares with the one that replaces it."""
    return tuple(process.report.get(name) for name in ("machine", "address", "worker"))


def _state(process: StoredProcess, now: datetime, newest: dict[object, datetime]) -> State:
    if process.lease_until >= now:
        return "draining" if process.report.get("draining") else "serving"
    start, since = newest.get(_place(process)), process.report.get("started_at")
    return "replaced" if start and since and start > since else "missing"


def _order(process: FleetProcess) -> tuple[bool, str, str, int, bool, str]:
    """By machine, address and worker; in one place, the process that serves comes first."""
    report = process.report
    worker = report.get("worker")
    return (
        process.machine is None,
        process.machine or "",
        report.get("address", ""),
        -1 if worker is None else worker,
        not process.has_lease,
        process.id,
    )
