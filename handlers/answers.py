"""What each call answers, field by field as the contract writes it."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, PlainSerializer, RootModel

from money.rank import CHINA

Time = Annotated[
    datetime,
    PlainSerializer(lambda at: at.astimezone(CHINA).isoformat(timespec="seconds")[:19], str),
]
"""The contract's times are China's, which keeps no summer time."""


class Answer(BaseModel):
    """Every field is written, also one that was left at its default."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_serialization_defaults_required=True,
        use_attribute_docstrings=True,
        defer_build=True,
    )


class Ok(Answer):
    detail: str = "OK"


class Refused(Answer):
    """The envelope of every failure."""

    detail: str
    code: str
    fields: dict[str, str] | None = None


class Login(Answer):
    """status 0: known, 1: not yet a user (all else empty)."""

    status: Literal[0, 1]
    token: str = ""
    user_id: str = ""
    user_sign: str = ""
    sdk_app_id: str = ""
    login_type: Literal[0, 1] = 0


class LoginIntoRoom(Login):
    """login_type 1: still in a room."""

    user_type: int
    live_room_name: str
    live_id: int
    group_id: str


class NewUser(Answer):
    token: str
    user_id: str
    user_sign: str
    sdk_app_id: str


class UserInfo(Answer):
    """Of somebody else, user_sig is "" and what belongs to the person alone is null."""

    user_id: str
    user_sig: str
    user_sig_expired: Time | None
    nickname: str
    gender: int
    age: int
    face_url: str
    area: str
    gold: int | None
    height: int
    is_matchmaker: bool
    income: int | None
    last_login_time: Time | None
    create_time: Time


class UserInfoWithRate(UserInfo):
    rate: str


class UserState(Answer):
    live_room_name: str = ""
    live_id: int | Literal[""] = ""
    group_id: str = ""
    user_type: int = 0


class Player(Answer):
    boy: str
    girl: str


class LiveRoom(Answer):
    id: int
    group_id: str
    room_name: str
    room_image: str
    player: Player
    audience_count: int


class LiveList(RootModel[list[LiveRoom]]):
    pass


class AnchorInfo(Answer):
    nickname: str
    face_url: str


class OnMic(Answer):
    play_url: str
    nickname: str
    area: str
    age: int
    user_id: str
    face_url: str


class EmptySeat(Answer):
    model_config = ConfigDict(extra="forbid")


class PlayUrl(Answer):
    anchor_info: AnchorInfo
    owner: OnMic
    male: OnMic | EmptySeat
    female: OnMic | EmptySeat
    user_type: int
    push_url: str
    num_list: list[int]


class Seated(OnMic):
    push_url: str
    gender: int


class UserInRoom(Answer):
    """state 0 viewer, 1 applied."""

    user_id: str
    face_url: str
    nickname: str
    state: Literal[0, 1]


class UsersInRoom(RootModel[list[UserInRoom]]):
    pass


class MatchmakerEnter(Answer):
    status: Literal["ok"] = "ok"
    user_id: str
    live_id: int
    nickname: str
    face_url: str
    push_url: str
    play_url: str
    group_id: str


class Gift(Answer):
    id: int
    name: str
    image: str
    gold: int
    effect: str


class GiftPage(Answer):
    count: int
    next: str | None
    previous: str | None
    results: list[Gift]


class GiftGiven(Answer):
    status: Literal["success"]
    gold: int
    income: int


class Sender(Answer):
    """`gold` that was given, also where it was paid from income."""

    user_id: str
    nickname: str
    face_url: str
    gold: int


class Taking(Answer):
    user_id: str
    nickname: str
    face_url: str
    income: int


class Rank(Answer):
    """The highest first, 50 at most."""

    senders: list[Sender]
    takings: list[Taking]


class Block(Answer):
    """price in yuan, with two decimals."""

    id: int
    gold: int
    price: str


class BlockList(RootModel[list[Block]]):
    pass


class Order(Answer):
    success: Literal["success"] = "success"
    timestamp: str
    sign: str
    content: str


class LikeState(Answer):
    like_state: Literal[0, 1]


class Configs(RootModel[dict[str, Any]]):
    pass
