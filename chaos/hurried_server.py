"""server.py, whose sweeps and measurements for alerts run as often as a scenario scrapes.

There a scrape counts as 15 s and comes within 0.1 s; a gauge that is measured every 10 s would be
25 minutes old. Run with PYTHONPATH and PYTHONSAFEPATH, see ENVIRONMENT.
"""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
"""So that modules of this folder hide none of the server."""
INTERVALS = {
    "dependencies": 0.5,
    "outbox_age": 0.5,
    "refund_figures": 0.5,
    "withdrawal_figures": 0.5,
    "ledger_audit": 0.5,
    "open_transfers": 0.5,
    "refund_cases": 0.5,
    "orders_jsapi": 0.5,
    "orders_xpay": 0.5,
}
"""Seconds between two runs, by job."""


def main() -> int:
    import server  # noqa: PLC0415 - only the program needs it, not the scenario
    from runtime.periodic import PeriodicTasks  # noqa: PLC0415 - the same

    every = PeriodicTasks.every

    def hurried(
        tasks: PeriodicTasks,
        seconds: float,
        name: str,
        work: Callable[[], Awaitable[object]],
        *,
        retry: float | None = None,
    ) -> None:
        every(tasks, INTERVALS.get(name, seconds), name, work, retry=retry)

    PeriodicTasks.every = hurried  # type: ignore[method-assign]
    return server.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
