"""Fifty gifts of one user at once, over two servers, reach exactly the cap of a day."""

import asyncio
import time
from collections import Counter

from chaos.api import FleetUser
from chaos.invariants import check_invariants
from chaos.report import RunReport, make_report
from chaos.run import Run, RunSize, started_run
from chaos.scenario import RunConfig, Scenario
from tests.support.client import BASE

ROUNDS, AT_ONCE = 20, 50
CANDY, CANDY_GOLD, CAP = 2, 5, 100
EXPECTED = {"success": CAP // CANDY_GOLD, "over_day_cap": AT_ONCE - CAP // CANDY_GOLD}
SIZE = RunSize(
    clients=16,
    rooms=1,
    processes=2,
    proxied=False,
    gifts=False,
    settings={"QLIVE_GIVING__DAY_GOLD": str(CAP)},
)


async def gifts_at_a_cap(config: RunConfig) -> RunReport:
    """Each round has a new giver, half of them in the room; `seconds` has no effect."""
    async with started_run(config.folder, config.size, config.seed) as run:
        started = time.monotonic()
        run.start_load()
        for number in range(ROUNDS):
            await _give(run, number)
        await run.settle()
        await check_invariants(run)
        return make_report(run, "caps", time.monotonic() - started, rounds=ROUNDS)


async def _give(run: Run, number: int) -> None:
    """Each gift is sent again to the other server, which has to give the same answer."""
    room = run.rooms[0]
    is_guest = number % 2 == 1
    giver = room.guests[number // 2] if is_guest else await run.create_user(f"giver{number}", 1)
    grant = {"gold": 2 * CAP, "reason": "chaos", "request_id": giver.id}
    await run.api.ops_request("POST", f"users/{giver.id}/grant", **grant)
    sent = range(AT_ONCE)
    answers = await asyncio.gather(*(_send(run, giver, room.host, n, n % 2) for n in sent))
    repeated = await asyncio.gather(*(_send(run, giver, room.host, n, 1 - n % 2) for n in sent))
    limits = (await giver.get("qlive_user/giving_limits/")).json
    account = (await giver.get("qlive_user/get_userinfo/")).json
    found = Counter(answers), limits["day"]["given"], account["gold"]
    if answers != repeated or found != (Counter(EXPECTED), CAP, CAP):
        run.violations.add("not_the_cap", f"{giver.name}: {found}, repeated {Counter(repeated)}")


async def _send(run: Run, giver: FleetUser, host: FleetUser, number: int, node: int) -> str:
    gift: dict[str, str | int] = {"user_id": host.id, "gift_id": CANDY, "confirm": "true"}
    gift["request_id"] = f"{giver.name}-{number}"
    reply = await run.api.request(
        "GET",
        f"{BASE}qlive_gift/push_gift/",
        node=run.fleet.nodes[node],
        params=gift,
        headers=giver.headers,
    )
    return str(reply.json.get("code") or reply.json["status"])


SCENARIO = Scenario(gifts_at_a_cap, "50 gifts at once at a cap, 20 times", SIZE, 1)
