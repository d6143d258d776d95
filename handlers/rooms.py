"""Rooms: the list, coming in, who is there, opening, ending, leaving."""

import asyncio
import secrets
from typing import Literal

import structlog

from handlers import answers, asks
from handlers.admission import Welcome
from handlers.base import call
from handlers.evictions import put_out
from handlers.places import USER_TYPE, on_mic, play_url, push_url
from rooms.keeper import now_ms
from rooms.people import Counts, Person
from rooms.refusals import Banned, NoSuchRoom, NotMatchmaker, NotYourRoom
from rooms.room import Room

log = structlog.get_logger("qlive.rooms")


class GetLivelist(Welcome):
    """The live rooms, the fullest first."""

    only_reads = True

    @call
    async def get(self, ask: asks.Page) -> answers.LiveList:
        size = self.parts.settings.pages.size
        page = (await self.parts.fullest.get())[(ask.page - 1) * size : ask.page * size]
        return answers.LiveList([_listed(room, counts) for room, counts in page])


class GetPlayurl(Welcome):
    """Come into a room: who is on mic, and where to pull and push the video."""

    @call
    async def get(self, ask: asks.Live) -> answers.PlayUrl:
        parts, user_id = self.parts, self.user.user_id
        room = await parts.keeper.enter(ask.live_id, self.user.person())
        await self.still_welcome()
        await parts.presence.seen(user_id, ask.live_id)
        counts = await parts.members.count(room.live_id, room.epoch)
        owner = room.owner.person
        mine = room.owner if user_id == owner.user_id else room.seat_of(user_id)
        return answers.PlayUrl(
            anchor_info=answers.AnchorInfo(nickname=owner.nickname, face_url=owner.face_url),
            owner=on_mic(parts, room.owner),
            male=on_mic(parts, room.male) if room.male else answers.EmptySeat(),
            female=on_mic(parts, room.female) if room.female else answers.EmptySeat(),
            user_type=USER_TYPE[room.role_of(user_id) or "viewer"],
            push_url=push_url(parts, mine.stream) if mine else "",
            num_list=counts.num_list,
        )


class GetUsersInfo(Welcome):
    """The men or the women in the room who are not on mic: first who applied, then who watches."""

    only_reads = True

    @call
    async def get(self, ask: asks.UsersInfo) -> answers.UsersInRoom:
        parts, size = self.parts, self.parts.settings.pages.size
        place, room = await asyncio.gather(
            parts.members.get(self.user.user_id), parts.rooms.read(ask.live_id)
        )
        if room is None:
            raise NoSuchRoom
        if place is None or room.role_in(place) is None:
            raise NotYourRoom
        first = (ask.page - 1) * size
        applied = room.applicants(ask.gender)
        shown = [_in_room(person, 1) for person in applied[first : first + size]]
        if left := size - len(shown):
            skip = max(0, first - len(applied))
            ids = await parts.members.viewers(room.live_id, room.epoch, ask.gender, skip, left)
            people = [user.person() for user in await parts.users.many(ids)]
            shown += [_in_room(person, 0) for person in people]
        return answers.UsersInRoom(shown)


class MatchmakerEnter(Welcome):
    """The host opens the room, or comes back to the live that is on."""

    soft_refusals = {Banned: "status"}

    @call
    async def post(self) -> answers.MatchmakerEnter:
        parts, user = self.parts, self.user
        if not user.is_matchmaker:
            raise NotMatchmaker
        host = user.person()
        live_id, group_id, ready = await parts.rooms.of_host(host)
        if not ready:
            await parts.im.create_group(group_id, host.nickname, host.user_id, host.face_url)
            await parts.rooms.group_made(live_id)
        await parts.keeper.take_out(host.user_id, but=live_id)
        stream = parts.live.new_stream(host.user_id)

        def come_on(room: Room) -> tuple[Room, bool]:
            return room, room.open(host, secrets.token_hex(8), stream, now_ms())

        room, begun = await parts.keeper.change(live_id, come_on, host.user_id)
        if begun:
            log.info("live_started", live_id=live_id)
        if not (await self.still_welcome()).is_matchmaker:  # dismissed meanwhile
            await parts.keeper.take_out(host.user_id, "operator")
            raise NotMatchmaker
        await parts.presence.seen(host.user_id, live_id)
        return answers.MatchmakerEnter(
            user_id=host.user_id,
            live_id=live_id,
            nickname=host.nickname,
            face_url=host.face_url,
            push_url=push_url(parts, room.owner.stream),
            play_url=play_url(parts, room.owner.stream),
            group_id=room.group_id,
        )


class PutOut(Welcome):
    """The host puts somebody out of the room and keeps them out for a while."""

    @call
    async def post(self, ask: asks.PutOut) -> answers.Ok:
        out = (await self.parts.users.get(ask.user_id)).user_id
        until = now_ms() + ask.minutes * 60_000
        host_id = self.user.user_id
        await put_out(
            self.parts, ask.live_id, out, until, lambda room: room.put_out(host_id, out, until)
        )
        return answers.Ok()


class LiveEnd(Welcome):
    """The host ends the live; everybody is out."""

    @call
    async def post(self, ask: asks.Live) -> answers.Ok:
        user_id = self.user.user_id
        await self.parts.keeper.change(ask.live_id, lambda room: room.end(user_id), user_id)
        return answers.Ok()


class LeaveRoom(Welcome):
    """Leave room, seat and application."""

    @call
    async def get(self, ask: asks.Live) -> answers.Ok:
        user_id = self.user.user_id
        await self.parts.keeper.change(ask.live_id, lambda room: room.leave(user_id), user_id)
        return answers.Ok()


def _listed(room: Room, counts: Counts) -> answers.LiveRoom:
    return answers.LiveRoom(
        id=room.live_id,
        group_id=room.group_id,
        room_name=room.name,
        room_image=room.image,
        player=answers.Player(
            boy=room.male.person.face_url if room.male else "",
            girl=room.female.person.face_url if room.female else "",
        ),
        audience_count=counts.audience,
    )


def _in_room(person: Person, state: Literal[0, 1]) -> answers.UserInRoom:
    return answers.UserInRoom(
        user_id=person.user_id,
        face_url=person.face_url,
        nickname=person.nickname,
        state=state,
    )
