"""Login, registration and logout of users."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from core.batching import SingleFlight
from core.errors import InvalidParameter
from services.accounts.profiles import ProfileService
from services.accounts.sessions import SessionService
from services.errors import AccountBanned
from services.moderation.user_safety import UserSafetyService
from services.room_changes import RoomChanges
from storage.accounts.users import User
from storage.stores import Stores
from tencent.errors import InvalidEncryptedData, InvalidWechatCode
from tencent.wechat import WechatClient, WechatLogin, decrypt_open_data, parse_profile


@dataclass
class SignInService:
    """Logs users of WeChat in and out."""

    _stores: Stores
    _wechat: WechatClient
    _room_changes: RoomChanges
    _sessions: SessionService
    _profiles: ProfileService
    _user_safety: UserSafetyService
    _logins: SingleFlight[WechatLogin] = field(init=False)

    def __post_init__(self) -> None:
        self._logins = SingleFlight(self._open)

    async def log_in(self, app_id: str, code: str, client_ip: str) -> User | None:
        """Log in with a WeChat account; None if it is not registered yet.

        A registration with the same code may follow. Raises AccountBanned.
        """
        login = await self._logins.get(app_id, code)
        user = await self._stores.users.by_openid(app_id, login.openid)
        if user is None:
            return None
        if user.banned:
            raise AccountBanned
        if not await self._stores.code_sessions.use(app_id, code):
            raise InvalidWechatCode
        await self._user_safety.rank(user, client_ip)
        await self._stores.users.update(user.user_id, last_login_time=datetime.now(UTC))
        await self._stores.users.store_session_key(user.user_id, login.session_key)
        return user

    async def register(
        self,
        app_id: str,
        code: str,
        encrypted: str,
        iv: str,
        client_ip: str,
        clean_name: Callable[[str], str],
    ) -> User:
        """Create a user with the profile that WeChat encrypted, or return the existing one.

        `encrypted` may be "", since WeChat supplies no useful profile any more. A name or a face
        that is refused is left out. Raises AccountBanned.
        """
        login = await self._logins.get(app_id, code)
        data = decrypt_open_data(login.session_key, encrypted, iv, app_id) if encrypted else {}
        profile = parse_profile(data)
        if profile.openid not in (None, login.openid):
            raise InvalidEncryptedData
        if not await self._stores.code_sessions.use(app_id, code):
            raise InvalidWechatCode
        user, is_new = await self._stores.users.create(
            app_id, login.openid, gender=profile.gender, last_login_time=datetime.now(UTC)
        )
        if user.banned:
            raise AccountBanned
        content = {"nickname": clean_name(profile.nickname), "face_url": profile.face_url}

        async def propose() -> None:
            """Show what is allowed of a new user's profile."""
            for name, value in content.items() if is_new else ():
                if value:
                    with suppress(InvalidParameter):
                        await self._profiles.update(user, **{name: value})

        await asyncio.gather(self._user_safety.rank(user, client_ip), propose())  # wait for WeChat
        await self._stores.users.store_session_key(user.user_id, login.session_key)
        await self._stores.outbox.add("account_import", {"user_id": user.user_id})
        return user

    async def log_out(self, token: str, user_id: str) -> None:
        """End the session and leave every room; a host's live ends. Idempotent."""
        await self._sessions.end_own(token, user_id)
        await self._room_changes.remove(user_id)
        await self._stores.tokens.mark_logout_complete(token)

    async def _open(self, app_id: str, code: str) -> WechatLogin:
        """Return WeChat's session of a code, which WeChat returns only once.

        It is kept if its user has yet to register: calling wx.login again may change the key with
        which the phone has encrypted the profile. Raises InvalidWechatCode if the code was used.
        """
        sessions = self._stores.code_sessions
        kept = await sessions.find(app_id, code)
        if kept == []:
            raise InvalidWechatCode
        if kept:
            return WechatLogin(*kept)
        login = await self._wechat.exchange(app_id, code)
        if await self._stores.users.by_openid(app_id, login.openid) is None:
            await sessions.keep(app_id, code, login.openid, login.session_key)
        return login
