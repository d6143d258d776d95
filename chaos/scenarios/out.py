"""Whoever is banned, put out or logged out hears nothing more, on whichever process they are."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from chaos.client import PATH, Client
from chaos.fleet import Node
from chaos.judge import judge
from chaos.phones import BASE, Answer, Phone
from chaos.play import Play, Scenario
from chaos.report import Report, report_on
from chaos.scene import Scene, Size, playing
from chaos.wire import Wire, handshake

WITHIN_SECONDS = 1.0
LISTEN_SECONDS = 4.0
PROBE_SECONDS = 8.0
QUICK = Size(clients=48, rooms=4, pause=0.3, walkers=False)
FULL = Size(clients=200, rooms=8, pause=0.3, walkers=False)
Way = Callable[[Scene, Phone, Phone, Node], Awaitable[Answer]]


async def ban(scene: Scene, _host: Phone, victim: Phone, node: Node) -> Answer:
    body = {"banned": True, "ban_reason": "chaos"}
    headers = {"Authorization": f"Bearer {scene.fleet.ops_token}"}
    path = f"/ops/api/users/{victim.id}"
    return await scene.network.ask("PATCH", path, body, headers, node)


async def put_out(scene: Scene, host: Phone, victim: Phone, node: Node) -> Answer:
    body = {"live_id": host.live_id, "user_id": victim.id, "minutes": 60}
    path = f"{BASE}qlive_room/put_out/"
    return await scene.network.ask("POST", path, body, host.headers, node)


async def log_out(scene: Scene, _host: Phone, victim: Phone, node: Node) -> Answer:
    return await scene.network.ask("GET", f"{BASE}qlive_user/logout/", {}, victim.headers, node)


WAYS: dict[str, tuple[Way, int]] = {
    "ban": (ban, 4503),
    "put_out": (put_out, 4503),
    "log_out": (log_out, 4401),
}


async def out(play: Play) -> Report:
    """Every way, for somebody on every process, by a word said to another one."""
    async with playing(play.folder, play.size, play.seed) as scene:
        began, chance = time.monotonic(), scene.chance("victims")
        scene.act()
        waits = [
            await _one(scene, name, node, chance) for name in WAYS for node in scene.fleet.nodes
        ]
        await scene.quiet()
        await judge(scene)
        worst = round(max(waits), 2)
        report = report_on(scene, "out", time.monotonic() - began, heard_last_after=worst)
        report.aim("silences", 0)
        return report


async def _one(scene: Scene, name: str, node: Node, chance: random.Random) -> float:
    """Seconds after the answer in which something was still heard."""
    way, code = WAYS[name]
    stage, other = chance.choice(scene.stages), _other(chance, scene.fleet.nodes, node)
    victim = await scene.guest(f"{name}{node.number}", 1, stage.live_id)
    client = scene.ear(victim)
    client.only = node
    client.begin()
    try:
        await scene.until(lambda: client.connected, 10)
        answer = await way(scene, stage.host, victim, other)
        if not answer.ok:
            scene.faults.add("contradicted", f"{name}: {answer}")
        wait = await _last_heard(client, LISTEN_SECONDS)
        _check(scene, f"{name} on server {node.number}", client, wait, code)
        for door in scene.fleet.nodes:
            await _come_back(scene, name, client, door, code)
        return wait
    finally:
        client.stop()


def _check(scene: Scene, who: str, client: Client, wait: float, code: int) -> None:
    if wait > WITHIN_SECONDS:
        scene.faults.add("heard_after", f"{who}: {wait:.2f} s after the answer")
    if client.final != code:
        scene.faults.add("wrong_end", f"{who}: {client.final} and not {code}")


async def _last_heard(client: Client, seconds: float) -> float:
    """Seconds from now to the last event that this client hears, watched for so long."""
    began, last, count = time.monotonic(), 0.0, client.hearing.deliveries
    while time.monotonic() - began < seconds:
        await asyncio.sleep(0.02)
        if client.hearing.deliveries != count:
            last, count = time.monotonic() - began, client.hearing.deliveries
    return last


async def _come_back(scene: Scene, name: str, client: Client, door: Node, code: int) -> None:
    """With since, the old token, at this door: closed with the same code, and nothing said."""
    hearing, heard = client.hearing, list[Any]()
    path = f"{PATH}?live_id={hearing.live_id}&epoch={hearing.epoch}&since={hearing.seq}"
    wire = Wire(handshake(path, client.token), lambda text: heard.append(scene.stories.parse(text)))
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: wire, "127.0.0.1", door.port)
    try:
        ended = await asyncio.wait_for(wire.ended, PROBE_SECONDS)
    except TimeoutError:
        ended = 0
    wire.drop()
    said = [frame["type"] for frame in heard]
    if ended != code or said != ["bye"]:
        scene.faults.add("let_in_again", f"{name} at server {door.number}: {ended}, {said}")


def _other(chance: random.Random, nodes: list[Node], node: Node) -> Node:
    return chance.choice([one for one in nodes if one is not node] or nodes)


SCENARIO = Scenario(out, "bans, put-outs and logouts reach every process", (QUICK, 0), (FULL, 0))
