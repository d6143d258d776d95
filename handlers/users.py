"""People: login, who they are, where they are, logout."""

from datetime import UTC, datetime, timedelta

import structlog

from handlers import answers, asks
from handlers.admission import SignedIn, token_in
from handlers.base import Handler, call
from handlers.evictions import evict
from handlers.parts import Parts
from handlers.places import USER_TYPE, place_of
from realtime.bus import Revoked
from rooms.refusals import BadEncryptedData, NotSignedIn
from storage.tokens import token_id
from storage.users import User
from tencent import userdata
from tencent.xpay import PROVIDER as XPAY


class Login(Handler):
    """Exchange a WeChat code for a token."""

    @call
    async def post(self, ask: asks.Login) -> answers.Login | answers.LoginIntoRoom:
        parts = self.parts
        login = await parts.wechat.exchange(ask.appId, ask.code)
        user = await parts.users.by_openid(ask.appId, login.openid)
        if user is None:
            return answers.Login(status=1)
        await parts.users.update(user.user_id, last_login_time=datetime.now(UTC))
        await _keep_session_key(parts, user.user_id, login.session_key)
        known = {
            "status": 0,
            "token": await _new_token(parts, user.user_id),
            "user_id": user.user_id,
            "user_sign": parts.sigs.sign(user.user_id, sig_seconds(self)),
            "sdk_app_id": str(parts.settings.im.sdk_app_id),
        }
        room, role = await place_of(parts, user.user_id)
        if room is None or role is None:
            return answers.Login.model_validate(known)
        return answers.LoginIntoRoom.model_validate(
            known
            | {
                "login_type": 1,
                "user_type": USER_TYPE[role],
                "live_room_name": room.name,
                "live_id": room.live_id,
                "group_id": room.group_id,
            }
        )


class CreateUser(Handler):
    """Become a user with the profile that WeChat encrypted."""

    @call
    async def post(self, ask: asks.CreateUser) -> answers.NewUser:
        parts = self.parts
        login = await parts.wechat.exchange(ask.appId, ask.code)
        data = userdata.decrypt(login.session_key, ask.encryptedData, ask.iv, ask.appId)
        known = userdata.profile(data)
        if known.openid not in (None, login.openid):
            raise BadEncryptedData
        user, _ = await parts.users.create(
            ask.appId,
            login.openid,
            nickname=asks.tidy_name(known.nickname),
            gender=known.gender,
            face_url=known.face_url,
            last_login_time=datetime.now(UTC),
        )
        await _keep_session_key(parts, user.user_id, login.session_key)
        await parts.errand_store.add("account_import", {"user_id": user.user_id})
        parts.errands.nudge()
        return answers.NewUser(
            token=await _new_token(parts, user.user_id),
            user_id=user.user_id,
            user_sign=parts.sigs.sign(user.user_id, sig_seconds(self)),
            sdk_app_id=str(parts.settings.im.sdk_app_id),
        )


class UpdateUserinfo(SignedIn):
    """Change what one says of oneself; the room is told of a visible person's new face."""

    @call
    async def post(self, ask: asks.UpdateUserinfo) -> answers.UserInfo:
        parts, old = self.parts, self.user
        changes = ask.model_dump(exclude_none=True)
        if not changes:
            return own_info(self, old)
        user = await parts.users.update_profile(old.user_id, **changes)
        if place := await parts.members.get(user.user_id):
            await self._tell(place.live_id)
            parts.hub.stir(place.live_id)
        if user.person().face() != old.person().face():
            await parts.errand_store.add("portrait_set", {"user_id": user.user_id})
            parts.errands.nudge()
        return own_info(self, user)

    async def _tell(self, live_id: int) -> None:
        """The room, of who they are by now: a later change may have been told already."""
        user_id, person = self.user.user_id, self.user.person()

        async def learn() -> None:
            nonlocal person
            person = (await self.parts.users.get(user_id)).person()

        await self.parts.keeper.change(
            live_id, lambda room: room.update_profile(person), user_id, learn=learn
        )


class GetUserinfo(SignedIn):
    """Oneself with one's secrets, or somebody else without theirs."""

    only_reads = True

    @call
    async def get(self, ask: asks.SomeUser) -> answers.UserInfoWithRate:
        rate = str((await self.parts.catalogue.wares()).withdraw_rate)
        if ask.user_id in (None, self.user.user_id):
            info = own_info(self, self.user)
        else:
            info = others_info(await self.parts.users.get(ask.user_id))
        return answers.UserInfoWithRate(**dict(info), rate=rate)


class GetUserState(SignedIn):
    """Where one is, and as what."""

    only_reads = True

    @call
    async def get(self) -> answers.UserState:
        room, role = await place_of(self.parts, self.user.user_id)
        if room is None or role is None:
            return answers.UserState()
        return answers.UserState(
            live_room_name=room.name,
            live_id=room.live_id,
            group_id=room.group_id,
            user_type=USER_TYPE[role],
        )


class Logout(Handler):
    """Leave everything and give the token back; a host's live ends. Repeating it is OK."""

    async def admit(self) -> None:
        """A token that was given back still says whose it was: a crash may have cut us short.
        Once settled it moves nobody: by then they may be back with another."""
        tokens, self.token = self.parts.tokens, token_in(self.request)
        owner = await tokens.owner(self.token)
        known = (owner, False) if owner else await tokens.given_back(self.token)
        if known is None:
            raise NotSignedIn
        self.user_id, self.settled = known
        structlog.contextvars.bind_contextvars(user_id=self.user_id)

    @call
    async def get(self) -> answers.Ok:
        if not self.settled:
            await self.parts.tokens.revoke(self.token)
            await evict(self.parts, Revoked(token_id(self.token)))
            await self.parts.keeper.take_out(self.user_id)
            await self.parts.tokens.settle(self.token)
        return answers.Ok()


async def _new_token(parts: Parts, user_id: str) -> str:
    """A socket that was opened with a token which had to make room for it is closed."""
    token, dropped = await parts.tokens.issue(user_id)
    for old in dropped:
        await evict(parts, Revoked(old))
    return token


def own_info(handler: SignedIn, user: User) -> answers.UserInfo:
    seconds = sig_seconds(handler)
    sig = handler.parts.sigs.sign(user.user_id, seconds)
    expires = datetime.now(UTC) + timedelta(seconds=seconds)
    return _info(user, sig, expires, user.gold, user.income, user.last_login_time)


def others_info(user: User) -> answers.UserInfo:
    return _info(user, "", None, None, None, user.last_login_time)


def sig_seconds(handler: Handler) -> int:
    """A UserSig lives as long as a token."""
    return handler.parts.settings.auth.token_days * 86_400


def _info(
    user: User,
    sig: str,
    expires: datetime | None,
    gold: int | None,
    income: int | None,
    last_login: datetime | None,
) -> answers.UserInfo:
    return answers.UserInfo(
        user_id=user.user_id,
        user_sig=sig,
        user_sig_expired=expires,
        nickname=user.nickname,
        gender=user.gender,
        age=user.age,
        face_url=user.face_url,
        area=user.area,
        gold=gold,
        height=user.height,
        is_matchmaker=user.is_matchmaker,
        income=income,
        last_login_time=last_login,
        create_time=user.create_time,
    )


async def _keep_session_key(parts: Parts, user_id: str, key: str) -> None:
    """For what the user is to sign on our side: nothing but virtual payment."""
    if parts.settings.pay.provider == XPAY:
        await parts.users.keep_session_key(user_id, parts.vault.seal(key, user_id))
