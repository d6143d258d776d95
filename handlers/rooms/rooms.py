"""Rooms: list, enter, members, open, end, leave; the seats on mic."""

import asyncio

from core.clock import now_ms
from handlers.accounts.uploads import PICTURE_ERRORS
from handlers.base import ActiveUserHandler, endpoint
from handlers.context import Context
from handlers.errors import ImRefused
from handlers.models import LIST_PAGE_SIZE, USER_TYPE, LiveRequest, OkResponse, PageRequest
from handlers.rooms.models import (
    AnchorInfoResponse,
    EmptySeatResponse,
    InviteMicroRequest,
    LeaveMicroRequest,
    LiveListResponse,
    LiveRoomResponse,
    MatchmakerEnterResponse,
    OnMicResponse,
    PlayerResponse,
    PlayUrlResponse,
    SeatedResponse,
    UpdateRoomRequest,
    UsersInfoRequest,
    UsersInRoomResponse,
)
from rooms.errors import (
    AlreadyOnMic,
    HostIsLive,
    HostMustEnd,
    NoGender,
    NotAdmitted,
    NotAMember,
    NotHost,
    NotInRoom,
    NotLive,
    NotMatchmaker,
    QueueFull,
    RemovedFromRoom,
    RoomNotFound,
    SeatTaken,
    StreamForbidden,
)
from rooms.members import MemberCounts
from rooms.room import Room
from rooms.state import Seat
from services.errors import AccountBanned, Blocked, ContentRefused, HighRisk
from storage.errors import UserNotFound
from tencent.errors import ServiceUnavailable

CANDIDATE_ERRORS = [RoomNotFound, NotLive, NotInRoom, NoGender, AlreadyOnMic]
"""Refusals of a user who can neither apply, nor be invited, nor take a seat."""


class GetLivelistHandler(ActiveUserHandler):
    """The live rooms, largest audience first."""

    read_only = True

    @endpoint(limit="read")
    async def get(self, params: PageRequest) -> LiveListResponse:
        size = LIST_PAGE_SIZE
        page = (await self.context.services.rooms.list.get())[
            (params.page - 1) * size : params.page * size
        ]
        return LiveListResponse([_live_room(room, counts) for room, counts in page])


class GetPlayurlHandler(ActiveUserHandler):
    """Enter a room; returns the users on mic and the URLs to play and push video."""

    @endpoint(limit="room_change", errors=[RemovedFromRoom, RoomNotFound, NotLive, HostIsLive])
    async def get(self, params: LiveRequest) -> PlayUrlResponse:
        context, user_id = self.context, self.user.user_id
        room = await context.services.rooms.lives.enter(params.live_id, self.user, self.token)
        counts = await context.stores.members.count(room.live_id, room.epoch)
        owner = room.owner.person
        own_seat = room.owner if user_id == owner.user_id else room.seat_of(user_id)
        return PlayUrlResponse(
            anchor_info=AnchorInfoResponse.model_validate(owner),
            owner=on_mic_response(context, room.owner),
            male=_seat(context, room.male),
            female=_seat(context, room.female),
            user_type=USER_TYPE[room.role_of(user_id) or "viewer"],
            push_url=push_url(context, own_seat.stream) if own_seat else "",
            num_list=counts.num_list,
        )


class GetUsersInfoHandler(ActiveUserHandler):
    """The men or the women in the room who are not on mic: applicants first, then viewers."""

    read_only = True

    async def authorize(self) -> None:
        """Leave the user to `get`, which reads them together with the room.

        Wrong parameters are therefore refused before a banned user is.
        """
        await self.authorize_cached_token()

    @endpoint(limit="read", errors=[NotAMember, RoomNotFound])
    async def get(self, params: UsersInfoRequest) -> UsersInRoomResponse:
        stores, size = self.context.stores, LIST_PAGE_SIZE
        user, member, room = await asyncio.gather(
            stores.users.find(self.user_id),
            stores.members.get(self.user_id),
            stores.rooms.read(params.live_id),
        )
        user = await self.active(user)
        if room is None:
            raise RoomNotFound
        if member is None or room.role_in(member) is None:
            raise NotAMember
        offset = (params.page - 1) * size
        applicants = room.applicants(params.gender)
        users = [
            {**person.public_profile(), "state": 1} for person in applicants[offset : offset + size]
        ]
        if remaining := size - len(users):
            skip = max(0, offset - len(applicants))
            ids = await stores.members.viewers(
                room.live_id, room.epoch, params.gender, skip, remaining
            )
            found = await stores.users.find_many(ids)
            users += [{**viewer.person().public_profile(), "state": 0} for viewer in found]
        if user.has_blocks and user.user_id == room.host_id:
            ids = [str(row["user_id"]) for row in users]
            blocked = await stores.user_blocks.among(user.user_id, ids)
            users = [{**row, "blocked": row["user_id"] in blocked} for row in users]
        return UsersInRoomResponse.model_validate(users)


