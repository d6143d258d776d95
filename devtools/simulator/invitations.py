"""Simulated invitations of WeChat: activity ids, URL Links, and codes that can be scanned."""

import io
import re
import secrets
from collections.abc import Callable
from typing import Any

import segno

from devtools.simulator.requests import PrivateMessageRequest
from devtools.simulator.wechat import SimulatedWechat, error_reply, openid_of
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, json_reply

BAD_TOKEN, BAD_OPENID, BAD_PATH, BAD_TIME, QUOTA_USED_UP = 40001, 40003, 40165, 85401, 45009
BAD_CHARACTER, TOO_LONG, NO_SUCH_PAGE = 40129, 40169, 41030
ACTIVITY_SECONDS = 24 * 3600
SCENE = re.compile(r"[0-9A-Za-z!#$'()*+,/:;=?._~-]+")
"""Without @ and &, which WeChat documents, but refuses."""
LINKS_A_DAY = 500_000


class SimulatedInvitations:
    """Invitations to `page`, the only page of the published version."""

    def __init__(self, wechat: SimulatedWechat, page: str, now: Callable[[], float]) -> None:
        self.links_left = LINKS_A_DAY
        """How many links may still be made, for tests."""
        self._wechat = wechat
        self._page = page
        self._now = now
        self._activities: dict[str, tuple[str, float]] = {}
        """Openid of the sender and expiry, by activity id."""

    def answer(self, request: SimulatorRequest) -> SimulatorReply:
        """Answer HTTP 200 for success and failure alike, as WeChat does."""
        if not self._wechat.is_access_token(request.query.get("access_token", "")):
            return error_reply(BAD_TOKEN, "invalid credential")
        content = request.json_object() or {}
        match request.path:
            case "/wxa/generate_urllink":
                return self._make_link(content)
            case "/wxa/getwxacodeunlimit":
                return self._make_code(content)
        return self._make_activity(request)

    def receive(self, request: PrivateMessageRequest) -> dict[str, Any]:
        """Return the result of wx.authPrivateMessage on the phone of `name`.

        Raises ValueError if this user has not logged in.
        """
        sender, expires_at = self._activities.get(request.activity_id, ("", 0.0))
        is_valid = self._now() < expires_at and (
            not request.sender or sender == openid_of(request.sender)
        )
        content = {"activityId": request.activity_id}
        sealed = self._wechat.encrypt(request.name, content, request.appId)
        return {"valid": is_valid, **(sealed if is_valid else {"encryptedData": "", "iv": ""})}

    def _make_activity(self, request: SimulatorRequest) -> SimulatorReply:
        if request.method != "GET" or not (openid := request.query.get("openid")):
            return error_reply(BAD_OPENID, "invalid openid")
        activity_id, expires_at = secrets.token_urlsafe(36), self._now() + ACTIVITY_SECONDS
        self._activities[activity_id] = openid, expires_at
        activity = {"activity_id": activity_id, "expiration_time": int(expires_at)}
        return json_reply({"errcode": 0, "errmsg": "ok", **activity})

    def _make_link(self, content: dict[str, Any]) -> SimulatorReply:
        if content.get("path") != f"/{self._page}":
            return error_reply(BAD_PATH, "invalid weapp pagepath")
        if content.get("expire_type") != 0 or content.get("expire_time", 0) <= self._now():
            return error_reply(BAD_TIME, "time limit")
        if not self.links_left:
            return error_reply(QUOTA_USED_UP, "reach max api daily quota limit")
        self.links_left -= 1
        link = f"https://wxaurl.cn/{secrets.token_hex(6)}"
        return json_reply({"errcode": 0, "errmsg": "ok", "url_link": link})

    def _make_code(self, content: dict[str, Any]) -> SimulatorReply:
        scene = str(content.get("scene") or "")
        if not 0 < len(scene) <= 32:
            return error_reply(TOO_LONG, "invalid length for scene, or the data is not json string")
        if not SCENE.fullmatch(scene):
            return error_reply(BAD_CHARACTER, "invalid scene")
        if content.get("page") != self._page:
            return error_reply(NO_SUCH_PAGE, "invalid page")
        picture = io.BytesIO()
        segno.make(f"{self._page}?scene={scene}", error="m").save(picture, kind="png", scale=10)
        return SimulatorReply(200, {"Content-Type": "image/png"}, picture.getvalue())
