"""Base of the jobs that one process runs for all, under a lease, with a result that all read."""

import time
from typing import Any

from storage.jobs.due import JobLeaseStore


class LeasedJob:
    """Work that is repeated by one process at a time. The lease of a dead process expires."""

    def __init__(self, name: str, leases: JobLeaseStore, *, lease: float, interval: float) -> None:
        """Take the times in seconds.

        `lease`: after which a running process is presumed dead, `interval`: from the start of a run
        to the next.
        """
        self._name = name
        self._leases = leases
        self._lease_seconds = lease
        self._interval = interval
        self.last: dict[str, Any] = {}
        """The last stored result of any process; {} before the first."""

    async def run_if_due(self) -> None:
        """Run if the lease is free, then load the last result.

        The next run is due at least as long after this one as this one took.
        """
        if await self._leases.acquire(self._name, self._lease_seconds):
            started_at, interval = time.monotonic(), self._interval
            try:
                interval = await self._run_once() or interval
            finally:
                elapsed = time.monotonic() - started_at
                await self._leases.release(self._name, max(interval - elapsed, elapsed))
        await self._load()

    async def _run_once(self) -> float | None:
        """Do the work and store its result. Return the interval to the next run if it differs."""
        raise NotImplementedError

    async def _load(self) -> dict[str, Any]:
        self.last = await self._leases.last_result(self._name)
        return self.last

    async def _store(self, **result: Any) -> None:
        """Store a result, unless a stored one is of a later start (`at`)."""
        self.last = result
        await self._leases.store_result(self._name, result)
