"""Hostile accounts, which send every kind of request to nginx."""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.support.client import BASE

RECONNECT_SECONDS = 0.2
PAUSE_SECONDS = 0.05
"""After each response; with all its connections, an account sends 20 times what nginx passes."""
NICE = 10
"""Niceness of the process. It must not take the cores of the servers."""
Call = tuple[str, str, dict[str, Any]]
"""Method, path, and options of aiohttp."""
Responses = dict[str, Counter[str]]
"""Number of responses by kind of request and status."""


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


def run_flood(flood: Flood) -> Responses:
    """Send until the time is over, in an event loop of its own."""
    return asyncio.run(send_all(flood))


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
        "guess": (_get("qlive_user/get_userinfo/", user_id=_any_user_id()) for _ in numbers),
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


def _any_user_id() -> int:
    return random.randint(10_000_000, 99_999_999)


async def send_all(flood: Flood) -> Responses:
    """One connection for each attacker and kind of request, until the time is over."""
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
    session: aiohttp.ClientSession,
    requests: Iterator[Call],
    count: Counter[str],
    deadline: float,
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
