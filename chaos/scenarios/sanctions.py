"""A mute, ban, block or forbidden stream whose server is killed right after its answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from chaos.api import FleetUser
from chaos.fleet import Fleet, Node
from chaos.invariants import check_invariants
from chaos.report import RunReport, make_report, rounded
from chaos.run import Run, RunSize, started_run
from chaos.scenario import RunConfig, Scenario
from chaos.scenarios.ban import POLL_SECONDS, WAIT_SECONDS, WITHIN_SECONDS, seat_guest
from tests.support.callbacks import CallbackSender, proposed
from tests.support.client import Reply, UserClient

BLOCKED_PICTURE = {"event_type": 317, "type": [2], "suggestion": "Block", "label": "Porn"}
"""CSS's report about a stream, without the stream's name."""
SIZE = RunSize(clients=96, rooms=4, pause=0.3)


class Place:
    """A guest of a room at one of the servers: what they, their host, IM and CSS send there."""

    def __init__(self, fleet: Fleet, node: Node, host: FleetUser, target: "Target") -> None:
        self.node = node
        self.target = target
        self.room = {"live_id": host.live_id}
        self.host, self.guest = self._client(host), self._client(target.guest)
        self._fleet = fleet
        self.callbacks = CallbackSender(self, fleet.settings)

    async def request(self, method: str, path: str, **options: Any) -> Reply:
        """Make a single attempt."""
        url = f"http://127.0.0.1:{self.node.port}{path}"
        return await self._fleet.http.attempt(method, url, **options)

    def _client(self, user: FleetUser) -> UserClient:
        return UserClient(self, user.name, {"token": user.token, "user_id": user.id})


class Target(NamedTuple):
    """A guest, the group of the room, and the guest's stream if they have the seat."""

    guest: FleetUser
    group_id: str
    stream: str = ""


class Sanction(NamedTuple):
    """`ask` returns the code of a refusal, which is `code` once the sanction is in force."""

    send: Callable[[Place], Awaitable[Reply]]
    ask: Callable[[Place], Awaitable[Any]]
    code: Any


async def _mute(at: Place) -> Reply:
    return await at.host.post("qlive_room/mute/", user_id=at.guest.id, minutes=60, **at.room)


async def _write(at: Place) -> Any:
    message = proposed(at.guest.id, GroupId=at.target.group_id)
    reply = await at.callbacks.im(message)
    return reply.json["ErrorCode"] if reply.succeeded else None


async def _ban(at: Place) -> Reply:
    return await at.host.post("qlive_room/put_out/", user_id=at.guest.id, minutes=60, **at.room)


async def _enter(at: Place) -> Any:
    return _code(await at.guest.get("get_playurl/", **at.room))


async def _block(at: Place) -> Reply:
    return await at.host.post("qlive_user/block/", user_id=at.guest.id, blocked=True)


async def _look_up_host(at: Place) -> Any:
    return _code(await at.guest.get("qlive_user/get_userinfo/", user_id=at.host.id))


async def _report_stream(at: Place) -> Reply:
    stream = at.target.stream
    picture = {**BLOCKED_PICTURE, "streamId": stream, "channelId": stream, "score": [99]}
    return await at.callbacks.live({**picture, "img": f"http://example.com/{stream}.jpg"})


async def _take_seat(at: Place) -> Any:
    return _code(await at.guest.post("qlive_room/accept_micro/", **at.room))


def _code(reply: Reply) -> Any:
    """The code of a refusal, "" of a success; None without an answer."""
    return (reply.json.get("code", "") if reply.status < 500 else "5xx") if reply.status else None


SANCTIONS = {
    "mute": Sanction(_mute, _write, 10101),
    "room_ban": Sanction(_ban, _enter, "put_out"),
    "block": Sanction(_block, _look_up_host, "blocked"),
    "forbidden_stream": Sanction(_report_stream, _take_seat, "stream_forbidden"),
}


