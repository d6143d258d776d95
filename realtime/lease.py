"""This process among the others: it holds a lease, finds those that have died, and compares what
the database says it serves with what it does serve."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from rooms.keeper import now_ms
from rooms.presence import Connection

log = structlog.get_logger("qlive.lease")


class Register(Protocol):
    """Where processes and what they serve are kept: storage/presence.py says what each does."""

    async def renew(self, process: str, seconds: float) -> bool: ...
    async def lapsed(self) -> list[str]: ...
    async def bury(self, process: str, now: int) -> int: ...
    async def forget(self, process: str) -> None: ...
    async def stamp(self, here: Sequence[Connection], process: str, now: int) -> None: ...
    async def served(self, process: str) -> list[Connection]: ...
    async def part(self, gone: Sequence[Connection]) -> None: ...


class Lease:
    """`renew`, `sweep` and `compare` are done again and again."""

    def __init__(
        self,
        register: Register,
        process: str,
        seconds: float,
        here: Callable[[], list[Connection]],
    ) -> None:
        """`process` names this one; `here` are the sockets that it serves, joining ones too."""
        self._register = register
        self._process = process
        self._seconds = seconds
        self._here = here
        self._renewed_at: float | None = None
        self._held_since = time.monotonic()
        self._owes_stamp = False
        self._suspects: set[Connection] = set()

    @property
    def steady_ms(self) -> int:
        """For how long it has been held without a gap; 0 when it may have lapsed.

        Before, everything may have been down: nobody could have come back, and the others may be
        alive. By this machine's steady clock.
        """
        now = time.monotonic()
        if self._renewed_at is None or now - self._renewed_at > self._seconds:
            return 0
        return int((now - self._held_since) * 1000)

    async def renew(self) -> None:
        """Whoever was taken for dead stamps what they serve anew, until that has worked."""
        asked_at = time.monotonic()  # the lease counts from when it is written, a little later
        held = await self._register.renew(self._process, self._seconds)
        before, self._renewed_at = self._renewed_at, asked_at
        if before is None or self._renewed_at - before > self._seconds:
            self._held_since = self._renewed_at
        if before is not None and not held:
            log.warning("taken_for_dead", process=self._process)
            self._owes_stamp = True
        if self._owes_stamp:
            await self._register.stamp(self._here(), self._process, now_ms())
            self._owes_stamp = False

    async def sweep(self) -> None:
        """Make the members of dead processes away.

        Not before this process has held its own lease for as long: after an outage of MongoDB
        all have lapsed, and the first to come back must not bury the others.
        """
        if self.steady_ms < self._seconds * 1000:
            return
        for process in await self._register.lapsed():
            if process != self._process:
                count = await self._register.bury(process, now_ms())
                log.warning("process_died", process=process, members=count)

    async def compare(self) -> None:
        """Whoever stands as served here, and twice in a row is not, is away: what wrote that
        down was cut short."""
        here = {(it.user_id, it.number) for it in self._here()}
        served = await self._register.served(self._process)
        missing = {it for it in served if (it.user_id, it.number) not in here}
        await self._register.part([at_once(it) for it in missing & self._suspects])
        self._suspects = missing

    async def stamp(self, here: Sequence[Connection]) -> None:
        """These are served here, and nobody else says so."""
        await self._register.stamp(here, self._process, now_ms())

    async def end(self) -> None:
        """The process ends in peace: nobody is served by it any more."""
        await self._register.bury(self._process, now_ms())
        await self._register.forget(self._process)


def at_once(gone: Connection) -> Connection:
    return Connection(gone.user_id, gone.live_id, gone.epoch, gone.number, now_ms())
