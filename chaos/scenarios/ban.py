"""A ban, removal or sign-out under load reaches REST, sockets, IM and the stream everywhere."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from chaos.api import FleetApi, FleetUser
from chaos.fleet import Node, RunSize
from chaos.report import RunReport, rounded
from chaos.run import Run
from chaos.scenario import Scenario, under_load
from chaos.websocket_client import RoomClient
from tests.support.client import Reply
from tests.support.waiting import until

WITHIN_SECONDS = 2.0
ROUNDS = 5
"""Guests who are banned, as many who are put out, and as many who sign out."""
ENTER, READS = "get_playurl/", ("get_livelist/", "qlive_user/get_userinfo/")
"""Calls that are refused to a removed guest, and to a banned or signed-out user."""
REFUSED = (401, 403)
WAIT_SECONDS = 60.0
SIZE = RunSize(clients=96, rooms=4, pause=0.3)


class Removal(NamedTuple):
    """A way to remove a guest, called with the API of a server, host and guest."""

    send: Callable[[FleetApi, FleetUser, FleetUser], Awaitable[Reply]]
    code: int
    """Close code of the socket."""
    paths: Sequence[str]
    """Calls that are refused afterwards."""
    reaches_im: bool = True


REMOVALS = {
    "ban": Removal(
        lambda api, _host, guest: api.ops_request(
            "PATCH", f"users/{guest.id}", banned=True, ban_reason="chaos"
        ),
        4503,
        (ENTER, *READS),
    ),
    "put_out": Removal(
        lambda _api, host, guest: host.post(
            "qlive_room/put_out/", live_id=host.live_id, user_id=guest.id, minutes=60
        ),
        4503,
        (ENTER,),
    ),
    "log_out": Removal(
        lambda _api, _host, guest: guest.get("qlive_user/logout/"),
        4401,
        (ENTER, *READS),
        reaches_im=False,
    ),
}


async def ban_everywhere(run: Run, report: RunReport, _seconds: float) -> None:
    """Remove guests who sit in the last room, which has no load of its own."""
    for number in range(ROUNDS):
        for name in REMOVALS:
            for channel, seconds in (await _remove(run, name, number)).items():
                require_soon(report, f"{name}_{channel}", seconds)


def require_soon(report: RunReport, name: str, seconds: float) -> None:
    """Require that the longest of all these times is at most WITHIN_SECONDS."""
    metric = f"{name}_after_max"
    if metric not in report.metrics:
        report.require(metric, WITHIN_SECONDS)
    report.metrics[metric] = max(report.metrics.get(metric, 0.0), rounded(seconds) or 0.0)


async def _remove(run: Run, name: str, number: int) -> dict[str, float]:
    """Seconds from the response to the removal until each channel is closed to the guest."""
    removal, host, nodes = REMOVALS[name], run.rooms[-1].host, run.fleet.nodes
    guest, stream = await seat_guest(run, f"{name}{number}", host.live_id)
    room = {"live_id": host.live_id}
    group_id = (await guest.get("qlive_user/get_user_state/")).json["group_id"]
    client = run.create_client(guest)
    client.start()

    async def are_refused(paths: Sequence[str]) -> bool:
        """Whether every server refuses these calls."""
        calls = (guest.through(node).get(path, **room) for path in paths for node in nodes)
        return all(reply.status in REFUSED for reply in await asyncio.gather(*calls))

    simulator = run.fleet.tencent.simulator
    channels: dict[str, Callable[[], bool | Awaitable[bool]]] = {
        "socket": lambda: client.final_code == removal.code,
        "rest": lambda: are_refused(removal.paths),
    }
    if removal.reaches_im:
        channels["mute"] = lambda: simulator.im.is_muted(group_id, guest.id)
        channels["stream"] = lambda: stream in simulator.live_streaming.dropped
    if name == "ban":
        channels["kick"] = lambda: guest.id in simulator.im.kicked
    try:
        # IM answers a kick of an account that sign-in has not made yet with success.
        await until(lambda: client.connected and guest.id in simulator.im.accounts, 10)
        await are_refused(READS)  # each server keeps the token's owner for half a minute
        api = run.api.at(nodes[number % len(nodes)])
        reply = await removal.send(api, host.through(api), guest.through(api))
        if not reply.succeeded:
            run.violations.add("unexpected_response", f"{name}: {reply}")
        delays = await asyncio.gather(*map(seconds_until, channels.values()))
        for node in nodes:
            await _check_resume_refused(run, name, client, node)
        return dict(zip(channels, delays, strict=True))
    finally:
        client.stop()
        if name == "log_out":  # a later guest needs the seat
            await host.get("qlive_room/leave_micro/", user_id=guest.id, **room)


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
    return guest, seated.json["push_url"].partition("?")[0].rpartition("/")[2]


async def seconds_until(check: Callable[[], bool | Awaitable[bool]]) -> float:
    """Seconds from now until `check` is true; WAIT_SECONDS if it is not by then."""
    started = time.monotonic()
    with suppress(AssertionError):
        await until(check, WAIT_SECONDS)
    return time.monotonic() - started


SCENARIO = Scenario(
    under_load(ban_everywhere, quiet=1),
    "bans, removals and sign-outs reach REST, sockets, IM and streams",
    SIZE,
    0,
)
