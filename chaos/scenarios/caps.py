"""Fifty gifts of one user at once, over two servers, reach exactly the cap of a day."""

import asyncio
from collections import Counter

from chaos.api import FleetUser, grant
from chaos.fleet import RunSize
from chaos.report import RunReport
from chaos.run import Run
from chaos.scenario import Scenario, under_load

ROUNDS, GIFTS = 20, 50
CANDY, CANDY_GOLD, CAP = 2, 5, 100
EXPECTED = {"success": CAP // CANDY_GOLD, "over_day_cap": GIFTS - CAP // CANDY_GOLD}
SIZE = RunSize(
    clients=16,
    rooms=1,
    processes=2,
    proxied=False,
    gifts=False,
    settings={"QLIVE_GIVING__DAY_GOLD": str(CAP)},
)


async def gifts_at_a_cap(run: Run, report: RunReport, _seconds: float) -> None:
    """Each round has a new giver, half of them in the room; `seconds` has no effect."""
    for number in range(ROUNDS):
        await _give(run, number)
    report.metrics["rounds"] = ROUNDS


async def _give(run: Run, number: int) -> None:
    """Each gift is sent again to the other server, which has to give the same answer."""
    room, api = run.rooms[0], run.api
    is_guest = number % 2 == 1
    giver = room.guests[number // 2] if is_guest else await api.sign_in(f"giver{number}", 1)
    await grant(api, giver, 2 * CAP)
    servers = [giver.through(api.at(node)) for node in run.fleet.nodes]
    sent = range(GIFTS)
    answers = await asyncio.gather(*(_send(servers[n % 2], room.host, n) for n in sent))
    repeated = await asyncio.gather(*(_send(servers[1 - n % 2], room.host, n) for n in sent))
    limits = (await giver.get("qlive_user/giving_limits/")).json
    account = (await giver.get("qlive_user/get_userinfo/")).json
    found = Counter(answers), limits["day"]["given"], account["gold"]
    if answers != repeated or found != (Counter(EXPECTED), CAP, CAP):
        run.violations.add("not_the_cap", f"{giver.name}: {found}, repeated {Counter(repeated)}")


async def _send(giver: FleetUser, host: FleetUser, number: int) -> str:
    gift = {"user_id": host.id, "gift_id": CANDY, "request_id": f"{giver.name}-{number}"}
    reply = await giver.get("qlive_gift/push_gift/", **gift, confirm="true")
    return str(reply.json.get("code") or reply.json["status"])


SCENARIO = Scenario(under_load(gifts_at_a_cap), "50 gifts at once at a cap, 20 times", SIZE, 1)
