"""The login of a mini-program: a code from the phone becomes an openid and a session key."""

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from rooms.refusals import (
    BadWechatCode,
    Refusal,
    ServiceAway,
    TooMany,
    UnknownApp,
    WechatBlocked,
)
from tencent.outside import Outside

log = structlog.get_logger("tencent.wechat")

# Error numbers of code2Session. 40163 (used) is missing from WeChat's table and frequent in
# practice: a phone that submits twice.
BUSY = -1
REFUSALS: dict[int, type[Refusal]] = {
    40029: BadWechatCode,  # invalid or older than 5 minutes
    40163: BadWechatCode,  # used before
    41008: BadWechatCode,  # missing
    45011: TooMany,
    40226: WechatBlocked,
}
OUR_SETTINGS = frozenset({40013, 41002, 41004, 40125})  # appid or secret, wrong or missing

BUSY_PAUSE = 0.2  # seconds


@dataclass(frozen=True, slots=True)
class Login:
    """`session_key` is base64 of 16 bytes and must never reach a client or a log."""

    openid: str
    session_key: str = field(repr=False)
    unionid: str | None


class WeChat:
    """WeChat's server API for the mini-programs in `apps` (appId -> secret)."""

    def __init__(self, outside: Outside, apps: Mapping[str, str]) -> None:
        self._outside = outside
        self._apps = dict(apps)

    async def exchange(self, app_id: str, code: str) -> Login:
        """Exchanges a wx.login code, which works once and for 5 minutes.

        UnknownApp, BadWechatCode, TooMany, WechatBlocked, ServiceAway.
        Source: WeChat server API, auth.code2Session (GET, HTTP 200 for errors as well).
        """
        if app_id not in self._apps:
            raise UnknownApp()
        answer = await self._ask(app_id, code)
        if answer.get("errcode") == BUSY:
            # The only failure that says that the code has not been used up.
            jitter = random.uniform(0.5, 1.5)
            await asyncio.sleep(BUSY_PAUSE * jitter)
            answer = await self._ask(app_id, code)
        return self._login(answer)

    async def _ask(self, app_id: str, code: str) -> dict[str, Any]:
        query = {
            "appid": app_id,
            "secret": self._apps[app_id],
            "js_code": code,
            "grant_type": "authorization_code",
        }
        # Not repeated: an answer lost on the way has used up the code.
        response = await self._outside.get("/sns/jscode2session", query)
        try:
            # The Content-Type is text/plain more often than not: only the body counts.
            answer = json.loads(response.body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            log.error("unreadable_answer_of_code2session", status=response.status)
            raise ServiceAway(self._outside.name)
        return answer

    def _login(self, answer: Mapping[str, Any]) -> Login:
        errcode = answer.get("errcode") or 0  # absent or 0 on success
        if errcode in REFUSALS:
            raise REFUSALS[errcode]()
        openid, session_key = answer.get("openid"), answer.get("session_key")
        if errcode or not _filled(openid) or not _filled(session_key):
            level = log.error if errcode in OUR_SETTINGS else log.warning
            level("code2session_failed", errcode=errcode, settings=errcode in OUR_SETTINGS)
            raise ServiceAway(self._outside.name)
        unionid = answer.get("unionid")
        return Login(str(openid), str(session_key), str(unionid) if unionid else None)


def _filled(value: object) -> bool:
    return isinstance(value, str) and value != ""
