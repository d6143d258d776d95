"""Simulated activity cards, URL Links, and codes that can be scanned."""

import io
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import segno

from devtools.simulator.requests import PrivateMessageRequest
from devtools.simulator.wechat import SimulatedWechat, error_reply
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, json_reply

ACTIVITY_SECONDS = 24 * 3600
SCENE = re.compile(r"[0-9A-Za-z!#$'()*+,/:;=?._~-]{1,32}")


@dataclass(eq=False)
class SimulatedActivityCards:
    """Ways to `page`, the only published one. Tests set `links_left`."""

    _wechat: SimulatedWechat
    _page: str
    _now: Callable[[], float]
    links_left: int = 500_000
    _activities: dict[str, float] = field(default_factory=dict)
    """Expiry, by activity id."""

    def answer(self, request: SimulatorRequest) -> SimulatorReply:
        """Answer HTTP 200 for success and failure alike, as WeChat does."""
        if not self._wechat.is_access_token(request.query.get("access_token", "")):
            return error_reply(40001, "invalid credential")
        content = request.json_object() or {}
        if request.path == "/wxa/generate_urllink":
            return self._make_link(content)
        if request.path == "/wxa/getwxacodeunlimit":
            return self._make_code(content)
        if request.method != "GET" or not request.query.get("openid"):
            return error_reply(40003, "invalid openid")
        activity_id, expires_at = secrets.token_urlsafe(36), self._now() + ACTIVITY_SECONDS
        self._activities[activity_id] = expires_at
        activity = {"activity_id": activity_id, "expiration_time": int(expires_at)}
        return json_reply({"errcode": 0, "errmsg": "ok", **activity})

    def open_message(self, request: PrivateMessageRequest) -> dict[str, Any]:
        """Return the result of wx.authPrivateMessage. Raises ValueError before the first login."""
        data = self._wechat.encrypt(request.name, {"activityId": request.activity_id})
        if self._activities.get(request.activity_id, 0.0) <= self._now():
            return {"valid": False, "encryptedData": "", "iv": ""}
        return {"valid": True, **data}

    def _make_link(self, content: dict[str, Any]) -> SimulatorReply:
        if content.get("path") != f"/{self._page}" or content["expire_time"] <= self._now():
            return error_reply(40165, "invalid weapp pagepath or time")
        if not self.links_left:
            return error_reply(45009, "reach max api daily quota limit")
        self.links_left -= 1
        link = f"https://wxaurl.cn/{secrets.token_hex(6)}"
        return json_reply({"errcode": 0, "errmsg": "ok", "url_link": link})

    def _make_code(self, content: dict[str, Any]) -> SimulatorReply:
        scene = str(content.get("scene", ""))
        if content.get("page") != self._page or not SCENE.fullmatch(scene):
            return error_reply(40169, "invalid page or scene")
        picture = io.BytesIO()
        segno.make(f"{self._page}?scene={scene}", error="m").save(picture, kind="png", scale=10)
        return SimulatorReply(200, {"Content-Type": "image/png"}, picture.getvalue())
