"""WeChat's content security: checks of texts, of users, and of pictures, with events as results.

Source: WeChat server API, msgSecCheck and mediaCheckAsync, version 2, and getUserRiskRank.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog

from core.retry import jittered
from rooms.moderation import Verdict
from tencent.errors import ServiceUnavailable, Unreadable
from tencent.json_reader import json_text, object_or_none, text
from tencent.service_client import ServiceClient
from tencent.wechat import AccessTokenCache

log = structlog.get_logger("tencent.content_security")

PROFILE = {"version": 2, "scene": 1}
PICTURE, SIGN_IN = {"media_type": 2}, {"scene": 0}
RISK_RANKS = range(5)
BUSY, BUSY_PAUSE_SECONDS = -1, 0.3
ANSWER_SECONDS = 2.0
"""Longest wait for WeChat, with its repetition: a request may be waiting."""
SUGGESTIONS = ("pass", "review", "risky")


class NotChecked(Exception):
    """WeChat has not checked the content.

    It is away or busy, or the user's visit is too long ago (61010). The code is only logged.
    """


class ContentSecurityClient:
    """Checks content in the name of its author, who has used the mini-program within two hours.

    All methods raise NotChecked, at most ANSWER_SECONDS later.
    """

    def __init__(self, client: ServiceClient, tokens: AccessTokenCache) -> None:
        self._client = client
        self._tokens = tokens

    async def check_text(self, app_id: str, openid: str, content: str) -> Verdict:
        """Return the verdict on a text of a profile, of at most 2,500 characters."""
        request = {**PROFILE, "openid": openid, "content": content}
        verdict = _verdict(await self._call(app_id, "msg_sec_check", request))
        if verdict is None:
            raise NotChecked("no result")
        return verdict

    async def send_picture(self, app_id: str, openid: str, url: str) -> str:
        """Submit the picture at a public address to a check; return the trace id of its event."""
        request = {**PROFILE, **PICTURE, "openid": openid, "media_url": url}
        try:
            return text(await self._call(app_id, "media_check_async", request), "trace_id")
        except Unreadable:
            raise NotChecked("no trace_id") from None

    async def risk_rank(self, app_id: str, openid: str, client_ip: str) -> int:
        """Return how risky a user is who signs in from this address: 0 (unknown) to 4."""
        request = {**SIGN_IN, "appid": app_id, "openid": openid, "client_ip": client_ip}
        rank = (await self._call(app_id, "getuserriskrank", request)).get("risk_rank")
        if type(rank) is not int or rank not in RISK_RANKS:
            raise NotChecked("no rank")
        return rank

    async def _call(self, app_id: str, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Call WeChat, once more if it is busy. Raises NotChecked after an error or no answer."""

        async def send(token: str) -> dict[str, Any]:
            # Escaped characters would be judged as such, so the JSON is raw UTF-8.
            body, query = json_text(request).encode(), {"access_token": token}
            response = await self._client.request(
                "POST", f"/wxa/{name}", query, body, safe_to_repeat=True
            )
            return object_or_none(response.body) or {"errcode": f"HTTP {response.status}"}

        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._tokens.call(app_id, send)
                if answer.get("errcode") == BUSY:
                    await asyncio.sleep(jittered(BUSY_PAUSE_SECONDS))
                    answer = await self._tokens.call(app_id, send)
        except (ServiceUnavailable, TimeoutError):
            raise NotChecked("no answer") from None
        if errcode := answer.get("errcode"):
            log.warning("content_not_checked", call=name, errcode=errcode)
            raise NotChecked(str(errcode))
        return answer


def parse_media_event(content: Mapping[str, Any]) -> tuple[str, Verdict | None]:
    """Return trace id and verdict of a picture; the verdict is None if WeChat could not read it.

    An item's own error means that the picture was not read. Raises Unreadable without a trace id.
    """
    trace_id, detail = text(content, "trace_id"), content.get("detail")
    items = detail if isinstance(detail, list) else []
    parts = [content, *(item for item in items if isinstance(item, dict))]
    is_unread = any(part.get("errcode") or part.get("status_code") for part in parts)
    return trace_id, None if is_unread else _verdict(content)


def _verdict(content: Mapping[str, Any]) -> Verdict | None:
    """Return the verdict; its label is a number in an answer and text in an event."""
    result = content.get("result")
    if not isinstance(result, dict) or result.get("suggest") not in SUGGESTIONS:
        return None
    return Verdict(
        result["suggest"], str(result.get("label", ""))[:32], str(content.get("trace_id", ""))
    )
