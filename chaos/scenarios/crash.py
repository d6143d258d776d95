"""kill -9 of a server at every step of gifts, payments, withdrawals, refunds, bills, deletions."""

import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from chaos.crash.environment import CrashEnvironment, open_environment
from chaos.crash.exit_plans import (
    CrashStep,
    ExitPlan,
    ExitReport,
    exit_plan_for,
    shuffled,
    steps_of,
)
from chaos.crash.groups import PATHS, PathGroup, create_groups
from chaos.crash.invariants import add_ledger_problems, check_logs_and_ledger
from chaos.crash.paths import CrashPath, RequestPath
from chaos.metrics import percentile
from chaos.report import RunReport, in_ms
from chaos.run import RunSize
from chaos.scenario import RunConfig, Scenario

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
            reports = [
                await self._trial(name, lambda target: ExitPlan(name, target))  # noqa: B023
                for _ in range(RECORDINGS)
            ]
            calls = min((report.calls for report in reports), key=len)
            found += steps_of(name, calls)
            if not calls:
                self._env.violations.add("path_not_recorded", f"{name}: {reports}")
        return found

    async def crash_at_all(self, plan: Sequence[CrashStep]) -> None:
        for step in plan:
            await self.crash_at(step)

    async def crash_at(self, step: CrashStep) -> None:
        for _ in range(MAX_TRIALS):
            report = await self._timed_trial(step)
            if report.at != "end":
                break
            self.counts["ended_before_kill"] += 1
        if report.status == KILLED and report.is_at(step):
            self.counts["kills"] += 1
            self.counts[f"kills_{step.path}"] += 1
            self.counts["kills_in_flight"] += report.in_flight
        else:
            self._env.violations.add("step_not_reached", f"{step}: {report}")

    async def _timed_trial(self, step: CrashStep) -> ExitReport:
        started = time.monotonic()
        report = await self._trial(step.path, lambda target: exit_plan_for(step, target, self._rng))
        self.seconds.append(time.monotonic() - started)
        return report

    async def settle(self, groups: Sequence[PathGroup] = ()) -> None:
        """Complete all paths on a server that does not crash.

        The ledger is consistent before that, too, while withdrawals and cases are open.
        """
        await self._env.abort_transactions()
        await add_ledger_problems(self._env)
        async with self._env.stable_server("fast_sweeps"):
            for path in self._paths.values():
                await path.settle()
            for group in groups:
                await group.settle()

    async def _trial(self, name: str, plan_for: Callable[[str], ExitPlan]) -> ExitReport:
        path = self._paths[name]
        if self._rng.random() > NOT_ABORTED:
            await self._env.abort_transactions()
        target = await path.prepare()
        await self._env.fork_server.start_child(plan_for(target))
        await path.repair()
        await path.attempt()
        return await self._env.fork_server.wait_exit()


async def crash(config: RunConfig) -> RunReport:
    """`config.seconds`: so many crashes at each step; `config.paths`: of which paths."""
    names = set(config.paths or PATHS)
    async with open_environment(config.folder) as env:
        started, times = time.monotonic(), int(config.seconds)
        groups = await create_groups(env, names)
        paths = [path for group in groups for path in group.paths if path.name in names]
        matrix = CrashMatrix(env, paths, random.Random(config.seed))
        steps = await matrix.steps()
        plan = shuffled(steps, times, random.Random(config.seed))
        (config.folder / "steps.txt").write_text("".join(f"{step}\n" for step in steps))
        await matrix.crash_at_all(plan)
        await matrix.settle(groups)
        found = await check_logs_and_ledger(env)
        for group in groups:
            found |= await group.check()
        report = _report(config, env, matrix, time.monotonic() - started)
        report.metrics |= {"steps": len(steps), **found}
        report.metrics |= {f"acknowledged_{name}": n for name, n in acknowledged(paths).items()}
        report.require("kills", len(plan), at_least=True)
        _require_answers(report, {path.name for path in paths}, times)
        return report


def acknowledged(paths: Sequence[CrashPath]) -> dict[str, int]:
    """By path: responses of servers that crashed, of the paths that end with one."""
    return {path.name: path.acknowledged_at_once for path in paths if isinstance(path, RequestPath)}


def _require_answers(report: RunReport, paths: Collection[str], times: int) -> None:
    counts = report.metrics
    for name in paths:
        if f"acknowledged_{name}" in counts:  # of the recordings, and of the kills after responses
            report.require(f"acknowledged_{name}", RECORDINGS + times, at_least=True)
    for name, total in AGREEMENTS.items():
        if total in counts:
            report.require(name, counts[total], at_least=True)


def _report(
    config: RunConfig, env: CrashEnvironment, matrix: CrashMatrix, seconds: float
) -> RunReport:
    metrics = {
        **dict(sorted(matrix.counts.items())),
        "trial_ms_p50": in_ms(percentile(matrix.seconds, 0.5)),
        "trial_ms_p99": in_ms(percentile(matrix.seconds, 0.99)),
        "trial_ms_max": in_ms(percentile(matrix.seconds, 1)),
    }
    violations, took = env.violations, round(seconds, 1)
    folder = str(config.folder)
    return RunReport(
        "crash",
        config.seed,
        folder,
        took,
        metrics=metrics,
        violations=dict(violations.counts),
        examples=violations.examples,
    )


SIZE = RunSize(clients=3, rooms=1, processes=1, proxied=False, gifts=False)
# The timeout allows 700 s for a crash at each of some 600 steps.
SCENARIO = Scenario(
    crash,
    "kill -9 at each step of gift, notification, sweep, withdrawal, refund case, bill, deletion",
    SIZE,
    1,
    700,
)
