"""Client of WeChat's login API: exchanges a code for an openid and a session key."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from core.errors import QLiveError, RateLimited
from tencent.errors import InvalidWechatCode, ServiceUnavailable, UnknownApp, WechatBlocked
from tencent.json_reader import object_or_none
from tencent.service_client import ServiceClient

log = structlog.get_logger("tencent.wechat")

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


@dataclass(frozen=True, slots=True)
class WechatLogin:
    """`session_key` is base64 of 16 bytes and must never reach a client or a log."""

    openid: str
    session_key: str = field(repr=False)
    unionid: str | None


class WechatClient:
    """WeChat's server API for the mini-programs in `apps` (appId -> secret)."""

    def __init__(self, client: ServiceClient, apps: Mapping[str, str]) -> None:
        self._client = client
        self._apps = dict(apps)

    async def exchange(self, app_id: str, code: str) -> WechatLogin:
        """Exchanges a wx.login code, which is valid once and for 5 minutes.

        UnknownApp, InvalidWechatCode, RateLimited, WechatBlocked, ServiceUnavailable.
        Source: WeChat server API, auth.code2Session (GET, HTTP 200 for errors as well).
        """
        if app_id not in self._apps:
            raise UnknownApp()
        answer = await self._request_session(app_id, code)
        if answer.get("errcode") == BUSY_CODE:
            # The only failure that guarantees that the code has not been used up.
            jitter = random.uniform(0.5, 1.5)
            await asyncio.sleep(BUSY_PAUSE_SECONDS * jitter)
            answer = await self._request_session(app_id, code)
        return self._parse_login(answer)

    async def _request_session(self, app_id: str, code: str) -> dict[str, Any]:
        query = {
            "appid": app_id,
            "secret": self._apps[app_id],
            "js_code": code,
            "grant_type": "authorization_code",
        }
        # Not repeated: if the response was lost, the code is already used up.
        response = await self._client.get("/sns/jscode2session", query)
        # The Content-Type is often text/plain and therefore ignored.
        answer = object_or_none(response.body)
        if answer is None:
            log.error("code2session_unreadable", status=response.status)
            raise ServiceUnavailable(self._client.service)
        return answer

    def _parse_login(self, answer: Mapping[str, Any]) -> WechatLogin:
        errcode = answer.get("errcode") or 0  # absent or 0 on success
        if errcode in ERRORS_BY_CODE:
            raise ERRORS_BY_CODE[errcode]()
        openid, session_key = answer.get("openid"), answer.get("session_key")
        if errcode or not _is_non_empty(openid) or not _is_non_empty(session_key):
            log_failure = log.error if errcode in CONFIG_ERROR_CODES else log.warning
            log_failure(
                "code2session_failed", errcode=errcode, settings=errcode in CONFIG_ERROR_CODES
            )
            raise ServiceUnavailable(self._client.service)
        unionid = answer.get("unionid")
        return WechatLogin(str(openid), str(session_key), str(unionid) if unionid else None)


def _is_non_empty(value: object) -> bool:
    return isinstance(value, str) and value != ""
