"""Response models of the operators' API: operators, users, rooms, the catalogue, the audit log."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, GetPydanticSchema

from handlers.schemas.requests import Gender
from handlers.schemas.responses import Response, pydantic_type
from rooms.events import NumberedEvent
from rooms.snapshot import Snapshot
from services.operators.roles import Access


class OperatorResponse(Response):
    """An operator; `may` are the permitted operations as in the audit log: `PATCH OneUser`."""

    name: str
    role: Access
    may: list[str]


class OperatorLoginResponse(OperatorResponse):
    """`token` goes into `Authorization: Bearer <token>`."""

    token: str
    expires_at: datetime


class LoginOptionsResponse(Response):
    demo: bool


class SecondFactorResponse(Response):
    """What an authenticator app is set up with; `qr` is a data URI of `uri` as QR code."""

    secret: str
    uri: str
    qr: str


class OpsUserResponse(Response):
    """A user; times are UTC in RFC 3339."""

    id: Annotated[str, Field(validation_alias="user_id")]
    nickname: str
    gender: Gender | int
    age: int
    area: str
    face_url: str
    gold: int
    income: int
    owed: int
    owed_income: int
    is_matchmaker: bool
    banned: bool
    ban_reason: str
    continuous_time: int
    create_time: datetime
    last_login_time: datetime | None


class SessionsEndedResponse(Response):
    """How many valid sessions have ended."""

    ended: int


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


class RoomBanView(Response):
    """A user banned from the room until `until` (ms)."""

    user_id: str
    nickname: str
    face_url: str
    until: int


class RoomDetailResponse(RoomRowResponse):
    put_out: list[RoomBanView]
    events: list[NumberedEvent]
    """Events after `since`, in order; the latest if it is missing, of another live or too old."""


class ConfigResponse(Response):
    id: int
    key: str
    value: Any
    enabled: bool
    remark: str


class AuditEntryResponse(Response):
    """`done` is false for requests that were refused or interrupted.

    `before` and `after` have the fields that the change has altered. Long values are cut.
    """

    id: str
    at: datetime
    who: str
    role: str
    address: str
    what: str
    on: str
    reason: str
    parameters: Any
    before: dict[str, Any]
    after: dict[str, Any]
    done: bool
