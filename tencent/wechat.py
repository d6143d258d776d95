"""WeChat's server API: logins, access tokens, content security and encrypted profiles."""

import asyncio
import base64
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple, TypeVar

import structlog
from Crypto.Cipher import AES
from Crypto.Util.Padding import unpad

from core.cache import Cache
from core.errors import QLiveError, RateLimited
from core.retry import jittered
from rooms.moderation import Verdict
from tencent.errors import (
    InvalidEncryptedData,
    InvalidWechatCode,
    ServiceUnavailable,
    UnknownApp,
    Unreadable,
    WechatBlocked,
)
from tencent.json_reader import json_text, number, text
from tencent.service_client import EMPTY, Method, ServiceClient, ServiceResponse

log = structlog.get_logger("tencent.wechat")

T = TypeVar("T")

# Error codes of code2Session. 40163 (used) is missing from WeChat's table but frequent in practice,
# when a client submits a code twice.
BUSY_CODE = -1
ERRORS_BY_CODE: dict[int, type[QLiveError]] = {
    40029: InvalidWechatCode,  # invalid or older than 5 minutes
    40163: InvalidWechatCode,  # used before
    41008: InvalidWechatCode,  # missing
    45011: RateLimited,
    40226: WechatBlocked,
}
CONFIG_ERROR_CODES = frozenset({40013, 41002, 41004, 40125})  # appid or secret wrong or missing

BUSY_PAUSE_SECONDS = 0.2
PROFILE = {"version": 2, "scene": 1}
RISK_RANKS = 5
SUGGESTIONS = ("pass", "review", "risky")
ANSWER_SECONDS = 2.0
"""Longest wait for an answer of WeChat, with its repetition: a request may be waiting."""
BLOCK_BYTES = 16  # bytes: AES-128-CBC
MAX_AVATAR_URL_LENGTH = 512  # characters
RENEWAL_MARGIN_SECONDS = 300
"""Tokens are renewed this long before they expire; the old one stays valid meanwhile."""
TOKEN_TIMEOUT_SECONDS = 8.0
INVALID_TOKEN_CODES = frozenset({40001, 40014, 42001})
"""Error codes of other calls for an invalid or expired token."""
# Since 2022-11 WeChat returns this placeholder name with gender 0 and a grey avatar.
PLACEHOLDER_NICKNAME = "微信用户"


@dataclass(frozen=True, slots=True)
class WechatLogin:
    """`session_key` is base64 of 16 bytes and must never reach a client or a log."""

    openid: str
    session_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class WechatProfile:
    """User profile as sent by the phone; "" and 0 mean "not set"."""

    openid: str | None
    nickname: str
    gender: int
    face_url: str


class WechatClient:
    """WeChat's server API for the mini-programs in `apps` (appId -> secret)."""

    def __init__(self, client: ServiceClient, apps: Mapping[str, str]) -> None:
        self._client = client
        self._apps = dict(apps)

    async def exchange(self, app_id: str, code: str) -> WechatLogin:
        """Exchange a wx.login code, which is valid once and for 5 minutes.

        Source: WeChat server API, auth.code2Session (GET, HTTP 200 for errors as well).
        Raises UnknownApp, InvalidWechatCode, RateLimited, WechatBlocked or ServiceUnavailable.
        """
        if app_id not in self._apps:
            raise UnknownApp()
        answer = await self._request_session(app_id, code)
        if answer.get("errcode") == BUSY_CODE:
            # The only failure that guarantees that the code has not been used up.
            await asyncio.sleep(jittered(BUSY_PAUSE_SECONDS))
            answer = await self._request_session(app_id, code)
        errcode = answer.get("errcode") or 0  # absent or 0 on success
        if errcode in ERRORS_BY_CODE:
            raise ERRORS_BY_CODE[errcode]()
        with suppress(Unreadable):
            if not errcode:
                return WechatLogin(text(answer, "openid"), text(answer, "session_key"))
        is_ours = errcode in CONFIG_ERROR_CODES
        log_failure = log.error if is_ours else log.warning
        log_failure("code2session_failed", errcode=errcode, settings=is_ours)
        raise ServiceUnavailable(self._client.service)

    async def _request_session(self, app_id: str, code: str) -> dict[str, Any]:
        query = {
            "appid": app_id,
            "secret": self._apps[app_id],
            "js_code": code,
            "grant_type": "authorization_code",
        }
        # Not repeated: if the response was lost, the code is already used up.
        response = await self._client.request("GET", "/sns/jscode2session", query)
        if not response.content:
            log.error("code2session_unreadable", status=response.status)
            raise ServiceUnavailable(self._client.service)
        return response.content


