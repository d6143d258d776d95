"""Activity cards of WeChat (private messages), URL Links and mini-program codes."""

from dataclasses import dataclass
from datetime import datetime

from tencent.errors import Unreadable
from tencent.json_reader import json_text, text
from tencent.service_client import ServiceResponse
from tencent.wechat import WechatApi, WechatCall

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
"""How pictures begin; WeChat makes JPEG files."""


@dataclass
class ActivityCardClient:
    """Private messages, URL Links and mini-program codes.

    All methods raise ServiceUnavailable, also for a quota that is used up. Source: WeChat server
    API, createActivityId, generateUrlLink and getUnlimitedQRCode.
    """

    _api: WechatApi

    async def activity_id(self, app_id: str, openid: str) -> str:
        """Return the id of a private message that only this user can send, within 24 hours."""
        path, query = "/cgi-bin/message/wxopen/activityid/create", {"openid": openid}
        call = WechatCall(app_id, path, query=query, method="GET")
        return await self._api.ask(call, lambda answer: text(answer.content, "activity_id"))

    async def url_link(self, app_id: str, page: str, expires_at: datetime) -> str:
        """Return a link that opens a page until then, at most 30 days from now.

        `?cq=` and an encoded query, together at most 256 characters, may be appended to it.
        """
        expiry = {"expire_type": 0, "expire_time": int(expires_at.timestamp())}
        request = {"path": f"/{page}", "query": "", **expiry}
        call = WechatCall(app_id, "/wxa/generate_urllink", json_text(request))
        return await self._api.ask(call, lambda answer: text(answer.content, "url_link"))

    async def code(self, app_id: str, page: str, scene: str) -> bytes:
        """Return the picture of a code that opens a page with a `scene` of 32 letters at most."""
        request = json_text({"scene": scene, "page": page})
        call = WechatCall(app_id, "/wxa/getwxacodeunlimit", request)
        return await self._api.ask(call, _picture)


def _picture(answer: ServiceResponse) -> bytes:
    if not answer.body.startswith((PNG, JPEG)):
        raise Unreadable
    return answer.body
