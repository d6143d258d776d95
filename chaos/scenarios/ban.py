"""A ban or removal under load reaches REST, sockets, IM and the stream within two seconds."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from chaos.fleet import Node
from chaos.http_client import BASE, ApiUser
from chaos.invariants import check_invariants
from chaos.report import RunReport, make_report, rounded
from chaos.run import Run, RunSize, started_run
from chaos.scenario import RunConfig, Scenario
from chaos.scenarios.out import Removal, ban, put_out
from chaos.seated_guest import seat_guest, seconds_until

WITHIN_SECONDS = 2.0
ROUNDS = 5
"""Guests who are banned, and as many who are put out."""
ENTER, READS = "get_playurl/", ("get_livelist/", "qlive_user/get_userinfo/")
"""What a removed guest may not do, and a banned user neither."""
REFUSED = (401, 403)
REMOVALS: dict[str, Removal] = {"ban": ban, "put_out": put_out}
QUICK = RunSize(clients=96, rooms=4, pause=0.3, rejoins=False)
FULL = RunSize(clients=200, rooms=8, pause=0.3, rejoins=False)


async def ban_everywhere(config: RunConfig) -> RunReport:
    """The removed guests sit in the last room, which has no load of its own."""
    async with started_run(config.folder, config.size, config.seed) as run:
        started, worst = time.monotonic(), dict[str, float]()
        run.start_load(quiet=1)
        for number in range(ROUNDS):
            for name in REMOVALS:
                for channel, seconds in (await _remove(run, name, number)).items():
                    key = f"{name}_{channel}_after_max"
                    worst[key] = max(worst.get(key, 0.0), seconds)
        await run.settle()
        await check_invariants(run)
        metrics = {key: rounded(seconds) for key, seconds in worst.items()}
        report = make_report(run, "ban", time.monotonic() - started, **metrics)
        for key in metrics:
            report.require(key, WITHIN_SECONDS)
        return report


async def _remove(run: Run, name: str, number: int) -> dict[str, float]:
    """Seconds from the response to the removal until each channel is closed to the guest."""
    room, nodes = run.rooms[-1], run.fleet.nodes
    guest, stream = await seat_guest(run, f"{name}{number}", room.live_id)
    group_id = (await guest.get("qlive_user/get_user_state/")).json["group_id"]
    client = run.create_client(guest)
    client.start()
    try:
        await run.wait_until(lambda: client.connected, 10)
        for node in nodes:  # each of them keeps the token's owner for half a minute
            for path in READS:
                await _status(run, guest, path, node)
        response = await REMOVALS[name](run, room.host, guest, nodes[number % len(nodes)])
        if not response.ok:
            run.violations.add("unexpected_response", f"{name}: {response}")
        channels = {
            "socket": lambda: client.final_code == 4503,
            "stream": lambda: stream in run.fleet.tencent.simulator.live.dropped,
            **_in_im(run, name, guest, group_id),
        }
        paths = (ENTER, *READS) if name == "ban" else (ENTER,)
        rest = asyncio.create_task(_refused_everywhere(run, guest, paths))
        return {**await _delays(channels), "rest": await rest}
    finally:
        client.stop()


async def _delays(channels: Mapping[str, Callable[[], bool]]) -> dict[str, float]:
    delays = await asyncio.gather(*map(seconds_until, channels.values()))
    return dict(zip(channels, delays, strict=True))


def _in_im(run: Run, name: str, guest: ApiUser, group_id: str) -> dict[str, Callable[[], bool]]:
    """What the simulated IM has to show of a ban or a removal."""
    sanctions = run.fleet.tencent.simulator.im.sanctions
    muted = {"mute": lambda: sanctions.is_muted(group_id, guest.id)}
    return {**muted, "kick": lambda: guest.id in sanctions.kicked} if name == "ban" else muted


async def _refused_everywhere(run: Run, guest: ApiUser, paths: Sequence[str]) -> float:
    """Seconds until every server refuses these calls."""
    started = time.monotonic()
    for path in paths:
        for node in run.fleet.nodes:
            while await _status(run, guest, path, node) not in REFUSED:
                await asyncio.sleep(0.01)
    return time.monotonic() - started


async def _status(run: Run, guest: ApiUser, path: str, node: Node) -> int:
    room = {"live_id": guest.live_id}
    return (await run.api.request("GET", BASE + path, room, guest.headers, node)).status


SCENARIO = Scenario(
    ban_everywhere, "bans and removals reach REST, sockets, IM and streams", (QUICK, 0), (FULL, 0)
)
