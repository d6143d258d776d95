"""A mute, ban, block or forbidden stream whose server is killed right after its answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from chaos.api import FleetUser
from chaos.fleet import Node, RunSize
from chaos.report import RunReport
from chaos.run import Run
from chaos.scenario import Scenario, under_load
from chaos.scenarios.ban import require_soon, seat_guest, seconds_until
from tests.support.callbacks import CallbackSender, proposed
from tests.support.client import Reply
from tests.support.waiting import until

BLOCKED_PICTURE = {"event_type": 317, "type": [2], "suggestion": "Block", "label": "Porn"}
"""CSS's report about a stream, without the stream's name."""
SIZE = RunSize(clients=96, rooms=4, pause=0.3)


class Target(NamedTuple):
    """A guest, the group of the room, and the guest's stream if they have the seat."""

    guest: FleetUser
    group_id: str
    stream: str = ""


class Place:
    """One of the servers, to which the guest, their host, IM and CSS send requests."""

    def __init__(self, run: Run, node: Node, target: Target) -> None:
        self.node, self.target = node, target
        host = run.rooms[-1].host
        self.room = {"live_id": host.live_id}
        self.host, self.guest = host.through(node), target.guest.through(node)
        self.callbacks = CallbackSender(node, run.fleet.settings)


class Sanction(NamedTuple):
    """A request that imposes it, one that it refuses, and the code of the refusal."""

    send: Callable[[Place], Awaitable[Reply]]
    ask: Callable[[Place], Awaitable[Reply]]
    code: str | int


def _report_stream(at: Place) -> Awaitable[Reply]:
    stream = at.target.stream
    picture = {**BLOCKED_PICTURE, "streamId": stream, "channelId": stream, "score": [99]}
    return at.callbacks.live({**picture, "img": f"http://example.com/{stream}.jpg"})


SANCTIONS = {
    "mute": Sanction(
        lambda at: at.host.post("qlive_room/mute/", user_id=at.guest.id, minutes=60, **at.room),
        lambda at: at.callbacks.im(proposed(at.guest.id, GroupId=at.target.group_id)),
        10101,
    ),
    "room_ban": Sanction(
        lambda at: at.host.post("qlive_room/put_out/", user_id=at.guest.id, minutes=60, **at.room),
        lambda at: at.guest.get("get_playurl/", **at.room),
        "put_out",
    ),
    "block": Sanction(
        lambda at: at.host.post("qlive_user/block/", user_id=at.guest.id, blocked=True),
        lambda at: at.guest.get("qlive_user/get_userinfo/", user_id=at.host.id),
        "blocked",
    ),
    "forbidden_stream": Sanction(
        _report_stream,
        lambda at: at.guest.post("qlive_room/accept_micro/", **at.room),
        "stream_forbidden",
    ),
}


async def _code(name: str, at: Place) -> str | int:
    """Return the code with which this server refuses; the status if there is none."""
    reply = await SANCTIONS[name].ask(at)
    answer = reply.json if 0 < reply.status < 500 else {}
    code: str | int = answer.get("code") or answer.get("ErrorCode") or reply.status
    return code


async def sanctions_despite_kills(run: Run, report: RunReport, _seconds: float) -> None:
    """Kill each server once. The sanctions are in the last room, without load of its own."""
    for node in run.fleet.nodes:
        for name, seconds in await _sanction(run, node):
            require_soon(report, name, seconds)


async def _sanction(run: Run, victim: Node) -> list[tuple[str, float]]:
    """Seconds from each answer until another server, IM or CSS acts by the sanction."""
    nodes, simulator = run.fleet.nodes, run.fleet.tencent.simulator
    targets = {name: await _target(run, f"{name}{victim.number}") for name in SANCTIONS}

    def places(name: str, at: Sequence[Node] = nodes) -> list[Place]:
        return [Place(run, node, targets[name]) for node in at]

    async def seconds_after(name: str, check: Callable[[], Any]) -> tuple[str, float]:
        waited = time.monotonic() - answered[name]
        return name, waited + await seconds_until(check)

    for name in SANCTIONS:  # each server knows the guest, and the room as it is
        await _check(run, name, places(name), in_force=False)
    answered = {}
    for name, sanction in SANCTIONS.items():
        reply = await sanction.send(*places(name, [victim]))
        answered[name] = time.monotonic()
        if not reply.succeeded:
            run.violations.add("unexpected_response", f"{name}: {reply}")
    victim.program.hold_down()
    others = [node for node in nodes if node is not victim]
    muted, forbidden = targets["mute"], targets["forbidden_stream"].stream
    checks: list[tuple[str, Callable[[], Any]]] = [
        ("mute", lambda: simulator.im.is_muted(muted.group_id, muted.guest.id)),
        ("forbidden_stream", lambda: forbidden in simulator.live_streaming.forbidden),
        *((name, partial(_refuses, name, at)) for name in SANCTIONS for at in places(name, others)),
    ]
    delays = await asyncio.gather(*(seconds_after(name, check) for name, check in checks))
    victim.program.release()
    await victim.wait_ready()
    await asyncio.gather(*map(_restart, nodes))
    for name in SANCTIONS:
        await _check(run, name, places(name), in_force=True)
        await targets[name].guest.get("qlive_room/leave_room/", live_id=run.rooms[-1].live_id)
    return delays


async def _target(run: Run, name: str) -> Target:
    live_id, stream = run.rooms[-1].live_id, ""
    if name.startswith("forbidden_stream"):
        guest, stream = await seat_guest(run, name, live_id)
    else:
        guest = await run.create_guest(name, 1, live_id)
    state = (await guest.get("qlive_user/get_user_state/")).json
    return Target(guest, state["group_id"], stream)


async def _restart(node: Node) -> None:
    starts = node.program.starts
    await node.program.restart()
    await until(lambda: node.program.starts > starts)
    await node.wait_ready()


async def _refuses(name: str, at: Place) -> bool:
    return await _code(name, at) == SANCTIONS[name].code


async def _check(run: Run, name: str, places: Sequence[Place], *, in_force: bool) -> None:
    """Each server refuses at the first request, or does not."""
    for place in places:
        code = await _code(name, place)
        if (code == SANCTIONS[name].code) != in_force:
            run.violations.add("wrong_answer", f"{name} at {place.node.number}: {code!r}")


SCENARIO = Scenario(
    under_load(sanctions_despite_kills, quiet=1),
    "mutes, bans, blocks and forbidden streams whose server dies, and after a restart",
    SIZE,
    0,
)
