"""Five accounts flood every kind of request: the other users are not affected."""

import asyncio
import itertools
import multiprocessing
import os
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import aiohttp

from chaos.alerts import AlertCheck, require_alerts
from chaos.fleet import RunSize
from chaos.load import gift_actors, mic_actors
from chaos.report import RunReport, in_ms, percentile, rounded
from chaos.run import Run
from chaos.scenario import Scenario, under_load
from tests.support.client import BASE
from tests.support.nginx import Nginx
from tests.support.promtool import INTERVAL

ALERTS = ("QLiveFlood",)
ATTACKERS = 5
PHASES = 3
"""Pairs of phases, without and with the flood in turn, so that drift affects both alike."""
PHASE_SECONDS = 60
PAUSE, GIFT_PAUSE = 3.0, 1.0
"""Pauses of normal users; their 99th percentile needs a few thousand requests, and a host may not
meet her limit of changes."""
SCRAPE_SECONDS = float(INTERVAL)
"""As in production: the rule is about a rate."""
RATIO = 1.3
"""Most that the 99th percentile of the latencies may grow."""
USUAL_LIMITS = {"QLIVE_LIMITS__FACTOR": "1"}
"""Other scenarios turn the limits off."""
RECONNECT_SECONDS = 0.2
PAUSE_SECONDS = 0.05
"""After each response; with all its connections, an account sends 20 times what nginx passes."""
NICE = 10
"""Niceness of the process. It must not take the cores of the servers."""
Call = tuple[str, str, dict[str, Any]]
"""Method, path, and options of aiohttp."""
Responses = dict[str, Counter[str]]
"""Number of responses by kind of request and status."""
SIZE = RunSize(
    clients=300,
    rooms=10,
    processes=1,
    pause=PAUSE,
    proxied=False,
    gifts=False,
    settings=USUAL_LIMITS,
)


@dataclass(frozen=True, slots=True)
class Flood:
    """`port` of nginx; the attackers are in the room `live_id`, whose host is `host_id`."""

    port: int
    tokens: list[str]
    """Of the attackers, each of whom has an address of their own."""
    live_id: int
    host_id: str
    app_id: str
    seconds: float


def calls(flood: Flood) -> dict[str, Iterator[Call]]:
    """Endless requests by kind."""
    room = {"live_id": flood.live_id}
    gift = {"user_id": flood.host_id, "gift_id": 1, "num": 1}
    apply, refuse, accept = (
        _post(f"qlive_room/{name}_micro/", **room) for name in ("apply", "refuse", "accept")
    )
    leave = _get("qlive_room/leave_micro/", **room)
    wrong = {"headers": {"Authorization": "Bearer wrong"}}
    numbers = itertools.count()
    return {
        "guess": (
            _get("qlive_user/get_userinfo/", user_id=random.randint(10_000_000, 99_999_999))
            for _ in numbers
        ),
        "apply": itertools.cycle([apply, refuse]),
        "sit": itertools.cycle([apply, accept, leave]),
        "enter": itertools.cycle([_get("get_playurl/", **room)]),
        "rename": (_post("qlive_user/update_userinfo/", nickname=f"x{n}") for n in numbers),
        "login": (
            _post("qlive_user/login/", appId=flood.app_id, code=f"bogus{n}") for n in numbers
        ),
        "order": itertools.cycle([_post("qlive_pay/", block_id=1)]),
        "gift": itertools.cycle([_get("qlive_gift/push_gift/", **gift)]),
        "like": (_post("qlive_like/", user_id=flood.host_id, like_state=n % 2) for n in numbers),
        "notify": (_post("qlive_pay/notify/", id=f"forged{n}") for n in numbers),
        "ops": itertools.cycle([("GET", "/ops/api/overview", wrong)]),
    }


def _get(path: str, **query: str | int) -> Call:
    return "GET", BASE + path, {"params": query}


def _post(path: str, **body: object) -> Call:
    return "POST", BASE + path, {"json": body}


def run_flood(flood: Flood) -> Responses:
    """Have one connection for each attacker and kind of request, until the time is over."""
    return asyncio.run(_send_all(flood))


async def _send_all(flood: Flood) -> Responses:
    responses: Responses = {kind: Counter() for kind in calls(flood)}
    deadline = time.monotonic() + flood.seconds
    sending = (
        _attack(flood, token, f"127.0.1.{number}", responses, deadline)
        for number, token in enumerate(flood.tokens, 1)
    )
    await asyncio.gather(*sending)
    return responses


