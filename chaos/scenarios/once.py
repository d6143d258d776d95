"""Each request_id is sent many times at once to all processes: one effect, equal responses."""

import asyncio
import json
import time
from typing import Any

from chaos.actors import GIFT_ID
from chaos.http_client import BASE, ApiResponse, ApiUser
from chaos.invariants import check_invariants
from chaos.ledger_audit import audit_gifts
from chaos.report import RunReport, make_report
from chaos.run import GOLD, Run, RunSize, started_run
from chaos.scenario import RunConfig, Scenario

REQUESTS_PER_ID = 50
IDS_AT_ONCE = 8
IDS_PER_SECOND = 10
"""Request ids for each second of the configured length of a run."""
SIZE = RunSize(clients=16, rooms=2, processes=4, gifts_and_renames=False, rejoins=False)


async def once(config: RunConfig) -> RunReport:
    """Ten ids for each of `config.seconds`; half of them are gifts outside of rooms."""
    async with started_run(config.folder, config.size, config.seed) as run:
        started, ids = time.monotonic(), int(config.seconds * IDS_PER_SECOND)
        acknowledged = await _give_all(run, ids)
        await run.settle()
        await check_invariants(run)
        booked = await audit_gifts(run, acknowledged)
        report = make_report(
            run,
            "once",
            time.monotonic() - started,
            ids=ids,
            requests_per_id=REQUESTS_PER_ID,
            gifts_acknowledged=len(acknowledged),
            gifts_booked=booked,
        )
        report.require("gifts_acknowledged", ids, at_least=True)
        report.require("gifts_booked", ids)
        return report


async def _give_all(run: Run, ids: int) -> dict[str, str]:
    """Give `ids` gifts; returns the giver's user_id by request_id of those acknowledged."""
    limit, acknowledged = asyncio.Semaphore(IDS_AT_ONCE), dict[str, str]()
    giver_outside, outside = await run.create_user("giver", 1), await run.create_user("outside", 1)
    grant = {"gold": GOLD, "reason": "chaos", "request_id": giver_outside.id}
    await run.api.ops_request("POST", f"users/{giver_outside.id}/grant", **grant)

    async def give(number: int) -> None:
        room = run.rooms[number % len(run.rooms)]
        giver, recipient = room.guests[-1], room.host  # the last guest has gold
        if number % 4 > 1:
            giver, recipient = giver_outside, outside
        request_id, started_at = f"once{number}", time.time()
        async with limit:
            responses = await _send_copies(run, giver, recipient, request_id)
        if _all_succeeded(run, request_id, responses):
            acknowledged[request_id] = giver.id
            if recipient is room.host:
                room.record(responses[0], f"gift {request_id}", started_at)

    await asyncio.gather(*map(give, range(ids)))
    return acknowledged


async def _send_copies(
    run: Run, giver: ApiUser, recipient: ApiUser, request_id: str
) -> list[ApiResponse]:
    """Send the same request REQUESTS_PER_ID times at once, spread over the processes."""
    params: dict[str, Any] = {
        "user_id": recipient.id,
        "gift_id": GIFT_ID,
        "request_id": request_id,
    }
    nodes = run.fleet.nodes
    path = f"{BASE}qlive_gift/push_gift/"
    return await asyncio.gather(
        *(
            run.api.request("GET", path, params, giver.headers, nodes[n % len(nodes)])
            for n in range(REQUESTS_PER_ID)
        )
    )


def _all_succeeded(run: Run, request_id: str, responses: list[ApiResponse]) -> bool:
    """Whether all responses are equal and successful."""
    bodies = {json.dumps(response.json, sort_keys=True) for response in responses}
    first = responses[0]
    if len(bodies) != 1 or not first.ok or first.json["status"] != "success":
        run.violations.add("conflicting_responses", f"{request_id}: {sorted(bodies)}")
        return False
    if first.json["gold"] >= GOLD:
        run.violations.add("not_charged", f"{request_id}: {first.json}")
    return True


SCENARIO = Scenario(
    once, "1,000 request_ids, 50 times each at once, over 4 processes", (SIZE, 10), (SIZE, 100)
)
