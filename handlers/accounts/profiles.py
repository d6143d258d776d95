"""Profiles and their pictures, verification of age, the room that a user is in, and likes."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from handlers.base import ActiveUserHandler, endpoint
from handlers.context import Context
from handlers.models import (
    CLEARED_BY_NULL,
    USER_TYPE,
    Gender,
    Name,
    OkResponse,
    PictureUrl,
    Request,
    Response,
    Time,
    UserId,
    UserRequest,
    Whole,
)
from rooms.errors import GenderInUse
from services.accounts.pictures import MAX_BYTES, PictureKind, PictureType
from services.errors import (
    AccountBanned,
    AgeUnverified,
    Blocked,
    ContentRefused,
    UploadMissing,
    UploadRefused,
    UploadsOff,
)
from storage.accounts.users import ADULT_YEARS
from storage.errors import UserNotFound
from tencent.cos import VALID_SECONDS
from tencent.errors import ServiceUnavailable

Area = Annotated[str, StringConstraints(pattern=r"^([0-9]{6})?$")]
Height = Annotated[Whole, Field(ge=100, le=250)]


class UpdateUserinfoRequest(Request):
    """Any subset of the fields; null clears `area`, `face_url` and `height` (in cm).

    `show_in_ranking` agrees to be shown in rankings, or withdraws.
    """

    nickname: Name | None = None
    gender: Gender | None = None
    age: Annotated[Whole, Field(ge=ADULT_YEARS, le=120)] | None = None
    area: Annotated[Area | None, CLEARED_BY_NULL] = None
    face_url: Annotated[PictureUrl | None, CLEARED_BY_NULL] = None
    height: Annotated[Height | None, AfterValidator(lambda value: value or 0)] = None
    show_in_ranking: bool | None = None


class VerifyAgeRequest(Request):
    """Real name, and number of the ID card; neither is stored."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=50, strip_whitespace=True)]
    id_number: Annotated[
        str,
        StringConstraints(min_length=18, max_length=18),
        Field(examples=["11010119900307002X"]),
    ]


class UploadTicketRequest(Request):
    """`type` and `size` (in bytes) of the picture."""

    kind: Annotated[PictureKind, Field(examples=["face"])]
    type: Annotated[PictureType, Field(examples=["image/jpeg"])]
    size: Annotated[Whole, Field(ge=1, le=MAX_BYTES, examples=[60_000])]


class OptionalUserRequest(Request):
    user_id: UserId | None = None


class LikeRequest(Request):
    user_id: UserId
    like_state: Annotated[Whole, Field(ge=0, le=1)]


class UserInfoResponse(Response):
    """For another user, `user_sig` is "" and private fields are null.

    `show_in_ranking`: whether the user agreed to be shown in rankings. `in_review`: names and
    pictures of the user and of their room that are being checked, by their parameter
    (`nickname`, `face_url`, `room_name`, `room_image`).
    """

    user_id: str
    user_sig: str = ""
    user_sig_expired: Time | None = None
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
    show_in_ranking: bool | None
    in_review: dict[str, str] | None = None


class UserInfoWithRateResponse(UserInfoResponse):
    """`followers`: how many users follow this one. `followed`: whether the caller does."""

    rate: str = ""
    followers: int = 0
    followed: bool = False


class LeavingUserInfoResponse(UserInfoWithRateResponse):
    """Own profile of a user whose deletion is due at `delete_at`."""

    delete_at: Time


class UploadTicketResponse(Response):
    url: str
    key: str
    fields: dict[str, str]
    seconds: int


class UserStateResponse(Response):
    live_room_name: str = ""
    live_id: int | Literal[""] = ""
    group_id: str = ""
    user_type: int = 0


class LikeStateResponse(Response):
    like_state: Literal[0, 1]


SIG_SECONDS = 24 * 3600
"""Validity of a UserSig, the key to Tencent IM; `get_userinfo` gives a new one. It is short because
only a ban, the last logout or an operator ends one earlier; Tencent advises at least 24 hours."""
PICTURE_ERRORS = (UploadMissing, UploadRefused, UploadsOff, ServiceUnavailable("cos"))
"""Errors of every call that names a picture."""


async def current_room(context: Context, user_id: str) -> dict[str, Any]:
    """Return the fields of the live room the user is in, and their role; {} if in none."""
    member = await context.stores.members.get(user_id)
    room = await context.stores.rooms.read(member.live_id) if member else None
    role = room.role_in(member) if member and room else None
    if room is None or role is None:
        return {}
    return {
        "live_room_name": room.name,
        "live_id": room.live_id,
        "group_id": room.group_id,
        "user_type": USER_TYPE[role],
    }


