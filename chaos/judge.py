"""The judge: what only shows when all is quiet."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from chaos import acts
from chaos.picture import Picture, comparable
from chaos.scene import Scene

AWAY = re.compile(
    r"pymongo\.errors\."
    r"(AutoReconnect|NetworkTimeout|ServerSelectionTimeoutError|WaitQueueTimeoutError)"
)


async def judge(scene: Scene) -> None:
    """Adds to the scene's faults whatever was promised and is not so."""
    for task in scene.acting:
        if task.done() and not task.cancelled() and (error := task.exception()):
            scene.faults.add("actor_failed", repr(error))
    for client in scene.clients:
        if client.failure:
            scene.faults.add("client_failed", repr(client.failure))
        if client.final:
            scene.faults.add("sent_away", f"{client.hearing.name}: {client.final}")
    done = [act for stage in scene.stages for act in stage.acts]
    acts.lost(done, scene.stories.told.values(), scene.faults)
    for node in scene.fleet.nodes:
        for words in unforeseen(node.program.log):
            scene.faults.add("unforeseen", f"server {node.number}: {words}")
    _check_stories(scene)
    await _check_screens(scene)


def unforeseen(log: Path) -> Iterator[str]:
    """What a server wrote of errors that it did not expect: those come with a traceback.

    A database that is away is no surprise here, in however many words it is said.
    """
    for line in log.read_text(errors="replace").splitlines():
        if '"exception"' in line:
            said = json.loads(line)
            last = said["exception"].strip().splitlines()[-1]
            if not AWAY.match(last):
                yield f"{said.get('event')}: {last}"
        elif line.startswith("Traceback"):
            yield line


def _check_stories(scene: Scene) -> None:
    """All clients together have heard every number of every life, from the first to the last."""
    for story in scene.stories.told.values():
        missing = max(story.events) - min(story.events) + 1 - len(story.events)
        if missing:
            scene.faults.add("unheard", f"{missing} in {story.live_id}/{story.epoch}")


async def _check_screens(scene: Scene) -> None:
    """A picture that was folded from the events is the room as the database has it."""
    rooms = await scene.rooms()
    for hearing in (client.hearing for client in scene.clients):
        row = rooms.get(hearing.live_id)
        if row is None or not isinstance(hearing.picture, Picture) or hearing.seq != row["seq"]:
            continue
        if hearing.picture.shown != comparable(row["room"]):
            words = f"{hearing.picture.shown} is not {comparable(row['room'])}"
            scene.faults.add("shown_differently", f"{hearing.name}: {words}")
