"""Profiles and their pictures, verification of age, the room that a user is in, and likes."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from core.errors import InvalidParameter
from handlers.accounts.models import (
    LeavingUserInfoResponse,
    LikeRequest,
    LikeStateResponse,
    OptionalUserRequest,
    UpdateUserinfoRequest,
    UploadTicketRequest,
    UploadTicketResponse,
    UserInfoResponse,
    UserInfoWithRateResponse,
    UserRequest,
    UserStateResponse,
    VerifyAgeRequest,
)
from handlers.base import ActiveUserHandler, endpoint
from handlers.context import Context
from handlers.models import USER_TYPE, OkResponse
from rooms.errors import GenderInUse
from services.errors import (
    AccountBanned,
    AgeUnverified,
    Blocked,
    ContentRefused,
    UploadMissing,
    UploadRefused,
    UploadsOff,
)
from storage.accounts.users import User
from storage.errors import UserNotFound
from tencent.cos import VALID_SECONDS
from tencent.errors import ServiceUnavailable

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
        signed["in_review"] = await self.context.services.moderation.proposals.in_review(
            user.user_id
        )
        return UserInfoResponse.model_validate(user).model_copy(update=signed)


class GetUserinfoHandler(ActiveUserHandler):
    """Own profile including credentials, or another user's public profile."""

    read_only = True

    async def authorize(self) -> None:
        """Leaves the user to `get`, which reads it once."""
        await self.authorize_cached_token()

    @endpoint(limit="read", errors=[UserNotFound, Blocked])
    async def get(
        self, params: OptionalUserRequest
    ) -> UserInfoWithRateResponse | LeavingUserInfoResponse:
        # Without the rate "0", not a refusal: a client cannot start without its profile.
        rate = str((await self.context.services.gold.catalogue.current()).withdraw_rate or 0)
        is_own = params.user_id in (None, self.user_id)
        user, changes = await (self._own() if is_own else self._other(params.user_id or ""))
        is_leaving = is_own and user.delete_at
        model = LeavingUserInfoResponse if is_leaving else UserInfoWithRateResponse
        answer = model.model_validate(user)
        return answer.model_copy(update={**changes, "rate": rate})

    async def _own(self) -> tuple[User, dict[str, Any]]:
        """Signs a UserSig, then reads session and user, both in the database.

        A kick that IM has carried out before does not end it; one that comes later does.
        """
        signed = sign_own(self)
        user = await self.active(await self.context.stores.tokens.user_of(self.token))
        signed["in_review"] = await self.context.services.moderation.proposals.in_review(
            self.user_id
        )
        return user, signed

    async def _other(self, user_id: str) -> tuple[User, dict[str, Any]]:
        users = self.context.stores.users
        own, user = await asyncio.gather(users.find(self.user_id), users.find(user_id))
        own = await self.active(own)
        if user is None or user.deleted_at:
            raise UserNotFound
        await self.context.services.moderation.user_safety.check_pair(own, user_id)
        return user, dict.fromkeys(("gold", "income", "show_in_ranking"))


class UploadTicketHandler(ActiveUserHandler):
    """Permit the upload of a picture.

    The phone posts `fields` and then the file, as `file`, to `url`: a still picture with at most
    4,096 pixels a side. `key` then names it in update_userinfo or update_room. The ticket is valid
    for `seconds`.
    """

    @endpoint(limit="upload", errors=[UploadsOff])
    async def post(self, params: UploadTicketRequest) -> UploadTicketResponse:
        fields = await self.context.services.accounts.pictures.ticket(
            self.user.user_id, params.kind, params.type, params.size
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
        room = await current_room(self.context, self.user.user_id)
        return UserStateResponse.model_validate(room)


class VerifyAgeHandler(ActiveUserHandler):
    """Verify the caller as an adult by name and ID number; recharge and gifts may require it."""

    @endpoint(limit="verify", errors=[AgeUnverified, ServiceUnavailable("faceid")])
    async def post(self, params: VerifyAgeRequest) -> OkResponse:
        await self.context.services.accounts.age_verification.verify(
            self.user, params.name, params.id_number
        )
        return OkResponse()


class LikeHandler(ActiveUserHandler):
    @endpoint(limit="like", errors=[UserNotFound])
    async def post(self, params: LikeRequest) -> OkResponse:
        """Like a user, or remove the like."""
        await self._check_target(params.user_id)
        change = (
            self.context.stores.likes.put if params.like_state else self.context.stores.likes.drop
        )
        await change(self.user.user_id, params.user_id)
        return OkResponse(detail="ok")

    @endpoint(limit="read", errors=[UserNotFound])
    async def get(self, params: UserRequest) -> LikeStateResponse:
        """Read whether the caller likes a user."""
        await self._check_target(params.user_id)
        liked = await self.context.stores.likes.has(self.user.user_id, params.user_id)
        return LikeStateResponse(like_state=1 if liked else 0)

    async def _check_target(self, user_id: str) -> None:
        if user_id == self.user.user_id:
            raise InvalidParameter({"user_id": "you cannot like yourself"})
        await self.context.stores.users.get(user_id)


def sign_own(handler: ActiveUserHandler) -> dict[str, Any]:
    """Return the fields of a UserInfoResponse: a UserSig of the caller's own, and its expiry."""
    sig = handler.context.tencent.im.user_sig(handler.user_id, SIG_SECONDS)
    expiry = datetime.now(UTC) + timedelta(seconds=SIG_SECONDS)
    return {"user_sig": sig, "user_sig_expired": expiry}
