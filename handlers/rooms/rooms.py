"""Rooms: list, enter, members, open, end, leave."""

import asyncio
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, RootModel, StringConstraints

from handlers.accounts.profiles import PICTURE_ERRORS
from handlers.base import ActiveUserHandler, endpoint
from handlers.context import Context
from handlers.errors import ImRefused
from handlers.models import (
    CLEARED_BY_NULL,
    LIST_PAGE_SIZE,
    USER_TYPE,
    Gender,
    LiveRequest,
    Name,
    Number,
    OkResponse,
    PageRequest,
    PictureUrl,
    Request,
    Response,
    Text,
)
from handlers.rooms.mic import HOST_ERRORS, OnMicResponse, on_mic_response
from handlers.rooms.tickets import TicketId
from rooms.errors import (
    FollowersOnly,
    HostIsLive,
    HostMustEnd,
    InvitationInvalid,
    InvitationRequired,
    NotAMember,
    NotHost,
    NotLive,
    NotMatchmaker,
    RemovedFromRoom,
    RoomFull,
    RoomNotFound,
    StreamForbidden,
)
from rooms.events import Visibility
from rooms.members import MemberCounts, SeatName
from rooms.room import Room
from rooms.state import Seat
from services.errors import AccountBanned, Blocked, ContentRefused, SessionKeyMissing
from tencent.errors import ServiceUnavailable


class LiveListRequest(PageRequest):
    """`area`: hosts of the same province; `free`: rooms in which this seat is free."""

    area: Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")] | None = None
    free: SeatName | None = None


class PlayUrlRequest(Request):
    """Without a `ticket`, `live_id` is required.

    `encryptedData` and `iv`: what wx.authPrivateMessage has given to an invited friend.
    """

    live_id: Number | None = None
    ticket: TicketId | None = None
    encryptedData: Annotated[str, StringConstraints(max_length=16_384)] = ""
    iv: Text = ""


class EnterRequest(Request):
    """A new live is public, and a running one keeps its visibility, unless it is sent."""

    visibility: Visibility | None = None


class UsersInfoRequest(PageRequest):
    live_id: Number
    gender: Gender


class UpdateRoomRequest(LiveRequest):
    """Null returns to the host's own name or face."""

    room_name: Annotated[Name | None, CLEARED_BY_NULL] = None
    room_image: Annotated[PictureUrl | None, CLEARED_BY_NULL] = None
    visibility: Visibility | None = None


class RoomUpdatedResponse(OkResponse):
    push_url: Annotated[str, Field(exclude_if=lambda value: not value)] = ""
    """The host's new URL, if the live has become private and has new streams."""


class PlayerResponse(Response):
    boy: str
    girl: str


class LiveRoomResponse(Response):
    id: int
    group_id: str
    room_name: str
    room_image: str
    player: PlayerResponse
    audience_count: int


class LiveListResponse(RootModel[list[LiveRoomResponse]]):
    pass


class AnchorInfoResponse(Response):
    nickname: str
    face_url: str


class EmptySeatResponse(Response):
    model_config = ConfigDict(extra="forbid")


class PlayUrlResponse(Response):
    live_id: int
    group_id: str
    anchor_info: AnchorInfoResponse
    owner: OnMicResponse
    male: OnMicResponse | EmptySeatResponse
    female: OnMicResponse | EmptySeatResponse
    user_type: int
    push_url: str
    num_list: list[int]


class UserInRoomResponse(Response):
    """`state` 0: viewer, 1: applicant.

    `blocked`, for the host alone: one of the two has blocked the other.
    """

    user_id: str
    face_url: str
    nickname: str
    state: Literal[0, 1]
    blocked: bool = False


class UsersInRoomResponse(RootModel[list[UserInRoomResponse]]):
    pass


class MatchmakerEnterResponse(Response):
    status: Literal["ok"] = "ok"
    user_id: str
    live_id: int
    nickname: str
    face_url: str
    push_url: str
    play_url: str
    group_id: str


IM_ERRORS = (ImRefused, ServiceUnavailable("im"))
"""Errors of every call that makes a chat group."""


