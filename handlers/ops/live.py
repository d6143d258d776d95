"""Operators and rooms: who is live, and ending it."""

from handlers import answers
from handlers.base import call
from handlers.ops import models
from handlers.ops.base import Operator
from handlers.places import play_url
from rooms.people import Counts
from rooms.room import Room
from rooms.snapshot import snapshot


class Rooms(Operator):
    """All live rooms, newest first."""

    @call
    async def get(self) -> models.RoomRows:
        rooms = await self.parts.rooms.live()
        counts = await self.parts.members.counts((room.live_id, room.epoch) for room in rooms)
        return models.RoomRows(items=[_row(self, room, counts[room.live_id]) for room in rooms])


class OneRoom(Operator):
    """One room, live or not."""

    @call
    async def get(self, live_id: str) -> models.RoomRow:
        room = await self.parts.keeper.look(int(live_id))
        counts = await self.parts.members.counts([(room.live_id, room.epoch)])
        return _row(self, room, counts[room.live_id])


class EndLive(Operator):
    """End a live; everybody there hears that an operator did."""

    @call
    async def post(self, live_id: str, ask: models.EndLive) -> answers.Ok:
        del ask  # the reason stands in the audit
        await self.parts.keeper.change(int(live_id), lambda room: room.close("operator"))
        return answers.Ok()


def _row(handler: Operator, room: Room, counts: Counts) -> models.RoomRow:
    return models.RoomRow(
        id=room.live_id,
        epoch=room.epoch,
        seq=room.version,
        started_at=room.started_at,
        room=dict(snapshot(room, counts, lambda stream: play_url(handler.parts, stream))),
    )
