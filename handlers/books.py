"""How the book stands: checked by one process for all, shown by every one."""

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
UNKNOWN = -1
"""Instead of a number of problems: the check itself has failed."""


@dataclass(slots=True)
class Books:
    """`last` is what the last check found: problems, gold, income, owed, fen, at (unix seconds)."""

    turns: Turns
    reckoning: Reckoning
    orders: Orders
    last: dict[str, Any]
    oldest_unpaid: float = 0.0
    """Seconds since the oldest order was made that is not paid."""

    async def look(self) -> None:
        """Check the book when it is our turn, and learn what came of it when it was somebody
        else's."""
        if await self.turns.take(NAME, EVERY_SECONDS):
            try:
                await self.check()
            except Exception:
                await self.turns.keep(NAME, {**self.last, "problems": UNKNOWN})
                raise
        self.last = await self.turns.kept(NAME)
        oldest, now = await self.orders.oldest_unpaid(), datetime.now(UTC)
        self.oldest_unpaid = (now - oldest).total_seconds() if oldest else 0.0

    async def check(self) -> list[str]:
        """Every problem, as a sentence."""
        found = await self.reckoning.problems()
        for problem in found:
            log.error("ledger_problem", kind=problem.kind, what=problem.what, detail=problem.detail)
        totals = await self.reckoning.totals()
        at = datetime.now(UTC).timestamp()
        await self.turns.keep(NAME, {**totals, "problems": len(found), "at": at})
        return [str(problem) for problem in found]