class GetLivelistHandler(ActiveUserHandler):
    """The live rooms, largest audience first."""

    read_only = True

    @endpoint(limit="read")
    async def get(self, params: LiveListRequest) -> LiveListResponse:
        size, listed = LIST_PAGE_SIZE, await self.context.services.rooms.list.get()
        if area := params.area:
            listed = [row for row in listed if row[0].owner.person.area[:2] == area[:2]]
        if free := params.free:
            listed = [row for row in listed if getattr(row[0], free) is None]
        page = listed[(params.page - 1) * size : params.page * size]
        return LiveListResponse([_live_room(room, counts) for room, counts in page])


class GetPlayurlHandler(ActiveUserHandler):
    """Enter a room; returns the users on mic and the URLs to play and push video.

    A ticket opens a private live and one for followers, too.
    """

    @endpoint(
        limit="room_change",
        errors=[
            RemovedFromRoom,
            RoomNotFound,
            NotLive,
            HostIsLive,
            InvitationRequired,
            InvitationInvalid,
            FollowersOnly,
            RoomFull,
            Blocked,
            SessionKeyMissing,
        ],
    )
    async def get(self, params: PlayUrlRequest) -> PlayUrlResponse:
        context, user_id = self.context, self.user_id
        room = await context.services.rooms.tickets.enter(
            params.live_id,
            self.user,
            self.token,
            params.ticket or "",
            params.encryptedData,
            params.iv,
        )
        counts = await context.stores.members.count(room.live_id, room.epoch)
        owner = room.owner.person
        own_seat = room.owner if user_id == owner.user_id else room.seat_of(user_id)
        return PlayUrlResponse(
            live_id=room.live_id,
            group_id=room.group_id,
            anchor_info=AnchorInfoResponse.model_validate(owner),
            owner=on_mic_response(context, room.owner),
            male=_seat(context, room.male),
            female=_seat(context, room.female),
            user_type=USER_TYPE[room.role_of(user_id) or "viewer"],
            push_url=context.tencent.stream_urls.push(own_seat.stream) if own_seat else "",
            num_list=counts.num_list,
        )


class GetUsersInfoHandler(ActiveUserHandler):
    """The men or the women in the room who are not on mic: applicants first, then viewers."""

    read_only = True
    loads_user = False
    """Read together with the room: wrong parameters are refused before a banned user is."""

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

    @endpoint(limit="room_change", errors=[NotMatchmaker, StreamForbidden, NotLive, *IM_ERRORS])
    async def post(self, params: EnterRequest) -> MatchmakerEnterResponse:
        context = self.context
        room = await context.services.rooms.lives.open(self.user, self.token, params.visibility)
        host = self.user.person()
        return MatchmakerEnterResponse(
            user_id=host.user_id,
            live_id=room.live_id,
            nickname=host.nickname,
            face_url=host.face_url,
            push_url=context.tencent.stream_urls.push(room.owner.stream),
            play_url=context.tencent.stream_urls.play(room.owner.stream),
            group_id=room.group_id,
        )


class UpdateRoomHandler(ActiveUserHandler):
    """Change the name, the picture and the visibility of the room, as its host.

    A live gets a new chat group when it becomes private and when it is made accessible again, and
    new streams when it becomes private.
    """

    @endpoint(
        limit="profile",
        errors=[*HOST_ERRORS, ContentRefused("room_name"), *PICTURE_ERRORS, *IM_ERRORS],
    )
    async def post(self, params: UpdateRoomRequest) -> RoomUpdatedResponse:
        room = await self.context.services.rooms.lives.update_info(
            params.live_id, self.user, params.room_name, params.room_image, params.visibility
        )
        if room is None or room.visibility != "private":
            return RoomUpdatedResponse()
        push_url = self.context.tencent.stream_urls.push(room.owner.stream)
        return RoomUpdatedResponse(push_url=push_url)


class LiveEndHandler(ActiveUserHandler):
    """End the live, as its host; all members are removed."""

    # Not room_change: earlier changes must not keep a host from ending the live.
    @endpoint(limit="read", errors=[NotHost, RoomNotFound])
    async def post(self, params: LiveRequest) -> None:
        await self.context.room_changes.change(
            params.live_id, lambda room: room.end(self.user_id), self.user_id
        )


class LeaveRoomHandler(ActiveUserHandler):
    """Leave the room, giving up seat and application."""

    @endpoint(limit="room_change", errors=[RoomNotFound, HostMustEnd])
    async def get(self, params: LiveRequest) -> None:
        await self.context.room_changes.change(
            params.live_id, lambda room: room.leave(self.user_id), self.user_id
        )


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
