"""`python -m chaos.flood`: hostile accounts send every kind of request to nginx.

A program of its own, so that its load is not that of the clients whose latency is measured. Reads a
Flood as JSON from stdin and prints the number of responses by kind and status as JSON.
"""

import asyncio
import contextlib
import itertools
import json
import os
import random
import ssl
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

BASE = "/wx/api/qlive/"
RECONNECT_SECONDS = 0.2
PAUSE_SECONDS = 0.05
"""After each response; with all its connections, an account sends 20 times what nginx passes."""
NICE = 10
"""The attackers have machines of their own; here they must not take the servers' cores."""


@dataclass(frozen=True, slots=True)
class Attacker:
    """A signed-in account; `address` is the local one that its connections come from."""

    token: str
    address: str


@dataclass(frozen=True, slots=True)
class Flood:
    """`port` of nginx; the attackers are in the room `live_id`, whose host is `host_id`."""

    port: int
    attackers: list[Attacker]
    live_id: int
    host_id: str
    app_id: str
    seconds: float

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: str) -> "Flood":
        given = json.loads(text)
        return cls(**{**given, "attackers": [Attacker(**row) for row in given["attackers"]]})


UNVERIFIED = ssl._create_unverified_context()  # noqa: SLF001, S323 - the certificate is made here
Call = tuple[str, str, dict[str, Any] | None]
"""Method, path, JSON body."""


def calls(flood: Flood) -> dict[str, Iterator[Call]]:
    """Endless requests by kind."""
    room = {"live_id": flood.live_id}
    gift = {"user_id": flood.host_id, "gift_id": 1, "num": 1}
    apply, refuse, accept = (
        _post(f"qlive_room/{name}_micro/", **room) for name in ("apply", "refuse", "accept")
    )
    leave = _get("qlive_room/leave_micro/", **room)
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
        "ops": itertools.cycle([("GET", "/ops/api/overview", None)]),
    }


def _get(path: str, **query: object) -> Call:
    return "GET", f"{BASE}{path}?{urlencode(query)}", None


def _post(path: str, **body: object) -> Call:
    return "POST", BASE + path, body


def _any_user_id() -> int:
    return random.randint(10_000_000, 99_999_999)


async def send_all(flood: Flood) -> dict[str, Counter[str]]:
    """One connection for each attacker and kind of request, until the time is over."""
    counts: dict[str, Counter[str]] = {}
    deadline = time.monotonic() + flood.seconds
    work = []
    for attacker in flood.attackers:
        for kind, requests in calls(flood).items():
            count = counts.setdefault(kind, Counter())
            work.append(_send(flood.port, attacker, requests, count, deadline))
    await asyncio.gather(*work)
    return counts


async def _send(
    port: int, attacker: Attacker, requests: Iterator[Call], count: Counter[str], deadline: float
) -> None:
    while (left := deadline - time.monotonic()) > 0:
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(left):
                await _send_on_one_connection(port, attacker, requests, count)
        if time.monotonic() < deadline:
            count["disconnected"] += 1
            await asyncio.sleep(RECONNECT_SECONDS)


async def _send_on_one_connection(
    port: int, attacker: Attacker, requests: Iterator[Call], count: Counter[str]
) -> None:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=UNVERIFIED, local_addr=(attacker.address, 0)
    )
    try:
        for call in requests:
            writer.write(encode(call, attacker))
            count[await _status(reader)] += 1
            await asyncio.sleep(PAUSE_SECONDS)
    finally:
        writer.close()


def encode(call: Call, attacker: Attacker) -> bytes:
    """The request; the operators' API is sent a wrong token."""
    method, path, body = call
    content = b"" if body is None else json.dumps(body).encode()
    wrong = f"Bearer {attacker.token}"
    authorization = wrong if path.startswith("/ops/") else f"QLiveToken {attacker.token}"
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: qlive\r\nAuthorization: {authorization}\r\n"
        f"Content-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def _status(reader: asyncio.StreamReader) -> str:
    """Read one response; its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    await reader.readexactly(int(headers.get("content-length", "0")))
    return head.split(" ", 2)[1]


def main() -> None:
    os.nice(NICE)
    counts = asyncio.run(send_all(Flood.from_json(sys.stdin.read())))
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
