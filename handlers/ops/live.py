"""Operators and rooms: who is live, looking inside, ending it, putting somebody out."""

from handlers import answers
from handlers.base import call
from handlers.evictions import put_out
from handlers.ops import models
from handlers.ops.base import PAGE, Operator
from handlers.places import play_url
from rooms.keeper import now_ms
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
    """One room, live or not, and who has been put out of it."""

    @call
    async def get(self, live_id: str) -> models.RoomInside:
        parts = self.parts
        room = await parts.keeper.look(int(live_id))
        counts = await parts.members.counts([(room.live_id, room.epoch)])
        out = room.kept_out(now_ms())
        people = [user.person().face() for user in await parts.users.many(list(out))]
        return models.RoomInside(
            **dict(_row(self, room, counts[room.live_id])),
            put_out=[
                models.KeptOut.model_validate({**face, "until": out[face["user_id"]]})
                for face in people
            ],
        )


class Inside(Operator):
    """Everybody in a room."""

    @call
    async def get(self, live_id: str, ask: models.Cursor) -> models.Inside:
        parts = self.parts
        room = await parts.keeper.look(int(live_id))
        here = await parts.members.everybody(room.live_id, room.epoch, ask.after, PAGE)
        people = await parts.users.many([member.user_id for member in here])
        faces = {user.user_id: user.person().face() for user in people}
        more = here[-1].user_id if len(here) == PAGE else None
        return models.Inside(
            items=[
                models.Inmate(
                    **faces[member.user_id],
                    role=member.role,
                    entered_at=member.entered_at,
                    away_at=member.away_at,
                )
                for member in here
                if member.user_id in faces
            ],
            next=more,
        )


class EndLive(Operator):
    """End a live; everybody there hears that an operator did."""

    @call
    async def post(self, live_id: str, ask: models.EndLive) -> answers.Ok:
        del ask  # the reason stands in the audit
        await self.parts.keeper.change(int(live_id), lambda room: room.close("operator"))
        return answers.Ok()


class PutOut(Operator):
    """Put somebody out of one room; anybody but the host."""

    @call
    async def post(self, live_id: str, ask: models.PutOut) -> answers.Ok:
        out = (await self.parts.users.get(ask.user_id)).user_id
        until = now_ms() + ask.minutes * 60_000
        await put_out(
            self.parts, int(live_id), out, until, lambda room: room.shut_out(out, until, "banned")
        )
        return answers.Ok()


class LetIn(Operator):
    """Whoever was put out, by host or operator, may come back at once."""

    @call
    async def post(self, live_id: str, ask: models.LetIn) -> answers.Ok:
        await self.parts.keeper.change(int(live_id), lambda room: room.let_in(ask.user_id))
        return answers.Ok()


def _row(handler: Operator, room: Room, counts: Counts) -> models.RoomRow:
    return models.RoomRow(
        id=room.live_id,
        epoch=room.epoch,
        seq=room.version,
        started_at=room.started_at,
        room=dict(snapshot(room, counts, lambda stream: play_url(handler.parts, stream))),
    )
