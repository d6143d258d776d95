"""kill -9 at each step of gifts, payments, payouts, refunds, matches, notices, deletions."""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from chaos.crash.environment import CrashEnvironment, open_environment
from chaos.crash.exit_plans import CrashStep, ExitPlan, ExitReport, steps_of
from chaos.crash.groups import PATHS, PathGroup, create_groups
from chaos.crash.paths import CrashPath, RequestPath
from chaos.fleet import RunSize
from chaos.program import unexpected_errors
from chaos.report import RunReport, in_ms, percentile
from chaos.scenario import RunConfig, Scenario
from storage.gold.ledger_reconciler import LedgerReconciler

RECORDINGS = 2
"""Complete runs of a path before its steps are taken from the one with the fewest calls."""
NOT_ABORTED = 0.02
"""Share of crashes after which MongoDB has to detect by itself that a transaction's client died."""
KILLED = -9
MAX_TRIALS = 3
"""Attempts for one crash: a path may end before its kill, if a call is shorter than recorded."""
AGREEMENTS = {
    "gift_events": "room_gifts",
    "orders_credited": "orders",
    "xpay_orders_credited": "xpay_orders",
    "billed_orders_credited": "billed_orders",
    "bills_done": "billed_orders_before",
    "notifications_done": "notifications",
    "fen_in_journal": "fen_paid",
    "deleted": "leavers",
    "matches": "couples",
}
"""Metrics that must be at least as large as others."""


class CrashMatrix:
    """All crashes of a run: one server each, which first repairs what the previous one left."""

    def __init__(
        self, env: CrashEnvironment, paths: Sequence[CrashPath], rng: random.Random
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.seconds: list[float] = []
        """Duration of each crash with its repair."""
        self._env, self._rng = env, rng
        self._paths = {path.name: path for path in paths}

    async def steps(self) -> list[CrashStep]:
        """Record the calls of all paths and derive their steps."""
        found: list[CrashStep] = []
        for name in self._paths:
            reports = [await self._trial(name, partial(ExitPlan, name)) for _ in range(RECORDINGS)]
            calls = min((report.calls for report in reports), key=len)
            found += steps_of(name, calls)
            if not calls:
                self._env.violations.add("path_not_recorded", f"{name}: {reports}")
        return found

    async def crash_at(self, step: CrashStep) -> None:
        for _ in range(MAX_TRIALS):
            started = time.monotonic()
            delay = self._rng.uniform(0.0, step.call.seconds)
            exit_at = {"number": step.number, "moment": step.moment, "delay": delay}
            report = await self._trial(step.path, partial(ExitPlan, step.path, **exit_at))
            self.seconds.append(time.monotonic() - started)
            if report.at != "end":
                break
            self.counts["ended_before_kill"] += 1
        if report.status == KILLED and report.is_at(step):
            self.counts["kills"] += 1
            self.counts[f"kills_{step.path}"] += 1
            self.counts["kills_in_flight"] += report.in_flight
        else:
            self._env.violations.add("step_not_reached", f"{step}: {report}")

    async def finish(self, groups: Sequence[PathGroup] = ()) -> None:
        """Complete all paths on a server that does not crash, and check the log and the ledger.

        The ledger is consistent before that, too, while withdrawals and cases are open.
        """
        await self._env.abort_transactions()
        await self._check_ledger()
        async with self._env.stable_server("fast_sweeps"):
            for path in self._paths.values():
                await path.finish()
            for group in groups:
                await group.finish()
        for error in unexpected_errors(self._env.log):
            self._env.violations.add("unexpected_error", error)
        self.counts["ledger_problems"] = await self._check_ledger()
        for group in groups:
            self.counts.update(await group.check())

    async def _check_ledger(self) -> int:
        """Add what `check-ledger` finds to the violations; returns the number of problems."""
        problems = await LedgerReconciler(self._env.database).problems()
        self._env.violations.add_all(("ledger_problem", str(problem)) for problem in problems)
        return len(problems)

    async def _trial(self, name: str, plan_for: Callable[[str], ExitPlan]) -> ExitReport:
        path = self._paths[name]
        if self._rng.random() > NOT_ABORTED:
            await self._env.abort_transactions()
        target = await path.prepare()
        await self._env.servers.start_child(plan_for(target))
        await path.repair()
        await path.attempt()
        return await self._env.servers.wait_exit()


async def crash(config: RunConfig, report: RunReport) -> None:
    """`config.seconds`: so many crashes at each step; `config.paths`: of which paths."""
    names, times = set(config.paths or PATHS), int(config.seconds)
    async with open_environment(config.folder, report.violations) as env:
        groups = await create_groups(env, names)
        paths = [path for group in groups for path in group.paths if path.name in names]
        matrix = CrashMatrix(env, paths, random.Random(config.seed))
        steps = await matrix.steps()
        (config.folder / "steps.txt").write_text("".join(f"{step}\n" for step in steps))
        plan = steps * times
        random.Random(config.seed).shuffle(plan)  # a crash repairs what an arbitrary one left
        for step in plan:
            await matrix.crash_at(step)
        await matrix.finish(groups)
    acknowledged = {
        f"acknowledged_{path.name}": path.acknowledged_at_once
        for path in paths
        if isinstance(path, RequestPath)
    }
    report.metrics |= {
        **dict(sorted(matrix.counts.items())),
        "trial_ms_p50": in_ms(percentile(matrix.seconds, 0.5)),
        "trial_ms_p99": in_ms(percentile(matrix.seconds, 0.99)),
        "trial_ms_max": in_ms(percentile(matrix.seconds, 1)),
        "steps": len(steps),
        **acknowledged,
    }
    report.require("kills", len(plan), at_least=True)
    for name in acknowledged:  # by those of the recordings, and of the kills after responses
        report.require(name, RECORDINGS + times, at_least=True)
    for name, total in AGREEMENTS.items():
        if total in report.metrics:
            report.require(name, report.metrics[total], at_least=True)


SIZE = RunSize(clients=3, rooms=1, processes=1, proxied=False, gifts=False)
# The timeout allows 700 s for a crash at each of some 600 steps.
SCENARIO = Scenario(
    crash,
    "kill -9 at each step of gift, payment, payout, refund, bill, match, notice, deletion",
    SIZE,
    1,
    700,
)