class MatchmakerEnterHandler(ActiveUserHandler):
    """Open the host's room, or return to the live in progress."""

    soft_errors = {AccountBanned: "status"}

    @endpoint(
        limit="room_change",
        errors=[NotMatchmaker, StreamForbidden, ImRefused, ServiceUnavailable("im")],
    )
    async def post(self) -> MatchmakerEnterResponse:
        context = self.context
        room = await context.services.rooms.lives.open(self.user, self.token)
        host = self.user.person()
        return MatchmakerEnterResponse(
            user_id=host.user_id,
            live_id=room.live_id,
            nickname=host.nickname,
            face_url=host.face_url,
            push_url=push_url(context, room.owner.stream),
            play_url=play_url(context, room.owner.stream),
            group_id=room.group_id,
        )


class UpdateRoomHandler(ActiveUserHandler):
    """Change the name and the picture of the room, as its host."""

    @endpoint(
        limit="profile",
        errors=[NotHost, RoomNotFound, ContentRefused("room_name"), *PICTURE_ERRORS],
    )
    async def post(self, params: UpdateRoomRequest) -> OkResponse:
        await self.context.services.rooms.lives.update_info(
            params.live_id, self.user, params.room_name, params.room_image
        )
        return OkResponse()


class LiveEndHandler(ActiveUserHandler):
    """End the live, as its host; all members are removed."""

    # Not room_change: earlier changes must not keep a host from ending the live.
    @endpoint(limit="read", errors=[NotHost, RoomNotFound])
    async def post(self, params: LiveRequest) -> OkResponse:
        user_id = self.user.user_id
        await self.context.room_changes.change(
            params.live_id, lambda room: room.end(user_id), user_id
        )
        return OkResponse()


class LeaveRoomHandler(ActiveUserHandler):
    """Leave the room, giving up seat and application."""

    @endpoint(limit="room_change", errors=[RoomNotFound, HostMustEnd])
    async def get(self, params: LiveRequest) -> OkResponse:
        user_id = self.user.user_id
        await self.context.room_changes.change(
            params.live_id, lambda room: room.leave(user_id), user_id
        )
        return OkResponse()


class ApplyMicroHandler(ActiveUserHandler):
    """Apply for the seat of the user's gender."""

    @endpoint(
        limit="room_change",
        errors=[*CANDIDATE_ERRORS, QueueFull, HighRisk],
    )
    async def post(self, params: LiveRequest) -> OkResponse:
        await self.context.services.rooms.lives.apply_for_seat(params.live_id, self.user)
        return OkResponse()


class InviteMicroHandler(ActiveUserHandler):
    """Invite a user, as host, to the seat of their gender."""

    @endpoint(
        limit="room_change",
        errors=[*CANDIDATE_ERRORS, NotHost, UserNotFound, SeatTaken, QueueFull, Blocked],
    )
    async def post(self, params: InviteMicroRequest) -> OkResponse:
        lives = self.context.services.rooms.lives
        await lives.invite(params.live_id, self.user, params.user_id)
        return OkResponse()


class AcceptMicroHandler(ActiveUserHandler):
    """Take the seat of the user's gender."""

    @endpoint(
        limit="room_change",
        errors=[*CANDIDATE_ERRORS, SeatTaken, NotAdmitted, HighRisk, StreamForbidden],
    )
    async def post(self, params: LiveRequest) -> SeatedResponse:
        context = self.context
        seat = await context.services.rooms.lives.accept(params.live_id, self.user)
        return SeatedResponse(
            **dict(on_mic_response(context, seat)),
            push_url=push_url(context, seat.stream),
            gender=seat.person.gender,
        )


class RefuseMicroHandler(ActiveUserHandler):
    """Withdraw an application or refuse an invitation."""

    @endpoint(limit="room_change", errors=[RoomNotFound])
    async def post(self, params: LiveRequest) -> OkResponse:
        user_id = self.user_id
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
        lives, target = self.context.services.rooms.lives, params.user_id or self.user_id
        await lives.leave_mic(params.live_id, self.user_id, target, params.gender)
        return OkResponse()


def _seat(context: Context, seat: Seat | None) -> OnMicResponse | EmptySeatResponse:
    return on_mic_response(context, seat) if seat else EmptySeatResponse()


def _live_room(room: Room, counts: MemberCounts) -> LiveRoomResponse:
    return LiveRoomResponse(
        id=room.live_id,
        group_id=room.group_id,
        room_name=room.name,
        room_image=room.image,
        player=PlayerResponse(
            boy=room.male.person.face_url if room.male else "",
            girl=room.female.person.face_url if room.female else "",
        ),
        audience_count=counts.audience,
    )


def on_mic_response(context: Context, seat: Seat) -> OnMicResponse:
    answer = OnMicResponse.model_validate(seat.person)
    return answer.model_copy(update={"play_url": play_url(context, seat.stream)})


def play_url(context: Context, stream: str) -> str:
    return context.tencent.stream_urls.play(stream, now_ms() // 1000)


def push_url(context: Context, stream: str) -> str:
    return context.tencent.stream_urls.push(stream, now_ms() // 1000)
