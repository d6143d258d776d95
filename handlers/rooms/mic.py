"""Seats on mic: apply, invite, accept, refuse, leave."""

from handlers.base import ActiveUserHandler, endpoint
from handlers.context import Context
from handlers.models import Gender, LiveRequest, Response, UserId
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
    StreamForbidden,
)
from rooms.state import Seat
from services.errors import Blocked, HighRisk
from storage.errors import UserNotFound


class LeaveMicroRequest(LiveRequest):
    user_id: UserId | None = None
    gender: Gender | None = None


class InviteMicroRequest(LiveRequest):
    user_id: UserId


class OnMicResponse(Response):
    play_url: str = ""
    nickname: str
    area: str
    age: int
    user_id: str
    face_url: str


class SeatedResponse(OnMicResponse):
    push_url: str
    gender: int


HOST_ERRORS = [NotHost, RoomNotFound, NotLive]
"""Refusals of what a host, or a deputy, does in a live."""
CANDIDATE_ERRORS = [RoomNotFound, NotLive, NotInRoom, NoGender, AlreadyOnMic]
"""Refusals of a user who can neither apply, nor be invited, nor take a seat."""


class ApplyMicroHandler(ActiveUserHandler):
    """Apply for the seat of the user's gender."""

    @endpoint(limit="room_change", errors=[*CANDIDATE_ERRORS, QueueFull, HighRisk])
    async def post(self, params: LiveRequest) -> None:
        await self.context.services.rooms.mic.apply(params.live_id, self.user)


class InviteMicroHandler(ActiveUserHandler):
    """Invite a user, as host, to the seat of their gender."""

    @endpoint(
        limit="room_change",
        errors=[*CANDIDATE_ERRORS, NotHost, UserNotFound, SeatTaken, QueueFull, Blocked],
    )
    async def post(self, params: InviteMicroRequest) -> None:
        mic = self.context.services.rooms.mic
        await mic.invite(params.live_id, self.user, params.user_id)


class AcceptMicroHandler(ActiveUserHandler):
    """Take the seat of the user's gender."""

    @endpoint(
        limit="room_change",
        errors=[*CANDIDATE_ERRORS, SeatTaken, NotAdmitted, HighRisk, StreamForbidden],
    )
    async def post(self, params: LiveRequest) -> SeatedResponse:
        mic = self.context.services.rooms.mic
        seat, push_url = await mic.accept(params.live_id, self.user)
        return SeatedResponse.model_validate({**seat, "push_url": push_url})


class RefuseMicroHandler(ActiveUserHandler):
    """Withdraw an application or refuse an invitation."""

    @endpoint(limit="room_change", errors=[RoomNotFound])
    async def post(self, params: LiveRequest) -> None:
        await self.context.room_changes.change(
            params.live_id, lambda room: room.refuse(self.user_id), self.user_id
        )


class LeaveMicroHandler(ActiveUserHandler):
    """Leave a seat; the host may take any user off the mic or out of the queue.

    A deputy may take applicants out of the queue. A guest taken off the mic needs a new invitation
    for `micro.removed_seconds`.
    """

    @endpoint(limit="room_change", errors=[NotHost, RoomNotFound])
    async def get(self, params: LeaveMicroRequest) -> None:
        mic, target = self.context.services.rooms.mic, params.user_id or self.user_id
        await mic.leave(params.live_id, self.user, target, params.gender)


def on_mic_response(context: Context, seat: Seat) -> OnMicResponse:
    return OnMicResponse.model_validate(seat.shown(context.tencent.stream_urls.play))
