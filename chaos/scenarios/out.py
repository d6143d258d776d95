"""A user who is banned, removed or signed out receives no more events from any process."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from chaos.fleet import Node
from chaos.http_client import BASE, ApiResponse, ApiUser
from chaos.invariants import check_invariants
from chaos.report import RunReport, make_report
from chaos.run import Run, RunSize, started_run
from chaos.scenario import RunConfig, Scenario
from chaos.websocket_client import PATH, RoomClient
from chaos.websocket_protocol import WebSocketConnection, handshake

WITHIN_SECONDS = 1.0
LISTEN_SECONDS = 4.0
PROBE_SECONDS = 8.0
QUICK = RunSize(clients=48, rooms=4, pause=0.3, rejoins=False)
FULL = RunSize(clients=200, rooms=8, pause=0.3, rejoins=False)
Removal = Callable[[Run, ApiUser, ApiUser, Node], Awaitable[ApiResponse]]
"""Called with the run, the host, the user to be removed, and the node to call."""


async def ban(run: Run, _host: ApiUser, user: ApiUser, node: Node) -> ApiResponse:
    body = {"banned": True, "ban_reason": "chaos"}
    headers = {"Authorization": f"Bearer {run.fleet.ops_token}"}
    path = f"/ops/api/users/{user.id}"
    return await run.api.request("PATCH", path, body, headers, node)


async def put_out(run: Run, host: ApiUser, user: ApiUser, node: Node) -> ApiResponse:
    body = {"live_id": host.live_id, "user_id": user.id, "minutes": 60}
    path = f"{BASE}qlive_room/put_out/"
    return await run.api.request("POST", path, body, host.headers, node)


async def log_out(run: Run, _host: ApiUser, user: ApiUser, node: Node) -> ApiResponse:
    return await run.api.request("GET", f"{BASE}qlive_user/logout/", {}, user.headers, node)


REMOVALS: dict[str, tuple[Removal, int]] = {
    "ban": (ban, 4503),
    "put_out": (put_out, 4503),
    "log_out": (log_out, 4401),
}
"""Each kind of removal with its close code."""


async def out(config: RunConfig) -> RunReport:
    """Remove a user of each process in every way, by a request to another process."""
    async with started_run(config.folder, config.size, config.seed) as run:
        started, rng = time.monotonic(), run.rng("removals")
        run.start_load()
        delays = [
            await _remove(run, name, node, rng) for name in REMOVALS for node in run.fleet.nodes
        ]
        await run.settle()
        await check_invariants(run)
        worst = round(max(delays), 2)
        report = make_report(run, "out", time.monotonic() - started, last_event_after=worst)
        report.require("silence_timeouts", 0)
        return report


async def _remove(run: Run, name: str, node: Node, rng: random.Random) -> float:
    """Seconds from the response until the removed user's last event."""
    removal, code = REMOVALS[name]
    room, other = rng.choice(run.rooms), _other_node(rng, run.fleet.nodes, node)
    user = await run.create_guest(f"{name}{node.number}", 1, room.live_id)
    client = run.create_client(user)
    client.pinned_node = node
    client.start()
    try:
        await run.wait_until(lambda: client.connected, 10)
        response = await removal(run, room.host, user, other)
        if not response.ok:
            run.violations.add("unexpected_response", f"{name}: {response}")
        delay = await _last_event_after(client, LISTEN_SECONDS)
        _check_removed(run, f"{name} on server {node.number}", client, delay, code)
        for target in run.fleet.nodes:
            await _check_resume_rejected(run, name, client, target, code)
        return delay
    finally:
        client.stop()


def _check_removed(run: Run, name: str, client: RoomClient, delay: float, code: int) -> None:
    if delay > WITHIN_SECONDS:
        run.violations.add("event_after_removal", f"{name}: {delay:.2f} s after the response")
    if client.final_code != code:
        run.violations.add("wrong_close_code", f"{name}: {client.final_code} instead of {code}")


async def _last_event_after(client: RoomClient, seconds: float) -> float:
    """Watch the client for `seconds`; returns when, in seconds from now, its last event came."""
    started, last, count = time.monotonic(), 0.0, client.checker.deliveries
    while time.monotonic() - started < seconds:
        await asyncio.sleep(0.02)
        if client.checker.deliveries != count:
            last, count = time.monotonic() - started, client.checker.deliveries
    return last


async def _check_resume_rejected(
    run: Run, name: str, client: RoomClient, node: Node, code: int
) -> None:
    """Resume with the old token at this node: only a bye, and the same close code."""
    checker, frames = client.checker, list[Any]()
    path = f"{PATH}?live_id={checker.live_id}&epoch={checker.epoch}&since={checker.seq}"
    connection = WebSocketConnection(
        handshake(path, client.token), lambda text: frames.append(run.timelines.parse(text))
    )
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: connection, "127.0.0.1", node.port)
    try:
        closed_with = await asyncio.wait_for(connection.closed, PROBE_SECONDS)
    except TimeoutError:
        closed_with = 0
    connection.abort()
    types = [frame["type"] for frame in frames]
    if closed_with != code or types != ["bye"]:
        words = f"{name} at server {node.number}: {closed_with}, {types}"
        run.violations.add("readmitted", words)


def _other_node(rng: random.Random, nodes: list[Node], node: Node) -> Node:
    return rng.choice([other for other in nodes if other is not node] or nodes)


SCENARIO = Scenario(out, "bans, removals and sign-outs reach every process", (QUICK, 0), (FULL, 0))
