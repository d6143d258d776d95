"""The judge: what only shows when all is quiet."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from chaos import acts
from chaos.actors import GIVERS
from chaos.logs import unforeseen
from chaos.places import wrong_in
from chaos.scene import GOLD, Scene
from chaos.story import content
from tests.realtime.folding import Screen, comparable

SETTLING_SECONDS = 15.0
"""A lease: for so long a process that has died may seem to serve somebody."""

Found = Iterator[tuple[str, str]]
"""(kind of fault, words)."""


async def judge(scene: Scene) -> None:
    """Adds to the scene's faults whatever was promised and is not so."""
    stories = scene.stories.told.values()
    acts.lost([act for stage in scene.stages for act in stage.acts], stories, scene.faults)
    acts.twice(stories, scene.faults)
    for kind, words in (*_of_people(scene), *_of_programs(scene), *_of_stories(scene)):
        scene.faults.add(kind, words)
    await _check_screens(scene)
    await _check_logs(scene)
    await _check_what_settles(scene)


def _of_people(scene: Scene) -> Found:
    for task in scene.acting:
        if task.done() and not task.cancelled() and (error := task.exception()):
            yield "actor_failed", repr(error)
    for client in scene.clients:
        if client.failure:
            yield "client_failed", repr(client.failure)
        if client.final:
            yield "sent_away", f"{client.hearing.name}: {client.final}"


def _of_programs(scene: Scene) -> Found:
    servers = [(f"server {node.number}", node.program) for node in scene.fleet.nodes]
    for name, program in [*servers, ("redis", scene.fleet.redis)]:
        for kind, words in program.bad_ends:
            yield kind, f"{name}: {words}"
    for name, program in servers:
        for words in unforeseen(program.log):
            yield "unforeseen", f"{name}: {words}"


def _of_stories(scene: Scene) -> Found:
    """All clients together have heard every number after the first snapshot of a life."""
    for story in scene.stories.told.values():
        if story.unheard:
            yield "unheard", f"{story.unheard} in {story.live_id}/{story.epoch}"


async def _check_screens(scene: Scene) -> None:
    """A picture that was folded from the events is the room as the database has it."""
    rooms = await scene.rooms()
    for hearing in (client.hearing for client in scene.clients):
        row = rooms.get(hearing.live_id)
        if row is None or not isinstance(hearing.picture, Screen) or hearing.seq != row["seq"]:
            continue
        if hearing.picture.shown != comparable(row["room"]):
            words = f"{hearing.picture.shown} is not {comparable(row['room'])}"
            scene.faults.add("shown_differently", f"{hearing.name}: {words}")


async def _check_logs(scene: Scene) -> None:
    """What the database says of an event is what was told of it."""
    for (live_id, epoch), log in (await scene.fleet.mongod.logs(scene.fleet.database)).items():
        told = scene.stories.of(live_id, epoch).events
        for row in log:
            frame = told.get(row["seq"])
            if frame and content(frame) != content(row):
                scene.faults.add("told_differently", f"room {live_id}: {frame}, stored: {row}")


async def _check_what_settles(scene: Scene) -> None:
    deadline = time.monotonic() + SETTLING_SECONDS
    while (wrong := await _unsettled(scene)) and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
    for kind, words in wrong:
        scene.faults.add(kind, words)


async def _unsettled(scene: Scene) -> list[tuple[str, str]]:
    rooms = await scene.rooms()
    wrong = [it for stage in scene.stages for it in wrong_in(stage, rooms[stage.live_id]["room"])]
    return wrong + await _missing_gold(scene)


async def _missing_gold(scene: Scene) -> list[tuple[str, str]]:
    """Who gives has what they were given, less what the rooms heard of."""
    givers = [giver for stage in scene.stages for giver in stage.people[-GIVERS:]]
    has: dict[str, Any] = {}
    for giver in givers:
        has[giver.name] = (await scene.network.operate("GET", f"users/{giver.id}")).json["gold"]
    given = acts.given(scene.stories.told.values())
    owed = {giver.name: GOLD - given[giver.id] for giver in givers}
    return [("gold", f"{who}: {has[who]}, not {owed[who]}") for who in has if has[who] != owed[who]]
