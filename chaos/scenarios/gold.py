"""MongoDB is killed every few seconds under a stream of gifts: each is booked exactly once."""

import asyncio
import time
from collections import Counter
from typing import Any

from chaos.actors import GIFT_ID
from chaos.http_client import ApiUser
from chaos.invariants import check_invariants
from chaos.ledger_audit import audit_gifts
from chaos.report import RunReport, make_report
from chaos.room_load import RoomLoad
from chaos.run import GOLD, Run, RunSize, started_run
from chaos.scenario import RunConfig, Scenario

PER_SECOND = 300
INTERVAL_SECONDS, DOWN_SECONDS = 10.0, 1.0
MAX_IN_FLIGHT = 3_000
"""Bounds the gifts that wait for a response."""
SIZE = RunSize(clients=24, rooms=4, processes=2, gifts_and_renames=False, rejoins=False)


class GiftLoad:
    """Gifts at a constant rate, independent of the response time; each is retried."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.acknowledged: dict[str, str] = {}
        self.outcomes: Counter[str] = Counter()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._givers = [(room, guest) for room in run.rooms for guest in room.guests]

    async def grant_gold(self) -> None:
        for _, giver in self._givers:
            grant = {"gold": GOLD, "reason": "chaos", "request_id": giver.id}
            await self.run.api.ops_request("POST", f"users/{giver.id}/grant", **grant)

    async def give_for(self, seconds: float) -> None:
        """Returns once every gift has its response."""
        started, number = time.monotonic(), 0
        while (now := time.monotonic() - started) < seconds:
            while number < now * PER_SECOND and len(self._in_flight) < MAX_IN_FLIGHT:
                self._start(number)
                number += 1
            await asyncio.sleep(0.005)
        await asyncio.gather(*self._in_flight)

    async def audit(self, seconds: float) -> dict[str, Any]:
        """Check the run after `seconds` of gifts; the figures of its report."""
        await self.run.settle()
        await check_invariants(self.run)
        booked = await audit_gifts(self.run, self.acknowledged)
        return {
            "gifts_acknowledged": len(self.acknowledged),
            "gifts_per_second": round(len(self.acknowledged) / seconds, 1),
            "gifts_booked": booked,
        }

    def _start(self, number: int) -> None:
        room, giver = self._givers[number % len(self._givers)]
        task = asyncio.ensure_future(self._give(room, giver, f"gift{number}"))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def _give(self, room: RoomLoad, giver: ApiUser, request_id: str) -> None:
        started_at = time.time()
        gift: Any = {"user_id": room.host.id, "gift_id": GIFT_ID, "request_id": request_id}
        response = await giver.get("qlive_gift/push_gift/", **gift)
        if not response.ok:
            self.outcomes[str(response.status)] += 1
        elif response.json["status"] == "success":
            self.outcomes["success"] += 1
            self.acknowledged[request_id] = giver.id
        else:
            self.outcomes["rejected"] += 1
            self.run.violations.add("gift_rejected", f"{request_id}: {response.json}")
        room.record(response, f"gift {request_id}", started_at)


async def gold(config: RunConfig) -> RunReport:
    """`config.seconds`: how long gifts are given."""
    async with started_run(config.folder, config.size, config.seed) as run:
        started, load = time.monotonic(), GiftLoad(run)
        await load.grant_gold()
        giving = asyncio.ensure_future(load.give_for(config.seconds))
        kills = await _kill_repeatedly(run, config.seconds)
        await giving
        figures = await load.audit(time.monotonic() - started)
        report = make_report(
            run,
            "gold",
            time.monotonic() - started,
            kills=kills,
            **figures,
            outcomes=dict(load.outcomes),
        )
        report.require("gifts_per_second", 0.85 * PER_SECOND, at_least=True)
        return report


async def _kill_repeatedly(run: Run, seconds: float) -> int:
    kills, until = 0, time.monotonic() + seconds
    while time.monotonic() + INTERVAL_SECONDS < until:
        await asyncio.sleep(INTERVAL_SECONDS - DOWN_SECONDS)
        await run.fleet.mongod.kill()
        kills += 1
        await asyncio.sleep(DOWN_SECONDS)
        await run.fleet.mongod.start()
    return kills


SCENARIO = Scenario(gold, "gifts while MongoDB is killed every 10 s", (SIZE, 30), (SIZE, 120))
