"""Operators and rooms: who is live, looking inside, ending it, putting somebody out."""

from handlers.answers import Ok
from handlers.base import call
from handlers.evictions import put_out
from handlers.ops import answers, asks
from handlers.ops.base import PAGE, Operator
from handlers.parts import Parts
from handlers.places import play_url
from rooms.keeper import now_ms
from rooms.people import Counts, Member
from rooms.room import Room
from rooms.snapshot import snapshot

LATEST = 50
"""Events that a first look shows; the room keeps 256."""
SEARCHED = 500
"""People of a room who are read at once when one of them is looked for."""


class Rooms(Operator):
    """All live rooms, newest first."""

    @call
    async def get(self) -> answers.RoomRows:
        rooms = await self.parts.rooms.live()
        counts = await self.parts.members.counts((room.live_id, room.epoch) for room in rooms)
        return answers.RoomRows(items=[_row(self, room, counts[room.live_id]) for room in rooms])


class OneRoom(Operator):
    """One room, live or not, what happened in it, and who has been put out of it."""

    @call
    async def get(self, live_id: str, ask: asks.RoomLook) -> answers.RoomInside:
        parts = self.parts
        room = await parts.keeper.look(int(live_id))
        counts = await parts.members.counts([(room.live_id, room.epoch)])
        out = room.kept_out(now_ms())
        people = [user.person().face() for user in await parts.users.many(list(out))]
        return answers.RoomInside(
            **dict(_row(self, room, counts[room.live_id])),
            put_out=[
                answers.KeptOut.model_validate({**face, "until": out[face["user_id"]]})
                for face in people
            ],
            events=await _events(parts, room, ask),
        )


class Inside(Operator):
    """Everybody in a room; `q` is the start of a user id, or part of a nickname."""

    @call
    async def get(self, live_id: str, ask: asks.Search) -> answers.Inside:
        parts, after, found = self.parts, ask.after, list[answers.Inmate]()
        room = await parts.keeper.look(int(live_id))
        size = SEARCHED if ask.q else PAGE + 1
        while len(found) <= PAGE:  # nicknames stand elsewhere: the room is read through
            here = await parts.members.everybody(room.live_id, room.epoch, after, size)
            found += [one for one in await _inmates(parts, here) if _is(one, ask.q)]
            if len(here) < size:
                break
            after = here[-1].user_id
        more = found[PAGE - 1].user_id if len(found) > PAGE else None
        return answers.Inside(items=found[:PAGE], next=more)


class EndLive(Operator):
    """End a live; everybody there hears that an operator did."""

    @call
    async def post(self, live_id: str, ask: asks.EndLive) -> Ok:
        del ask  # the reason stands in the audit
        await self.parts.keeper.change(int(live_id), lambda room: room.close("operator"))
        return Ok()


class PutOut(Operator):
    """Put somebody out of one room; anybody but the host."""

    @call
    async def post(self, live_id: str, ask: asks.PutOut) -> Ok:
        out = (await self.parts.users.get(ask.user_id)).user_id
        until = now_ms() + ask.minutes * 60_000
        await put_out(
            self.parts, int(live_id), out, until, lambda room: room.shut_out(out, until, "banned")
        )
        return Ok()


class LetIn(Operator):
    """Whoever was put out, by host or operator, may come back at once."""

    @call
    async def post(self, live_id: str, ask: asks.LetIn) -> Ok:
        await self.parts.keeper.change(int(live_id), lambda room: room.let_in(ask.user_id))
        return Ok()


async def _events(parts: Parts, room: Room, ask: asks.RoomLook) -> list[answers.Happening]:
    read, told = parts.rooms.log_since, None
    if ask.since is not None and ask.epoch in ("", room.epoch):
        told = await read(room.live_id, room.epoch, ask.since)
    if told is None:
        told = await read(room.live_id, room.epoch, max(0, room.version - LATEST))
    return [
        answers.Happening(seq=one.seq, ts=one.ts, type=one.type, data=dict(one.data))
        for one in told or ()  # none at all when another live has begun in this instant
    ]


async def _inmates(parts: Parts, here: list[Member]) -> list[answers.Inmate]:
    people = await parts.users.many([member.user_id for member in here])
    faces = {user.user_id: user.person().face() for user in people}
    return [
        answers.Inmate(
            **faces[member.user_id],
            role=member.role,
            entered_at=member.entered_at,
            away_at=member.away_at,
        )
        for member in here
        if member.user_id in faces
    ]


def _is(one: answers.Inmate, said: str) -> bool:
    return one.user_id.startswith(said) or said.casefold() in one.nickname.casefold()


def _row(handler: Operator, room: Room, counts: Counts) -> answers.RoomRow:
    return answers.RoomRow(
        id=room.live_id,
        epoch=room.epoch,
        seq=room.version,
        started_at=room.started_at,
        room=dict(snapshot(room, counts, lambda stream: play_url(handler.parts, stream))),
    )
