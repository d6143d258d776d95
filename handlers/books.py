"""How the book stands: checked by one process for all, shown by every one."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from storage.orders import Orders
from storage.reckoning import Reckoning
from storage.turns import Turns

log = structlog.get_logger("qlive.books")

NAME = "check-ledger"
EVERY_SECONDS = 300.0
LONGEST_SECONDS = 1_800.0
"""After so long whoever has the turn is taken for dead."""
FULL_SECONDS = 86_400.0
OVERLAP_SECONDS = 600.0
"""An entry is written a little after the time that it bears, and clocks differ."""
UNKNOWN = -1
"""Instead of a number of problems: the check itself has failed."""


@dataclass(slots=True)
class Books:
    """`last` is what the last check found: problems (`known`, when that is UNKNOWN, is what the
    one before found), gold, income, owed, fen, at and full_at (unix seconds: when it began, and
    when the whole book was last looked at)."""

    turns: Turns
    reckoning: Reckoning
    orders: Orders
    last: dict[str, Any]
    oldest_unpaid: float = 0.0
    """Seconds since the oldest order was made that is not paid."""

    async def look(self) -> None:
        """Check the book when it is our turn, and learn what came of it when it was somebody
        else's."""
        oldest, now = await self.orders.oldest_unpaid(), datetime.now(UTC)
        self.oldest_unpaid = (now - oldest).total_seconds() if oldest else 0.0
        if await self.turns.take(NAME, LONGEST_SECONDS):
            await self._look_and_rest()
        self.last = await self.turns.kept(NAME)

    async def check(self, since: datetime | None = None) -> list[str]:
        """Every problem, as a sentence; with `since`, of what was written from then on."""
        at = datetime.now(UTC).timestamp()
        full_at = self.last["full_at"] if since else at
        found = await self.reckoning.problems(since)
        for problem in found:
            log.error("ledger_problem", kind=problem.kind, what=problem.what, detail=problem.detail)
        totals, count = await self.reckoning.totals(), len(found)
        self.last = {**totals, "problems": count, "known": count, "at": at, "full_at": full_at}
        await self.turns.keep(NAME, self.last)
        return [str(problem) for problem in found]

    async def _look_and_rest(self) -> None:
        """Whatever it takes, as long a rest comes after it."""
        began = time.monotonic()
        self.last = await self.turns.kept(NAME)
        try:
            await self.check(since_when(self.last, datetime.now(UTC).timestamp()))
        except Exception:
            await self.turns.keep(NAME, {"at": 0.0, **self.last, "problems": UNKNOWN})
            raise
        finally:
            took = time.monotonic() - began
            await self.turns.rest(NAME, max(EVERY_SECONDS - took, took))


def since_when(last: Mapping[str, Any], now: float) -> datetime | None:
    """From when on entries are looked at that no check has seen; None: the whole book, once a
    day, and for as long as something is known to be wrong with it."""
    if last.get("known") != 0 or now - last["full_at"] > FULL_SECONDS:
        return None
    return datetime.fromtimestamp(last["at"] - OVERLAP_SECONDS, UTC)
