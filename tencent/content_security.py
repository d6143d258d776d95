"""WeChat's content security: checks of texts, of users, and of pictures, with events as results.

Source: WeChat server API, msgSecCheck and mediaCheckAsync, version 2, and getUserRiskRank.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import structlog

from core.retry import jittered
from rooms.moderation import Verdict
from tencent.errors import ServiceUnavailable, Unreadable
from tencent.json_reader import json_text, object_or_none, text
from tencent.service_client import ServiceClient
from tencent.wechat import AccessTokenCache

log = structlog.get_logger("tencent.content_security")

VERSION, PICTURE, PROFILE_SCENE, SIGN_IN_SCENE = 2, 2, 1, 0
RISK_RANKS = range(5)
BUSY = -1
BUSY_PAUSE_SECONDS = 0.3
SUGGESTIONS = ("pass", "review", "risky")


class Author(Protocol):
    """The user of a mini-program whose content is checked."""

    @property
    def app_id(self) -> str: ...
    @property
    def openid(self) -> str: ...


class NotChecked(Exception):
    """WeChat has not checked the content: it is away or busy, or the user's visit is too long ago
    (61010). The code is only logged."""


class ContentSecurityClient:
    """Checks content in the name of its author, who has used the mini-program within two hours."""

    def __init__(self, client: ServiceClient, tokens: AccessTokenCache) -> None:
        self._client = client
        self._tokens = tokens

    async def check_text(self, author: Author, content: str) -> Verdict:
        """The verdict on a text of a profile, of at most 2,500 characters; NotChecked."""
        answer = await self._check(author, "msg_sec_check", {"content": content})
        if (verdict := _verdict(answer)) is None:
            raise NotChecked("no result")
        return verdict

    async def send_picture(self, author: Author, url: str) -> str:
        """Has the picture at a public address checked; returns the trace id of its event.
        NotChecked."""
        content = {"media_url": url, "media_type": PICTURE}
        answer = await self._check(author, "media_check_async", content)
        try:
            return text(answer, "trace_id")
        except Unreadable:
            raise NotChecked("no trace_id") from None

    async def risk_rank(self, user: Author, client_ip: str) -> int:
        """How risky a user is who signs in from this address: 0 (unknown) to 4. NotChecked."""
        request = {
            "appid": user.app_id,
            "openid": user.openid,
            "scene": SIGN_IN_SCENE,
            "client_ip": client_ip,
        }
        rank = (await self._call(user, "getuserriskrank", request)).get("risk_rank")
        if type(rank) is not int or rank not in RISK_RANKS:
            raise NotChecked("no rank")
        return rank

    async def _check(self, author: Author, name: str, content: Mapping[str, Any]) -> dict[str, Any]:
        check = {"version": VERSION, "scene": PROFILE_SCENE, "openid": author.openid}
        return await self._call(author, name, {**content, **check})

    async def _call(self, author: Author, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer without an error; a busy WeChat is asked once more."""
        try:
            answer = await self._post(author, name, request)
            if answer.get("errcode") == BUSY:
                await asyncio.sleep(jittered(BUSY_PAUSE_SECONDS))
                answer = await self._post(author, name, request)
        except ServiceUnavailable as error:
            raise NotChecked(error.code) from None
        errcode = answer.get("errcode")
        if errcode not in (None, 0):
            log.warning("content_not_checked", call=name, errcode=errcode)
            raise NotChecked(str(errcode))
        return answer

    async def _post(self, author: Author, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        async def send(token: str) -> dict[str, Any]:
            # Escaped characters would be judged as such, so the JSON is raw UTF-8.
            body, query = json_text(request).encode(), {"access_token": token}
            response = await self._client.request(
                "POST", f"/wxa/{name}", query, body, safe_to_repeat=True
            )
            answer = object_or_none(response.body)
            return {"errcode": f"HTTP {response.status}"} if answer is None else answer

        return await self._tokens.call(author.app_id, send)


class MediaResult(NamedTuple):
    """The event about a picture; `verdict` is None if WeChat could not check it."""

    trace_id: str
    verdict: Verdict | None


def parse_media_event(content: Mapping[str, Any]) -> MediaResult:
    """Unreadable without a trace id. An item's own error means that the picture was not read."""
    trace_id, detail = text(content, "trace_id"), content.get("detail")
    items = detail if isinstance(detail, list) else []
    failed = [item for item in items if isinstance(item, dict) and item.get("errcode")]
    is_unread = bool(failed) or bool(content.get("errcode") or content.get("status_code"))
    return MediaResult(trace_id, None if is_unread else _verdict(content))


def _verdict(content: Mapping[str, Any]) -> Verdict | None:
    """The verdict in an answer or event; the label is a number in one and text in the other."""
    result = content.get("result")
    if not isinstance(result, dict) or result.get("suggest") not in SUGGESTIONS:
        return None
    return Verdict(
        result["suggest"], str(result.get("label", ""))[:32], str(content.get("trace_id", ""))
    )