class WechatCall(NamedTuple):
    """A call in the name of a mini-program; its access token is added to the `query`."""

    app_id: str
    path: str
    body: str = ""
    query: Mapping[str, str] = EMPTY
    method: Method = "POST"
    safe_to_repeat: bool = True
    """Whether it is sent again if the answer is lost."""


class AccessTokenCache:
    """Caches one token per mini-program in `apps` (appId -> secret).

    Processes need no shared cache: WeChat returns the same token to all of them.
    Source: WeChat server API, "stable access token".
    """

    def __init__(self, client: ServiceClient, apps: Mapping[str, str]) -> None:
        self._client = client
        self._apps = dict(apps)
        self._tokens: Cache[str, str] = Cache(inf, len(apps))
        """By appId, each until it is to be renewed."""
        self._locks = defaultdict[str, asyncio.Lock](asyncio.Lock)

    async def get(self, app_id: str) -> str:
        """Return a valid token. Raises ServiceUnavailable, at most TOKEN_TIMEOUT_SECONDS later."""
        try:
            # One request for all callers.
            async with asyncio.timeout(TOKEN_TIMEOUT_SECONDS), self._locks[app_id]:
                return self._tokens.get(app_id) or await self._fetch(app_id)
        except TimeoutError:
            raise ServiceUnavailable(self._client.service) from None

    def reject(self, app_id: str, token: str) -> None:
        """Forget a token that WeChat has rejected, unless a newer one has replaced it."""
        if self._tokens.get(app_id) == token:
            self._tokens.invalidate(app_id)

    async def request(self, app_id: str) -> ServiceResponse:
        """Return the answer to a request for a token, which may be an error."""
        request = {
            "grant_type": "client_credential",
            "appid": app_id,
            "secret": self._apps.get(app_id, ""),
            "force_refresh": False,
        }
        return await self._client.request(
            "POST", "/cgi-bin/stable_token", body=json_text(request), safe_to_repeat=True
        )

    async def _fetch(self, app_id: str) -> str:
        start = self._tokens.begin_read()
        response = await self.request(app_id)
        answer = response.content
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token or type(seconds) is not int:
            errcode = answer.get("errcode")
            log.error("access_token_failed", errcode=errcode, status=response.status)
            raise ServiceUnavailable(self._client.service)
        self._tokens.put(app_id, token, start, seconds - RENEWAL_MARGIN_SECONDS)
        return token


class WechatApi:
    """WeChat's server API, over connections of its own: no other calls delay these."""

    def __init__(
        self, client: ServiceClient, tokens: AccessTokenCache, seconds: float | None = None
    ) -> None:
        """Take as `seconds` the longest wait for an answer, with its repetition."""
        self._client, self.tokens, self._seconds = client, tokens, seconds
        self.service = client.service

    async def send(self, call: WechatCall) -> ServiceResponse:
        """Return the response to a call, which is sent once more if WeChat says that it is busy.

        Raises ServiceUnavailable if there is none in time.
        """
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._send(call)
                if response.content.get("errcode") == BUSY_CODE:
                    await asyncio.sleep(jittered(BUSY_PAUSE_SECONDS))
                    response = await self._send(call)
                return response
        except TimeoutError:
            raise ServiceUnavailable(self.service) from None

    async def ask(self, call: WechatCall, read: Callable[[ServiceResponse], T]) -> T:
        """Return what `read` finds. Raises ServiceUnavailable, also for an errcode."""
        try:
            response = await self.send(call)
            if not (errcode := response.content.get("errcode")):
                return read(response)
        except ServiceUnavailable:
            errcode = "no answer"
        except Unreadable:
            errcode = "unreadable"
        log.warning("wechat_call_failed", call=call.path, errcode=errcode)
        raise ServiceUnavailable(self.service)

    async def _send(self, call: WechatCall) -> ServiceResponse:
        """Send a call; a token that WeChat rejects is renewed once."""
        for _ in range(2):
            token = await self.tokens.get(call.app_id)
            response = await self._client.request(
                call.method,
                call.path,
                {"access_token": token, **call.query},
                call.body,
                safe_to_repeat=call.safe_to_repeat,
            )
            if response.content.get("errcode") not in INVALID_TOKEN_CODES:
                break
            self.tokens.reject(call.app_id, token)
        return response