async def sanctions_despite_kills(config: RunConfig) -> RunReport:
    """Each server is killed once. The sanctions are in the last room, without load of its own."""
    async with started_run(config.folder, config.size, config.seed) as run:
        started, worst = time.monotonic(), dict[str, float]()
        run.start_load(quiet=1)
        for node in run.fleet.nodes:
            for name, seconds in (await _sanction(run, node)).items():
                worst[name] = max(worst.get(name, 0.0), seconds)
        await run.settle()
        await check_invariants(run)
        metrics = {f"{name}_after_max": rounded(seconds) for name, seconds in worst.items()}
        report = make_report(run, "sanctions", time.monotonic() - started, **metrics)
        for name in metrics:
            report.require(name, WITHIN_SECONDS)
        return report


async def _sanction(run: Run, victim: Node) -> dict[str, float]:
    """Seconds from each answer until all other servers, IM and CSS act by it."""
    host, nodes = run.rooms[-1].host, run.fleet.nodes
    targets = {name: await _target(run, f"{name}{victim.number}") for name in SANCTIONS}

    def places(name: str, at: Sequence[Node]) -> list[Place]:
        return [Place(run.fleet, node, host, targets[name]) for node in at]

    for name in SANCTIONS:  # each server knows the guest, and the room as it is
        await _check(run, name, places(name, nodes), in_force=False)
    answered = {}
    for name, sanction in SANCTIONS.items():
        reply = await sanction.send(*places(name, [victim]))
        answered[name] = time.monotonic()
        if not reply.succeeded:
            run.violations.add("unexpected_response", f"{name}: {reply}")
    victim.kill()
    others = [node for node in nodes if node is not victim]
    acting = [
        *((name, _in_force(name, place)) for name in SANCTIONS for place in places(name, others)),
        *((name, _in_tencent(run, name, targets[name])) for name in ("mute", "forbidden_stream")),
    ]
    ended = await asyncio.gather(*(waiting for _, waiting in acting))
    victim.program.release()
    await run.fleet.wait_ready(victim)
    await asyncio.gather(*(_restart(run.fleet, node) for node in nodes))
    for name in SANCTIONS:
        await _check(run, name, places(name, nodes), in_force=True)
        await targets[name].guest.get("qlive_room/leave_room/", live_id=host.live_id)
    return {
        name: max(
            at - answered[name] for (key, _), at in zip(acting, ended, strict=True) if key == name
        )
        for name in SANCTIONS
    }


async def _target(run: Run, name: str) -> Target:
    live_id, stream = run.rooms[-1].live_id, ""
    if name.startswith("forbidden_stream"):
        guest, stream = await seat_guest(run, name, live_id)
    else:
        guest = await run.create_guest(name, 1, live_id)
    state = (await guest.get("qlive_user/get_user_state/")).json
    return Target(guest, state["group_id"], stream)


async def _restart(fleet: Fleet, node: Node) -> None:
    starts = node.program.starts
    await node.program.restart()
    while node.program.starts == starts:
        await asyncio.sleep(POLL_SECONDS)
    await fleet.wait_ready(node)


async def _check(run: Run, name: str, places: Sequence[Place], *, in_force: bool) -> None:
    """Each server refuses at the first request, or does not."""
    for place in places:
        code = await SANCTIONS[name].ask(place)
        if (code == SANCTIONS[name].code) != in_force:
            run.violations.add("wrong_answer", f"{name} at {place.node.number}: {code!r}")


async def _in_force(name: str, place: Place) -> float:
    """When this server refuses, by time.monotonic()."""
    sanction, deadline = SANCTIONS[name], time.monotonic() + WAIT_SECONDS
    while await sanction.ask(place) != sanction.code and time.monotonic() < deadline:
        await asyncio.sleep(POLL_SECONDS)
    return time.monotonic()


async def _in_tencent(run: Run, name: str, target: Target) -> float:
    """When the simulated IM or CSS has the sanction, by time.monotonic()."""
    simulator, deadline = run.fleet.tencent.simulator, time.monotonic() + WAIT_SECONDS
    im, css = simulator.im.sanctions, simulator.live_streaming

    def has_it() -> bool:
        if name == "mute":
            return im.is_muted(target.group_id, target.guest.id)
        return target.stream in css.forbidden

    while not has_it() and time.monotonic() < deadline:
        await asyncio.sleep(POLL_SECONDS)
    return time.monotonic()


SCENARIO = Scenario(
    sanctions_despite_kills,
    "mutes, bans, blocks and forbidden streams whose server dies, and after a restart",
    SIZE,
    0,
)
