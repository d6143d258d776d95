"""Seats on mic: apply, invite, accept, refuse, leave."""

from core.clock import now_ms
from handlers.base import ActiveUserHandler, endpoint
from handlers.context import Context
from handlers.models import LiveRequest, OkResponse
from handlers.rooms.models import (
    InviteMicroRequest,
    LeaveMicroRequest,
    OnMicResponse,
    SeatedResponse,
)
from rooms.errors import (
    AlreadyOnMic,
    NoGender,
    NotAdmitted,
    NotHost,
    NotInRoom,
    NotLive,
    QueueFull,
    RoomNotFound,
    SeatTaken,
)
from rooms.state import Seat
from services.errors import Blocked, HighRisk, StreamForbidden
from storage.errors import UserNotFound


class ApplyMicroHandler(ActiveUserHandler):
    """Apply for the seat of the user's gender."""

    @endpoint(
        limit="room_change",
        errors=[RoomNotFound, NotLive, NotInRoom, NoGender, AlreadyOnMic, QueueFull, HighRisk],
    )
    async def post(self, params: LiveRequest) -> OkResponse:
        self.context.services.user_safety.check_rank(self.user)
        person = self.user.person()
        await self.context.room_changes.change(
            params.live_id,
            lambda room: room.apply(person, now_ms()),
            person.user_id,
        )
        return OkResponse()


class InviteMicroHandler(ActiveUserHandler):
    """Invite a user, as host, to the seat of their gender."""

    @endpoint(
        limit="room_change",
        errors=[
            NotHost,
            RoomNotFound,
            UserNotFound,
            NotLive,
            NotInRoom,
            NoGender,
            AlreadyOnMic,
            SeatTaken,
            QueueFull,
            Blocked,
        ],
    )
    async def post(self, params: InviteMicroRequest) -> OkResponse:
        host_id = self.user.user_id
        guest = (await self.context.stores.users.get(params.user_id)).person()
        await self.context.services.user_safety.check_pair(self.user, params.user_id)
        await self.context.room_changes.change(
            params.live_id,
            lambda room: room.invite(host_id, guest, now_ms()),
            guest.user_id,
        )
        return OkResponse()


class AcceptMicroHandler(ActiveUserHandler):
    """Take the seat of the user's gender."""

    @endpoint(
        limit="room_change",
        errors=[
            RoomNotFound,
            NotLive,
            NotInRoom,
            NoGender,
            AlreadyOnMic,
            SeatTaken,
            NotAdmitted,
            HighRisk,
            StreamForbidden,
        ],
    )
    async def post(self, params: LiveRequest) -> SeatedResponse:
        self.context.services.user_safety.check_rank(self.user)
        if not self.user.may_stream:
            raise StreamForbidden
        context, person = self.context, self.user.person()
        stream = context.tencent.stream_urls.new_stream(person.user_id)
        url, admission = play_url(context, stream), context.settings.micro.admission
        seat = await context.room_changes.change(
            params.live_id,
            lambda room: room.accept(person, admission, stream, url),
            person.user_id,
        )
        await context.services.streams.recheck(params.live_id, person.user_id)
        return SeatedResponse(
            **dict(on_mic_response(context, seat)),
            push_url=push_url(context, seat.stream),
            gender=seat.person.gender,
        )


class RefuseMicroHandler(ActiveUserHandler):
    """Withdraw an application or refuse an invitation."""

    @endpoint(limit="room_change", errors=[RoomNotFound])
    async def post(self, params: LiveRequest) -> OkResponse:
        user_id = self.user.user_id
        await self.context.room_changes.change(
            params.live_id, lambda room: room.refuse(user_id), user_id
        )
        return OkResponse()


class LeaveMicroHandler(ActiveUserHandler):
    """Leave a seat; the host may take any user off the mic or out of the queue.

    A guest taken off the mic needs a new invitation for `micro.removed_seconds`.
    """

    @endpoint(limit="room_change", errors=[NotHost, RoomNotFound])
    async def get(self, params: LeaveMicroRequest) -> OkResponse:
        user_id, target = self.user.user_id, params.user_id or self.user.user_id
        removed_ms = int(self.context.settings.micro.removed_seconds * 1000)
        until = now_ms() + removed_ms if removed_ms else 0
        await self.context.room_changes.change(
            params.live_id,
            lambda room: room.leave_mic(user_id, target, params.gender, removed_until=until),
            user_id,
            target,
        )
        return OkResponse()


def on_mic_response(context: Context, seat: Seat) -> OnMicResponse:
    answer = OnMicResponse.model_validate(seat.person)
    return answer.model_copy(update={"play_url": play_url(context, seat.stream)})


def play_url(context: Context, stream: str) -> str:
    return context.tencent.stream_urls.play(stream, now_ms() // 1000)


def push_url(context: Context, stream: str) -> str:
    return context.tencent.stream_urls.push(stream, now_ms() // 1000)