@dataclass
class ContentSecurityClient:
    """Checks content in the name of its author, who has used the mini-program within two hours.

    All methods raise ServiceUnavailable if WeChat is away or busy, or the user's visit is too long
    ago (61010). Source: WeChat server API, msgSecCheck and mediaCheckAsync, version 2, and
    getUserRiskRank.
    """

    _api: WechatApi

    async def check_text(self, app_id: str, openid: str, content: str) -> Verdict:
        """Return the verdict on a text of a profile, of at most 2,500 characters."""
        request = json_text({**PROFILE, "openid": openid, "content": content})
        return await self._api.ask(WechatCall(app_id, "/wxa/msg_sec_check", request), _text_verdict)

    async def send_picture(self, app_id: str, openid: str, url: str) -> str:
        """Submit the picture at a public address to a check; return the trace id of its event."""
        request = json_text({**PROFILE, "media_type": 2, "openid": openid, "media_url": url})
        call = WechatCall(app_id, "/wxa/media_check_async", request)
        return await self._api.ask(call, lambda answer: text(answer.content, "trace_id"))

    async def risk_rank(self, app_id: str, openid: str, client_ip: str) -> int:
        """Return how risky a user is who signs in from this address: 0 (unknown) to 4."""
        request = {"scene": 0, "appid": app_id, "openid": openid, "client_ip": client_ip}
        call = WechatCall(app_id, "/wxa/getuserriskrank", json_text(request))
        return await self._api.ask(
            call, lambda answer: number(answer.content, "risk_rank", RISK_RANKS)
        )


def parse_media_event(content: Mapping[str, Any]) -> tuple[str, Verdict | None]:
    """Return trace id and verdict of a picture; the verdict is None if WeChat could not read it.

    An item's own error means that the picture was not read. Raises Unreadable without a trace id.
    """
    trace_id, detail = text(content, "trace_id"), content.get("detail")
    items = detail if isinstance(detail, list) else []
    parts = [content, *(item for item in items if isinstance(item, dict))]
    is_unread = any(part.get("errcode") or part.get("status_code") for part in parts)
    return trace_id, None if is_unread else _verdict(content)


def _text_verdict(answer: ServiceResponse) -> Verdict:
    verdict = _verdict(answer.content)
    if verdict is None:
        raise Unreadable
    return verdict


def _verdict(content: Mapping[str, Any]) -> Verdict | None:
    """Return the verdict; its label is a number in an answer and text in an event."""
    result = content.get("result")
    if not isinstance(result, dict) or result.get("suggest") not in SUGGESTIONS:
        return None
    return Verdict(
        result["suggest"], str(result.get("label", ""))[:32], str(content.get("trace_id", ""))
    )


def decrypt_open_data(
    session_key: str, encrypted_data: str, iv: str, app_id: str
) -> dict[str, Any]:
    """Decrypt `encrypted_data` to its JSON object; key, data and `iv` are base64.

    CBC does not authenticate: only the watermark's appid and the secrecy of the key do.
    Source: WeChat, signature and encryption of open data (AES-128-CBC, PKCS#7, UTF-8 JSON).
    Raises InvalidEncryptedData for every failure, since the phone's remedy is always a new
    wx.login.
    """
    try:
        key, ciphertext, vector = map(_base64, (session_key, encrypted_data, iv))
        plaintext = unpad(AES.new(key, AES.MODE_CBC, vector).decrypt(ciphertext), BLOCK_BYTES)
        data = json.loads(plaintext.decode())
    except (ValueError, RecursionError):
        raise InvalidEncryptedData() from None
    watermark = data.get("watermark") if isinstance(data, dict) else None
    if not isinstance(watermark, dict) or watermark.get("appid") != app_id:
        raise InvalidEncryptedData()
    return dict(data)


def parse_profile(data: Mapping[str, Any]) -> WechatProfile:
    """Parse decrypted data leniently: missing values and placeholders count as not set."""
    openid, gender = data.get("openId"), data.get("gender")
    nickname, face_url = (
        value.strip() if isinstance(value := data.get(name), str) else ""
        for name in ("nickName", "avatarUrl")
    )
    is_placeholder = nickname == PLACEHOLDER_NICKNAME
    is_url = face_url.startswith(("http://", "https://")) and len(face_url) <= MAX_AVATAR_URL_LENGTH
    return WechatProfile(
        openid=openid if isinstance(openid, str) and openid else None,
        nickname="" if is_placeholder else nickname,
        gender=gender if type(gender) is int and gender in (1, 2) else 0,
        face_url=face_url if is_url and not is_placeholder else "",
    )


def _base64(text: str) -> bytes:
    """Decode base64, ignoring its layout.

    The layout is wrapped lines, and whitespace at the ends, which the length shows. Any other space
    was a "+" until a form turned it into one.
    """
    if "\n" in text or "\r" in text:
        text = "".join(text.split())
    elif len(text) % 4:
        text = text.strip()
    return base64.b64decode(text.replace(" ", "+"), validate=True)
