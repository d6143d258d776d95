"""Users: login, registration, profiles, current room, likes, logout."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from core.errors import InvalidParameter
from handlers.base import ActiveUserHandler, Handler, endpoint
from handlers.request_data import bearer_token
from handlers.rooms import current_room
from handlers.schemas import requests, responses
from handlers.schemas.names import clean_name
from rooms.errors import GenderInUse
from services.errors import AccountBanned, NotAuthenticated
from storage.accounts.users import User
from storage.errors import UserNotFound
from tencent.errors import (
    InvalidEncryptedData,
    InvalidWechatCode,
    ServiceUnavailable,
    UnknownApp,
    WechatBlocked,
)

SIGN_IN_ERRORS = (
    *(UnknownApp, InvalidWechatCode, WechatBlocked, AccountBanned),
    ServiceUnavailable("wechat"),
)


class LoginHandler(Handler):
    """Exchange a WeChat code for a token."""

    @endpoint(limit="login", errors=SIGN_IN_ERRORS)
    async def post(
        self, params: requests.LoginRequest
    ) -> responses.LoginResponse | responses.LoginIntoRoomResponse:
        user = await self.context.services.sign_in.log_in(params.appId, params.code)
        if user is None:
            return responses.LoginResponse(status=1)
        fields = {"status": 0, **await _credentials(self, user.user_id)}
        if room := await current_room(self.context, user.user_id):
            return responses.LoginIntoRoomResponse.model_validate(
                {**fields, "login_type": 1, **room}
            )
        return responses.LoginResponse.model_validate(fields)


class CreateUserHandler(Handler):
    """Register a user with the profile that WeChat encrypted."""

    @endpoint(limit="login", errors=[*SIGN_IN_ERRORS, InvalidEncryptedData])
    async def post(self, params: requests.CreateUserRequest) -> responses.NewUserResponse:
        user = await self.context.services.sign_in.register(
            params.appId, params.code, params.encryptedData, params.iv, clean_name
        )
        return responses.NewUserResponse(**await _credentials(self, user.user_id))


class UpdateUserinfoHandler(ActiveUserHandler):
    """Update the profile; the room is notified when a visible user's name or face changes."""

    @endpoint(limit="profile", errors=[GenderInUse])
    async def post(self, params: requests.UpdateUserinfoRequest) -> responses.UserInfoResponse:
        changes = params.model_dump(exclude_none=True)
        user, signed = self.user, sign_own(self)  # before the update, during which a ban may kick
        if changes:
            user = await self.context.services.profiles.update(user, **changes)
            if user.banned:
                raise AccountBanned
        else:
            user = await self.active(await self.context.stores.tokens.user_of(self.token))
        return responses.UserInfoResponse.model_validate(user).model_copy(update=signed)


class GetUserinfoHandler(ActiveUserHandler):
    """Own profile including credentials, or another user's public profile."""

    read_only = True

    async def admit(self) -> None:
        """Leaves the user to `get`, which reads it once."""
        await self.admit_cached_token()

    @endpoint(limit="read", errors=[UserNotFound])
    async def get(self, params: requests.OptionalUserRequest) -> responses.UserInfoWithRateResponse:
        # Without the rate "0", not a refusal: a client cannot start without its profile.
        rate = str((await self.context.services.catalogue.current()).withdraw_rate or 0)
        is_own = params.user_id in (None, self.user_id)
        user, changes = await (self._own() if is_own else self._other(params.user_id or ""))
        answer = responses.UserInfoWithRateResponse.model_validate(user)
        return answer.model_copy(update={**changes, "rate": rate})

    async def _own(self) -> tuple[User, dict[str, Any]]:
        """Signs a UserSig, then reads session and user, both in the database.

        A kick that IM has carried out before does not end it; one that comes later does.
        """
        signed = sign_own(self)
        return await self.active(await self.context.stores.tokens.user_of(self.token)), signed

    async def _other(self, user_id: str) -> tuple[User, dict[str, Any]]:
        users = self.context.stores.users
        own, user = await asyncio.gather(users.find(self.user_id), users.find(user_id))
        await self.active(own)
        if user is None:
            raise UserNotFound
        return user, dict.fromkeys(("gold", "income", "show_in_ranking"))


