"""Login, registration and logout."""

from typing import Annotated, Literal

import structlog
from pydantic import StringConstraints

from handlers.accounts.profiles import SIG_SECONDS, current_room
from handlers.base import Handler, endpoint
from handlers.models import Request, Response, Text, clean_name
from handlers.request_data import bearer_token
from services.errors import AccountBanned, NotAuthenticated
from tencent.errors import (
    InvalidEncryptedData,
    InvalidWechatCode,
    ServiceUnavailable,
    UnknownApp,
    WechatBlocked,
)


class LoginRequest(Request):
    appId: Text
    code: Text


class CreateUserRequest(LoginRequest):
    """`encryptedData`, with its `iv`: of wx.getUserProfile; it may be left out."""

    encryptedData: Annotated[str, StringConstraints(max_length=16_384)] = ""
    iv: Text = ""


class LoginResponse(Response):
    """`status` 0: signed in, 1: not registered yet (all other fields are empty)."""

    status: Literal[0, 1]
    token: str = ""
    user_id: str = ""
    user_sign: str = ""
    sdk_app_id: str = ""
    login_type: Literal[0, 1] = 0


class LoginIntoRoomResponse(LoginResponse):
    """`login_type` 1: the user is still in a room."""

    user_type: int
    live_room_name: str
    live_id: int
    group_id: str


class NewUserResponse(Response):
    token: str
    user_id: str
    user_sign: str
    sdk_app_id: str


SIGN_IN_ERRORS = (
    *(UnknownApp, InvalidWechatCode, WechatBlocked, AccountBanned),
    ServiceUnavailable("wechat"),
)


class LoginHandler(Handler):
    """Exchange a WeChat code for a token."""

    @endpoint(limit="login", errors=SIGN_IN_ERRORS)
    async def post(self, params: LoginRequest) -> LoginResponse | LoginIntoRoomResponse:
        user = await self.context.services.accounts.sign_in.log_in(
            params.appId, params.code, self.remote_ip
        )
        if user is None:
            return LoginResponse(status=1)
        fields = {"status": 0, **await _credentials(self, user.user_id)}
        if room := await current_room(self.context, user.user_id):
            return LoginIntoRoomResponse.model_validate({**fields, "login_type": 1, **room})
        return LoginResponse.model_validate(fields)


class CreateUserHandler(Handler):
    """Register a user, with the code of a login that has found none, or with another one."""

    @endpoint(limit="login", errors=[*SIGN_IN_ERRORS, InvalidEncryptedData])
    async def post(self, params: CreateUserRequest) -> NewUserResponse:
        user = await self.context.services.accounts.sign_in.register(
            params.appId,
            params.code,
            params.encryptedData,
            params.iv,
            self.remote_ip,
            clean_name,
        )
        return NewUserResponse(**await _credentials(self, user.user_id))


class LogoutHandler(Handler):
    """Leave the room and revoke the token; a host's live ends. Safe to repeat."""

    authorization_errors = (NotAuthenticated,)

    async def authorize(self) -> None:
        """Also accept a token revoked within a day: a crash may have cut its logout short.

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
    async def get(self) -> None:
        if not self.logout_complete:
            await self.context.services.accounts.sign_in.log_out(self.token, self.user_id)


async def _credentials(handler: Handler, user_id: str) -> dict[str, str]:
    """Return a new token and a UserSig.

    The UserSig is signed first: a ban that is stored after `begin` has checked for one also kicks
    this UserSig.
    """
    context = handler.context
    user_sig = context.tencent.im.user_sig(user_id, SIG_SECONDS)
    return {
        "token": await context.services.accounts.sessions.begin(user_id),
        "user_id": user_id,
        "user_sign": user_sig,
        "sdk_app_id": str(context.settings.im.sdk_app_id),
    }
