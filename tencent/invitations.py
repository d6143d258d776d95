"""Invitations from outside: what WeChat makes of a ticket for a friend, a link or a code."""

from datetime import datetime

import structlog

from tencent.errors import ServiceUnavailable, Unreadable
from tencent.json_reader import json_text, text
from tencent.service_client import ServiceClient, ServiceResponse
from tencent.wechat import AccessTokenCache, WechatCall

log = structlog.get_logger("tencent.invitations")

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
"""How pictures begin; WeChat makes JPEG files."""
RELEASE = {"env_version": "release"}


class NotGiven(Exception):
    """WeChat is away, a quota is used up, or the mini-program may not make this call."""


class InvitationClient:
    """Private messages, URL Links and mini-program codes.

    All methods raise NotGiven, at most ANSWER_SECONDS (tencent/wechat.py) later. Source: WeChat
    server API, createActivityId, generateUrlLink and getUnlimitedQRCode.
    """

    def __init__(self, client: ServiceClient, tokens: AccessTokenCache) -> None:
        self._client = client
        self._tokens = tokens

    async def activity_id(self, app_id: str, openid: str) -> str:
        """Return the id of a private message that only this user can send, within 24 hours."""
        path, query = "/cgi-bin/message/wxopen/activityid/create", {"openid": openid}
        return await self._text(WechatCall(app_id, path, query=query, method="GET"), "activity_id")

    async def url_link(self, app_id: str, page: str, expires_at: datetime) -> str:
        """Return a link that opens a page until then, at most 30 days from now.

        `?cq=` and an encoded query, together at most 256 characters, may be appended to it.
        """
        expiry = {"expire_type": 0, "expire_time": int(expires_at.timestamp())}
        request = json_text({"path": f"/{page}", "query": "", **RELEASE, **expiry})
        return await self._text(WechatCall(app_id, "/wxa/generate_urllink", request), "url_link")

    async def code(self, app_id: str, page: str, scene: str) -> bytes:
        """Return the picture of a code that opens a page with this scene, for ever.

        `scene`: at most 32 letters and digits.
        """
        request = json_text({"scene": scene, "page": page, **RELEASE})
        call = WechatCall(app_id, "/wxa/getwxacodeunlimit", request)
        response = await self._call(call)
        is_json = "json" in response.headers.get("Content-Type", "")
        if is_json or not response.body.startswith((PNG, JPEG)):
            raise _not_given(call, f"HTTP {response.status}")
        return response.body

    async def _text(self, call: WechatCall, name: str) -> str:
        """Return the text in a field of the answer."""
        response = await self._call(call)
        try:
            return text(response.content, name)
        except Unreadable:
            raise _not_given(call, f"HTTP {response.status}") from None

    async def _call(self, call: WechatCall) -> ServiceResponse:
        """Return a response without an error."""
        try:
            response = await self._tokens.send_soon(self._client, call)
        except ServiceUnavailable:
            raise _not_given(call, "no answer") from None
        if errcode := response.content.get("errcode"):
            raise _not_given(call, errcode)
        return response


def _not_given(call: WechatCall, errcode: object) -> NotGiven:
    log.warning("invitation_not_given", call=call.path, errcode=errcode)
    return NotGiven(str(errcode))