class UpdateUserinfoHandler(ActiveUserHandler):
    """Update the profile; the room is notified when a visible user's name or face changes."""

    @endpoint(limit="profile", errors=[GenderInUse, ContentRefused("nickname"), *PICTURE_ERRORS])
    async def post(self, params: UpdateUserinfoRequest) -> UserInfoResponse:
        changes = params.model_dump(exclude_none=True)
        user, signed = self.user, sign_own(self)  # before the update, during which a ban may kick
        if changes:
            user = await self.context.services.accounts.profiles.update(user, **changes)
            if user.banned:
                raise AccountBanned
        else:
            user = await self.active(await self.context.stores.tokens.user_of(self.token))
        signed["in_review"] = await self.context.stores.moderation.in_review(user.user_id)
        return UserInfoResponse.model_validate(user).model_copy(update=signed)


class GetUserinfoHandler(ActiveUserHandler):
    """Own profile including credentials, or another user's public profile."""

    read_only = True
    loads_user = False

    @endpoint(limit="read", errors=[UserNotFound, Blocked])
    async def get(
        self, params: OptionalUserRequest
    ) -> UserInfoWithRateResponse | LeavingUserInfoResponse:
        stores, moderation = self.context.stores, self.context.services.moderation
        # Without the rate "0", not a refusal: a client cannot start without its profile.
        rate = str((await self.context.services.gold.catalogue.current()).withdraw_rate or 0)
        user_id = params.user_id or self.user_id
        if user_id == self.user_id:
            # Signed before session and user are read, both in the database: a kick that IM has
            # carried out before does not end the UserSig; one that comes later does.
            changes = sign_own(self)
            user = await self.active(await stores.tokens.user_of(self.token))
            changes["in_review"], changes["followers"] = await asyncio.gather(
                stores.moderation.in_review(user_id), stores.follows.count(user_id)
            )
            model = LeavingUserInfoResponse if user.delete_at else UserInfoWithRateResponse
        else:
            own, other, followers, followed = await asyncio.gather(
                stores.users.find(self.user_id),
                stores.users.find(user_id),
                stores.follows.count(user_id),
                stores.follows.has(self.user_id, user_id),
            )
            own = await self.active(own)
            if other is None or other.deleted_at:
                raise UserNotFound
            await moderation.user_safety.check_pair(own, user_id)
            user, model = other, UserInfoWithRateResponse
            changes = dict.fromkeys(("gold", "income", "show_in_ranking"))
            changes |= {"followers": followers, "followed": followed}
        return model.model_validate(user).model_copy(update={**changes, "rate": rate})


class UploadFormHandler(ActiveUserHandler):
    """Permit the upload of a picture.

    The phone posts `fields` and then the file, as `file`, to `url`: a still picture with at most
    4,096 pixels a side. `key` then names it in update_userinfo or update_room. The form is valid
    for `seconds`.
    """

    @endpoint(limit="upload", errors=[UploadsOff])
    async def post(self, params: UploadTicketRequest) -> UploadTicketResponse:
        fields = await self.context.services.accounts.pictures.upload_form(
            self.user_id, params.kind, params.type, params.size
        )
        url = f"{self.context.settings.uploads.endpoint}/"
        return UploadTicketResponse(
            url=url, key=fields["key"], fields=fields, seconds=VALID_SECONDS
        )


class GetUserStateHandler(ActiveUserHandler):
    """The user's current room and role in it."""

    read_only = True

    @endpoint(limit="read")
    async def get(self) -> UserStateResponse:
        room = await current_room(self.context, self.user_id)
        return UserStateResponse.model_validate(room)


class VerifyAgeHandler(ActiveUserHandler):
    """Verify the caller as an adult by name and ID number; recharge and gifts may require it."""

    @endpoint(limit="verify", errors=[AgeUnverified, ServiceUnavailable("faceid")])
    async def post(self, params: VerifyAgeRequest) -> None:
        await self.context.services.accounts.age_verification.verify(
            self.user, params.name, params.id_number
        )


class LikeHandler(ActiveUserHandler):
    @endpoint(limit="like", errors=[UserNotFound])
    async def post(self, params: LikeRequest) -> OkResponse:
        """Like a user, or remove the like."""
        await self._check_target(params.user_id)
        matches = self.context.services.accounts.matches
        change = matches.like if params.like_state else matches.unlike
        await change(self.user_id, params.user_id)
        return OkResponse(detail="ok")

    @endpoint(limit="read", errors=[UserNotFound])
    async def get(self, params: UserRequest) -> LikeStateResponse:
        """Read whether the caller likes a user."""
        await self._check_target(params.user_id)
        pair = await self.context.stores.matches.of(self.user_id, params.user_id)
        return LikeStateResponse(like_state=1 if self.user_id in pair.likes else 0)

    async def _check_target(self, user_id: str) -> None:
        self.check_other(user_id, "you cannot like yourself")
        await self.context.stores.users.get(user_id)


def sign_own(handler: ActiveUserHandler) -> dict[str, Any]:
    """Return the fields of a UserInfoResponse: a UserSig of the caller's own, and its expiry."""
    sig = handler.context.tencent.im.user_sig(handler.user_id, SIG_SECONDS)
    expiry = datetime.now(UTC) + timedelta(seconds=SIG_SECONDS)
    return {"user_sig": sig, "user_sig_expired": expiry}