async def _attack(
    flood: Flood, token: str, address: str, responses: Responses, deadline: float
) -> None:
    # The certificate of nginx is made by this run.
    connector = aiohttp.TCPConnector(ssl=False, local_addr=(address, 0))
    root, headers = f"https://127.0.0.1:{flood.port}", {"Authorization": f"QLiveToken {token}"}
    async with aiohttp.ClientSession(root, headers=headers, connector=connector) as session:
        kinds = calls(flood).items()
        await asyncio.gather(
            *(_send(session, requests, responses[kind], deadline) for kind, requests in kinds)
        )


async def _send(
    session: aiohttp.ClientSession, requests: Iterator[Call], count: Counter[str], deadline: float
) -> None:
    while (left := deadline - time.monotonic()) > 0:
        method, path, options = next(requests)
        try:
            timeout = aiohttp.ClientTimeout(total=left)
            async with session.request(method, path, timeout=timeout, **options) as response:
                await response.read()
            count[str(response.status)] += 1
            await asyncio.sleep(PAUSE_SECONDS)
        except (aiohttp.ClientError, OSError, TimeoutError):
            if time.monotonic() < deadline:
                count["disconnected"] += 1
                await asyncio.sleep(RECONNECT_SECONDS)


async def hostile(run: Run, report: RunReport, seconds: float) -> None:
    """`seconds`: the length of each phase."""
    room, fleet = run.rooms[0], run.fleet
    loop, spawn = asyncio.get_running_loop(), multiprocessing.get_context("spawn")
    # In a process of its own, the load is not that of the clients that are measured.
    pool = ProcessPoolExecutor(1, spawn, initializer=os.nice, initargs=(NICE,))
    (fleet.folder / "nginx").mkdir()
    nginx = Nginx(fleet.folder / "nginx", fleet.nodes[0].port, fleet.nodes[0].port)
    nginx.start()
    alerts = AlertCheck(fleet.nodes)
    scraping = asyncio.create_task(alerts.record(24 * 60, SCRAPE_SECONDS))
    try:
        attackers = [
            await run.create_guest(f"attacker{n}", 1, room.live_id) for n in range(ATTACKERS)
        ]
        app_id = (await fleet.tencent.simulate("/phone/login", name="attacker0", gender=1))["appId"]
        tokens = [attacker.token for attacker in attackers]
        flood = Flood(nginx.port, tokens, room.live_id, room.host.id, app_id, seconds)
        actors = [actor for room in run.rooms for actor in gift_actors(room, GIFT_PAUSE)]
        for other_room in run.rooms[1:]:  # the attackers take the seats of the first
            actors += mic_actors(other_room, run.size.pause)
        run.actors += map(asyncio.ensure_future, actors)
        await loop.run_in_executor(pool, os.getpid)  # starts the process
        await asyncio.sleep(seconds / 2)  # warm-up
        without, during = list[list[float]](), list[list[float]]()
        responses: Responses = {}
        for _ in range(PHASES):
            without.append(await _latencies(run, seconds))
            flooding = loop.run_in_executor(pool, run_flood, flood)
            during.append(await _latencies(run, seconds))
            for kind, statuses in (await flooding).items():
                responses.setdefault(kind, Counter()).update(statuses)
        pool.shutdown()
        for attacker in attackers:
            await attacker.get("qlive_room/leave_room/", live_id=room.live_id)
        await require_alerts(report, alerts, *ALERTS)
    finally:
        scraping.cancel()
        nginx.stop()
    quiet, flooded = _p99(itertools.chain(*without)), _p99(itertools.chain(*during))
    pairs = zip(without, during, strict=True)
    report.metrics |= {
        "answers_without": sum(map(len, without)),
        "answers_with": sum(map(len, during)),
        "without_ms_p99": in_ms(quiet),
        "with_ms_p99": in_ms(flooded),
        "p99_ratio": rounded(flooded / quiet),
        "p99_ratios": [rounded(_p99(later) / _p99(earlier)) for earlier, later in pairs],
        "flood": responses,
    }
    report.require("p99_ratio", RATIO)
    report.require("lost", 0)


async def _latencies(run: Run, seconds: float) -> list[float]:
    """Seconds until the response of every request that began within `seconds` from now."""
    first = time.time()
    await asyncio.sleep(seconds)
    return [took for at, took in run.metrics.answers if at >= first]


def _p99(seconds: Iterable[float]) -> float:
    return percentile([*seconds], 0.99) or 0.0


SCENARIO = Scenario(
    under_load(hostile, quiet=SIZE.rooms),
    "five accounts flood every kind of request, through nginx",
    SIZE,
    PHASE_SECONDS,
    rounds=2 * PHASES + 1,
    alerts=ALERTS,
)
