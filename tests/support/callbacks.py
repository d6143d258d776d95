"""Callbacks of Tencent IM and CSS, signed as their senders sign them."""

import hashlib
import json
import time
from typing import Any
from urllib.parse import urlencode

from config.settings import Settings
from tests.support.client import BASE, Api, Reply


class CallbackSender:
    """Sends callbacks signed with the keys of the settings."""

    def __init__(self, api: Api, settings: Settings) -> None:
        self.api = api
        self.settings = settings

    async def im(self, content: Any, **query: str) -> Reply:
        """Send an IM callback signed now, or such a body; `query` replaces parameters."""
        im, timestamp = self.settings.im, query.get("RequestTime", str(int(time.time())))
        is_body = isinstance(content, bytes)
        params = {
            "SdkAppid": str(im.sdk_app_id),
            "CallbackCommand": "x" if is_body else content.get("CallbackCommand", "x"),
            "contenttype": "json",
            "ClientIP": "203.0.113.7",
            "OptPlatform": "IOS",
            "Sign": hashlib.sha256(f"{im.callback_token}{timestamp}".encode()).hexdigest(),
            "RequestTime": timestamp,
            **query,
        }
        body = content if is_body else json.dumps(content).encode()
        return await self.post(f"im/callback/?{urlencode(params)}", body)

    async def live(self, content: dict[str, Any], **overrides: Any) -> Reply:
        """Send a CSS callback signed for ten minutes from now; `overrides` replaces fields."""
        expires = overrides.get("t", int(time.time()) + 600)
        key = self.settings.live_streaming.callback_key
        sign = hashlib.md5(f"{key}{expires}".encode()).hexdigest()
        return await self.post(
            "live/callback/",
            json.dumps({**content, "t": expires, "sign": sign, **overrides}).encode(),
        )

    async def post(self, path: str, body: bytes) -> Reply:
        return await self.api.request("POST", BASE + path, data=body)


def proposed(sender: str, **receiver: str) -> dict[str, Any]:
    """The callback before a text to a `GroupId` or to an account `To_Account`."""
    kind = "Group" if "GroupId" in receiver else "C2C"
    element = {"MsgType": "TIMTextElem", "MsgContent": {"Text": "a private word"}}
    command = f"{kind}.CallbackBeforeSendMsg"
    return {"CallbackCommand": command, "From_Account": sender, **receiver, "MsgBody": [element]}


def message(sender: str, receiver: str, **fields: Any) -> dict[str, Any]:
    """The callback after a custom message between two users."""
    return {
        "CallbackCommand": "C2C.CallbackAfterSendMsg",
        "From_Account": sender,
        "To_Account": receiver,
        "MsgSeq": 48374,
        "MsgRandom": 2837546,
        "MsgTime": int(time.time()),
        "MsgKey": "48374_2837546_1557481126",
        "OnlineOnlyFlag": 0,
        "SendMsgResult": 0,
        "ErrorInfo": "send msg succeed",
        "MsgBody": [{"MsgType": "TIMCustomElem", "MsgContent": {"Data": "{}"}}],
        **fields,
    }