class GetUserStateHandler(ActiveUserHandler):
    """The user's current room and role in it."""

    read_only = True

    @endpoint(limit="read")
    async def get(self) -> responses.UserStateResponse:
        room = await current_room(self.context, self.user.user_id)
        return responses.UserStateResponse.model_validate(room)


class LikeHandler(ActiveUserHandler):
    @endpoint(limit="like", errors=[UserNotFound])
    async def post(self, params: requests.LikeRequest) -> responses.OkResponse:
        """Like a user, or remove the like."""
        await self._check_target(params.user_id)
        change = (
            self.context.stores.likes.put if params.like_state else self.context.stores.likes.drop
        )
        await change(self.user.user_id, params.user_id)
        return responses.OkResponse(detail="ok")

    @endpoint(limit="read", errors=[UserNotFound])
    async def get(self, params: requests.UserRequest) -> responses.LikeStateResponse:
        """Read whether the caller likes a user."""
        await self._check_target(params.user_id)
        liked = await self.context.stores.likes.has(self.user.user_id, params.user_id)
        return responses.LikeStateResponse(like_state=1 if liked else 0)

    async def _check_target(self, user_id: str) -> None:
        if user_id == self.user.user_id:
            raise InvalidParameter({"user_id": "you cannot like yourself"})
        await self.context.stores.users.get(user_id)


class LogoutHandler(Handler):
    """Leave the room and revoke the token; a host's live ends. Safe to repeat."""

    admission_errors = (NotAuthenticated,)

    async def admit(self) -> None:
        """Also admit a token revoked within a day: a crash may have cut its logout short.

        A logout that was completed is not repeated: the user may be back with another token.
        """
        self.token = bearer_token(self.request)
        tokens = self.context.stores.tokens
        owner = await tokens.user_id_of(self.token)
        if owner:
            self.limit_user(owner)
            self.user_id, self.logout_complete = owner, False
        else:  # a stolen token that was revoked must not use up its owner's requests
            self.limit_address("anonymous")
            session = await tokens.revoked_owner(self.token)
            if session is None:
                raise NotAuthenticated
            self.user_id, self.logout_complete = session
        structlog.contextvars.bind_contextvars(user_id=self.user_id)

    @endpoint(limit="read")  # a user can always log out
    async def get(self) -> responses.OkResponse:
        if not self.logout_complete:
            await self.context.services.sign_in.log_out(self.token, self.user_id)
        return responses.OkResponse()


async def _credentials(handler: Handler, user_id: str) -> dict[str, str]:
    """A new token and a UserSig.

    The UserSig is signed first: a ban that is stored after `begin` has checked for one also kicks
    this UserSig.
    """
    context = handler.context
    user_sig = context.tencent.im.user_sig(user_id, sig_seconds(handler))
    return {
        "token": await context.services.sessions.begin(user_id),
        "user_id": user_id,
        "user_sign": user_sig,
        "sdk_app_id": str(context.settings.im.sdk_app_id),
    }


def sign_own(handler: ActiveUserHandler) -> dict[str, Any]:
    """Fields of a UserInfoResponse: a UserSig of the caller's own, and its expiry."""
    seconds = sig_seconds(handler)
    sig = handler.context.tencent.im.user_sig(handler.user_id, seconds)
    expiry = datetime.now(UTC) + timedelta(seconds=seconds)
    return {"user_sig": sig, "user_sig_expired": expiry}


def sig_seconds(handler: Handler) -> int:
    """Lifetime of a UserSig in seconds."""
    return handler.context.settings.auth.sig_hours * 3600
