"""Requests and responses about rooms, members and seats."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, GetPydanticSchema, RootModel, StringConstraints

from handlers.models import (
    CLEARED_BY_NULL,
    BanMinutes,
    FaceView,
    Gender,
    LiveRequest,
    MuteMinutes,
    Name,
    Number,
    PageRequest,
    PictureUrl,
    ReasonRequest,
    Request,
    Response,
    UserId,
    Whole,
    pydantic_type,
)
from rooms.events import NumberedEvent
from rooms.state import Snapshot


class UsersInfoRequest(PageRequest):
    live_id: Number
    gender: Gender


class LeaveMicroRequest(LiveRequest):
    user_id: UserId | None = None
    gender: Gender | None = None


class InviteMicroRequest(LiveRequest):
    user_id: UserId


class UpdateRoomRequest(LiveRequest):
    """Null returns to the host's own name or face."""

    room_name: Annotated[Name | None, CLEARED_BY_NULL] = None
    room_image: Annotated[PictureUrl | None, CLEARED_BY_NULL] = None


class RemoveUserRequest(InviteMicroRequest):
    """`minutes`: how long the user is banned from the room."""

    minutes: BanMinutes = 60


class MuteRequest(InviteMicroRequest):
    minutes: MuteMinutes


class MuteAllRequest(LiveRequest):
    on: Annotated[bool, Field(examples=[True])]


class LiftRoomBanRequest(ReasonRequest):
    user_id: UserId


class OpsRemoveUserRequest(LiftRoomBanRequest):
    """`minutes`: how long the user is banned from the room."""

    minutes: BanMinutes = 60


class RoomDetailRequest(Request):
    """`since` and `epoch`: `seq` and `epoch` of an earlier response.

    Only later events are returned.
    """

    since: Annotated[Whole, Field(ge=0, le=2**53)] | None = None
    epoch: Annotated[str, StringConstraints(max_length=64)] = ""


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


class OnMicResponse(Response):
    play_url: str = ""
    nickname: str
    area: str
    age: int
    user_id: str
    face_url: str


class EmptySeatResponse(Response):
    model_config = ConfigDict(extra="forbid")


class PlayUrlResponse(Response):
    anchor_info: AnchorInfoResponse
    owner: OnMicResponse
    male: OnMicResponse | EmptySeatResponse
    female: OnMicResponse | EmptySeatResponse
    user_type: int
    push_url: str
    num_list: list[int]


class SeatedResponse(OnMicResponse):
    push_url: str
    gender: int


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


class RoomRowResponse(Response):
    id: int
    epoch: str
    seq: int
    started_at: int
    room: Annotated[
        dict[str, Any],
        GetPydanticSchema(lambda _dict, schema_of: schema_of(pydantic_type(Snapshot))),
    ]
    """Same as the data of the WebSocket's `snapshot` frame."""


class RoomBanView(FaceView):
    """A user banned from the room until `until` (ms); `by_operator`: the host cannot lift it."""

    until: int
    by_operator: bool


class RoomBansResponse(RootModel[list[RoomBanView]]):
    pass


class RoomDetailResponse(RoomRowResponse):
    put_out: list[RoomBanView]
    events: list[NumberedEvent]
    """Events after `since`, in order; the latest if it is missing, of another live or too old."""
