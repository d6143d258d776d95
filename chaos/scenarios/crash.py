"""kill -9 of a server at every step of gifts, batches of changes, payments and the order sweep."""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from chaos.crash.batch_path import BATCH, BatchPath, BatchRoom
from chaos.crash.crash_points import BATCH_SIZE, RECORDED_RESPONSES
from chaos.crash.environment import CrashEnvironment, EnvironmentUser, open_environment
from chaos.crash.exit_plans import (
    CrashStep,
    ExitPlan,
    ExitReport,
    exit_plan_for,
    shuffled,
    steps_of,
)
from chaos.crash.gift_paths import GiftPath, RoomGiftPath
from chaos.crash.invariants import check_crash_invariants
from chaos.crash.payment_paths import NotificationPath, PaidOrders, SweepPath
from chaos.metrics import percentile
from chaos.report import RunReport, in_ms
from chaos.run import GOLD, RunSize
from chaos.scenario import RunConfig, Scenario

RECORDINGS = 3
"""Complete runs of a path before its steps are taken from the one with the fewest calls."""
NOT_ABORTED = 0.02
"""Share of crashes after which MongoDB has to detect by itself that a transaction's client died."""
KILLED = -9
ACKNOWLEDGED = ("gift", "gift_outside", "notification")
"""Paths that end with a response."""
PROGRESS_EVERY = 1_000


class CrashPath(Protocol):
    """A path of a server on which it crashes, and the repair of what the crash left."""

    name: str

    async def prepare(self) -> str:
        """Returns the next target; called before the server for it is started."""

    async def repair(self) -> None:
        """Complete the previous attempt, on the next server."""

    async def attempt(self, target: str) -> None:
        """Send the target to a server that crashes."""

    async def settle(self) -> None:
        """Complete everything at the end, on a server that does not crash."""


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
        for number, step in enumerate(plan, 1):
            await self.crash_at(step)
            if number % PROGRESS_EVERY == 0:
                violations = dict(self._env.violations.counts)
                progress = f"{number} of {len(plan)} crashes, violations: {violations}"
                print(progress, file=sys.stderr, flush=True)

    async def crash_at(self, step: CrashStep) -> None:
        started = time.monotonic()
        report = await self._trial(step.path, lambda target: exit_plan_for(step, target, self._rng))
        self.seconds.append(time.monotonic() - started)
        if report.status == KILLED and report.is_at(step):
            self.counts["kills"] += 1
            self.counts[f"kills_{step.path}"] += 1
            self.counts["kills_in_flight"] += report.in_flight
            self.counts["other_call"] += report.calls[step.number].name != step.call.name
        else:
            self._env.violations.add("step_not_reached", f"{step}: {report}")

    async def settle(self) -> None:
        """Complete all paths on a server that does not crash."""
        await self._env.abort_transactions()
        async with self._env.stable_server():
            for path in self._paths.values():
                await path.settle()

    async def _trial(self, name: str, plan_for: Callable[[str], ExitPlan]) -> ExitReport:
        path = self._paths[name]
        if self._rng.random() > NOT_ABORTED:
            await self._env.abort_transactions()
        target = await path.prepare()
        await self._env.fork_server.start_child(plan_for(target))
        await path.repair()
        await path.attempt(target)
        return await self._env.fork_server.wait_exit()


async def crash(config: RunConfig) -> RunReport:
    """`config.seconds`: the number of crashes at each step."""
    async with open_environment(config.folder) as env:
        started, times = time.monotonic(), int(config.seconds)
        inside, outside, orders = await _create_users(env)
        batch, notifications = await create_batch(env), NotificationPath(orders)
        paths = (inside, outside, batch, notifications, SweepPath(orders))
        matrix = CrashMatrix(env, paths, random.Random(config.seed))
        steps = await matrix.steps()
        (config.folder / "steps.txt").write_text("".join(f"{step}\n" for step in steps))
        await matrix.crash_at_all(shuffled(steps, times, random.Random(config.seed)))
        await matrix.settle()
        givers = (inside, outside, *batch.givers)
        rooms = (inside.room_events, *(room.events for room in batch.rooms))
        counts = await check_crash_invariants(env, givers, rooms, orders, notifications)
        report = _report(config, env, matrix, time.monotonic() - started)
        at_once = sum(path.acknowledged_at_once for path in (inside, outside, notifications))
        report.metrics |= {"steps": len(steps), "acknowledged_at_once": at_once, **counts}
        report.metrics["batch_acknowledged"] = batch.acknowledged_at_once
        report.require("kills", len(steps) * times, at_least=True)
        expected = len(ACKNOWLEDGED) * (RECORDINGS + times)
        report.require("acknowledged_at_once", expected, at_least=True)
        expected = RECORDINGS * BATCH_SIZE + times * sum(RECORDED_RESPONSES)
        report.require("batch_acknowledged", expected, at_least=True)
        report.require("gift_events", counts["room_gifts"], at_least=True)
        report.require("orders_credited", counts["orders"], at_least=True)
        report.require("notifications_done", counts["notifications"], at_least=True)
        return report


async def _create_users(env: CrashEnvironment) -> tuple[RoomGiftPath, GiftPath, PaidOrders]:
    """Create a host whose room is live, a giver in it, a giver outside of it, and a buyer."""
    async with env.stable_server():
        host, live_id = await _open_room(env, "host")
        inside, outside = await _create_giver(env, "inside"), await _create_giver(env, "outside")
        await inside.get("get_playurl/", live_id=live_id)
        buyer = await env.create_user("buyer", 1)
    room_gifts = RoomGiftPath(env, inside, host, live_id)
    return room_gifts, GiftPath(env, "gift_outside", outside, buyer), PaidOrders(env, buyer)


async def create_batch(env: CrashEnvironment) -> BatchPath:
    """Create rooms with a host each, and as many users in them as a batch has changes."""
    rooms = []
    async with env.stable_server():
        for number, (givers, applicants, refused) in enumerate(BATCH):
            host, live_id = await _open_room(env, f"host-{number}")
            names = [f"user-{number}-{n}" for n in range(givers + applicants + refused)]
            users = [await _create_giver(env, name) for name in names]
            await asyncio.gather(*(user.get("get_playurl/", live_id=live_id) for user in users))
            rooms.append(BatchRoom(env, host, live_id, users, givers, applicants))
    return BatchPath(rooms)


async def _open_room(env: CrashEnvironment, name: str) -> tuple[EnvironmentUser, int]:
    """The host, and the live_id."""
    host = await env.create_user(name, 2)
    await env.ops_request("PATCH", f"users/{host.id}", is_matchmaker=True)
    return host, (await host.post("qlive_room/matchmaker_enter/")).json["live_id"]


async def _create_giver(env: CrashEnvironment, name: str) -> EnvironmentUser:
    """A user with gold."""
    giver = await env.create_user(name, 1)
    grant = {"gold": GOLD, "reason": "chaos", "request_id": giver.id}
    await env.ops_request("POST", f"users/{giver.id}/grant", **grant)
    return giver


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


SIZE = RunSize(
    clients=3, rooms=1, processes=1, proxied=False, gifts_and_renames=False, rejoins=False
)
# The timeout allows one second per step and crash, of which there are about 175 steps.
SCENARIO = Scenario(
    crash,
    "kill -9 at each step of gift, batch, notification and sweep",
    (SIZE, 2),
    (SIZE, 140),
    175,
)
