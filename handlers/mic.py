"""The way to the mic and off it."""

from handlers import answers, asks
from handlers.admission import Welcome
from handlers.base import call
from handlers.places import on_mic, play_url, push_url
from rooms.keeper import now_ms


class ApplyMicro(Welcome):
    """Ask for the seat of one's gender."""

    @call
    async def post(self, ask: asks.Live) -> answers.Ok:
        person, seconds = self.user.person(), self.parts.settings.micro.application_seconds
        await self.parts.keeper.change(
            ask.live_id, lambda room: room.apply(person, now_ms(), seconds), person.user_id
        )
        return answers.Ok()


class InviteMicro(Welcome):
    """The host offers somebody the seat of their gender."""

    @call
    async def post(self, ask: asks.InviteMicro) -> answers.Ok:
        host_id, seconds = self.user.user_id, self.parts.settings.micro.invitation_seconds
        guest = (await self.parts.users.get(ask.user_id)).person()
        await self.parts.keeper.change(
            ask.live_id,
            lambda room: room.invite(host_id, guest, now_ms(), seconds),
            guest.user_id,
        )
        return answers.Ok()


class AcceptMicro(Welcome):
    """Take the seat of one's gender."""

    @call
    async def post(self, ask: asks.Live) -> answers.Seated:
        parts, person = self.parts, self.user.person()
        stream = parts.live.new_stream(person.user_id)
        url, admission = play_url(parts, stream), parts.settings.micro.admission
        seat = await parts.keeper.change(
            ask.live_id,
            lambda room: room.accept(person, admission, stream, url),
            person.user_id,
        )
        return answers.Seated(
            **dict(on_mic(parts, seat)),
            push_url=push_url(parts, seat.stream),
            gender=seat.person.gender,
        )


class RefuseMicro(Welcome):
    """End one's own application or invitation."""

    @call
    async def post(self, ask: asks.Live) -> answers.Ok:
        user_id = self.user.user_id
        await self.parts.keeper.change(ask.live_id, lambda room: room.refuse(user_id), user_id)
        return answers.Ok()


class LeaveMicro(Welcome):
    """Leave one's seat; the host takes anybody off the mic or out of the queue."""

    @call
    async def get(self, ask: asks.LeaveMicro) -> answers.Ok:
        user_id, target = self.user.user_id, ask.user_id or self.user.user_id
        await self.parts.keeper.change(
            ask.live_id,
            lambda room: room.leave_micro(user_id, target, ask.gender),
            user_id,
            target,
        )
        return answers.Ok()
