"""A ban, removal or sign-out under load reaches REST, sockets, IM and the stream everywhere."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from chaos.api import FleetUser
from chaos.fleet import Node
from chaos.invariants import check_invariants
from chaos.report import RunReport, make_report, rounded
from chaos.run import Run, RunSize, started_run
from chaos.scenario import RunConfig, Scenario
from chaos.websocket_client import RoomClient
from tests.support.client import BASE, Reply

WITHIN_SECONDS = 2.0
ROUNDS = 5
"""Guests who are banned, as many who are put out, and as many who sign out."""
ENTER, READS = "get_playurl/", ("get_livelist/", "qlive_user/get_userinfo/")
"""Calls that are refused to a removed guest, and to a banned or signed-out user."""
REFUSED = (401, 403)
WAIT_SECONDS = 60.0
POLL_SECONDS = 0.01
SIZE = RunSize(clients=96, rooms=4, pause=0.3)


class Removal(NamedTuple):
    """A way to remove a guest, called with run, host, guest and node, and what it closes."""

    send: Callable[[Run, FleetUser, FleetUser, Node], Awaitable[Reply]]
    code: int
    """Close code of the socket."""
    paths: Sequence[str]
    """Calls that are refused afterwards."""
    reaches_im: bool = True


async def _ban(run: Run, _host: FleetUser, guest: FleetUser, node: Node) -> Reply:
    headers = {"Authorization": f"Bearer {run.fleet.ops_token}"}
    body = {"banned": True, "ban_reason": "chaos"}
    path = f"/ops/api/users/{guest.id}"
    return await run.api.request("PATCH", path, node=node, json=body, headers=headers)


async def _put_out(run: Run, host: FleetUser, guest: FleetUser, node: Node) -> Reply:
    body = {"live_id": host.live_id, "user_id": guest.id, "minutes": 60}
    path = f"{BASE}qlive_room/put_out/"
    return await run.api.request("POST", path, node=node, json=body, headers=host.headers)


async def _log_out(run: Run, _host: FleetUser, guest: FleetUser, node: Node) -> Reply:
    path = f"{BASE}qlive_user/logout/"
    return await run.api.request("GET", path, node=node, headers=guest.headers)


REMOVALS = {
    "ban": Removal(_ban, 4503, (ENTER, *READS)),
    "put_out": Removal(_put_out, 4503, (ENTER,)),
    "log_out": Removal(_log_out, 4401, (ENTER, *READS), reaches_im=False),
}


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
    removal, room, nodes = REMOVALS[name], run.rooms[-1], run.fleet.nodes
    guest, stream = await seat_guest(run, f"{name}{number}", room.live_id)
    group_id = (await guest.get("qlive_user/get_user_state/")).json["group_id"]
    client = run.create_client(guest)
    client.start()
    try:
        await run.wait_until(lambda: client.connected, 10)
        for node in nodes:  # each of them keeps the token's owner for half a minute
            for path in READS:
                await _status(run, guest, path, node)
        reply = await removal.send(run, room.host, guest, nodes[number % len(nodes)])
        if not reply.succeeded:
            run.violations.add("unexpected_response", f"{name}: {reply}")
        channels = {
            "socket": lambda: client.final_code == removal.code,
            **(_in_tencent(run, name, guest, group_id, stream) if removal.reaches_im else {}),
        }
        rest = asyncio.create_task(_refused_everywhere(run, guest, removal.paths))
        delays = {**await _delays(channels), "rest": await rest}
        for node in nodes:
            await _check_resume_refused(run, name, client, node)
        return delays
    finally:
        client.stop()
        if name == "log_out":  # a later guest needs the seat
            leave = {"live_id": room.live_id, "user_id": guest.id}
            await room.host.get("qlive_room/leave_micro/", **leave)


async def _delays(channels: Mapping[str, Callable[[], bool]]) -> dict[str, float]:
    delays = await asyncio.gather(*map(seconds_until, channels.values()))
    return dict(zip(channels, delays, strict=True))


def _in_tencent(
    run: Run, name: str, guest: FleetUser, group_id: str, stream: str
) -> dict[str, Callable[[], bool]]:
    """Commands that the simulated IM and CSS have to receive after a ban or a removal."""
    simulator = run.fleet.tencent.simulator
    sanctions = simulator.im.sanctions
    kick = {"kick": lambda: guest.id in sanctions.kicked} if name == "ban" else {}
    return {
        "mute": lambda: sanctions.is_muted(group_id, guest.id),
        "stream": lambda: stream in simulator.live_streaming.dropped,
        **kick,
    }


async def _refused_everywhere(run: Run, guest: FleetUser, paths: Sequence[str]) -> float:
    """Seconds until every server refuses these calls."""
    started = time.monotonic()
    for path in paths:
        for node in run.fleet.nodes:
            while await _status(run, guest, path, node) not in REFUSED:
                await asyncio.sleep(0.01)
    return time.monotonic() - started


async def _status(run: Run, guest: FleetUser, path: str, node: Node) -> int:
    room = {"live_id": guest.live_id}
    url = f"http://127.0.0.1:{node.port}{BASE}{path}"
    return (await run.fleet.http.attempt("GET", url, params=room, headers=guest.headers)).status


async def _check_resume_refused(run: Run, name: str, client: RoomClient, node: Node) -> None:
    """Resume with the old token at this node: no frame of the room, and the same close code."""
    first_frames = client.checker.resumed + client.checker.snapshots
    client.pinned_node = node
    client.start()
    await asyncio.wait_for(client.wait_stopped(), 10)
    admitted = client.checker.resumed + client.checker.snapshots - first_frames
    if admitted or client.final_code != REMOVALS[name].code:
        run.violations.add("readmitted", f"{name} at {node.number}: {client.final_code}")


async def seat_guest(run: Run, name: str, live_id: int) -> tuple[FleetUser, str]:
    """Create a guest and let them take the male seat of a room; returns the stream's name, too."""
    guest = await run.create_guest(name, 1, live_id)
    await guest.post("qlive_room/apply_micro/", live_id=live_id)
    seated = await guest.post("qlive_room/accept_micro/", live_id=live_id)
    if not seated.succeeded:
        raise RuntimeError(f"{name} could not take the seat: {seated}")
    return guest, stream_of(seated.json["push_url"])


def stream_of(url: str) -> str:
    """The stream's name in an RTMP URL."""
    return url.partition("?")[0].rpartition("/")[2]


async def seconds_until(condition: Callable[[], bool]) -> float:
    """Seconds from now until the condition holds; WAIT_SECONDS if it does not by then."""
    started = time.monotonic()
    while not condition() and time.monotonic() - started < WAIT_SECONDS:
        await asyncio.sleep(POLL_SECONDS)
    return time.monotonic() - started


SCENARIO = Scenario(
    ban_everywhere,
    "bans, removals and sign-outs reach REST, sockets, IM and streams",
    SIZE,
    0,
)
