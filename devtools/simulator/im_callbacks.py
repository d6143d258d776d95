"""Simulated callback of Tencent IM before a chat client sends a message."""

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from config.sections import ImSettings
from devtools.simulator.notifications import (
    JSON_HEADERS,
    SimulatedNotification,
    post_notification,
)

ANSWER_SECONDS = 2.0
REFUSED_IN_GROUP, REFUSED_BY_USER = 10016, 20006
SILENT = 2


class SimulatedCallbacks:
    """Asks the server at `address` before a message; without an answer in time, it is sent."""

    def __init__(self, address: str, settings: ImSettings, now: Callable[[], float]) -> None:
        self._address = address
        self._settings = settings
        self._now = now

    async def before_message(self, message: Mapping[str, Any]) -> tuple[int, str]:
        """Error code and info for the sender: 0 if it is sent, SILENT if only the sender sees so.

        `message` has GroupId or To_Account.
        """
        in_group = "GroupId" in message
        command = "Group.CallbackBeforeSendMsg" if in_group else "C2C.CallbackBeforeSendMsg"
        timestamp = str(int(self._now()))
        token = self._settings.callback_token
        query = {
            "SdkAppid": str(self._settings.sdk_app_id),
            "CallbackCommand": command,
            "contenttype": "json",
            "ClientIP": "203.0.113.7",
            "OptPlatform": "IOS",
            "Sign": hashlib.sha256(f"{token}{timestamp}".encode()).hexdigest(),
            "RequestTime": timestamp,
        }
        content = {
            "CallbackCommand": command,
            **message,
            **({"Type": "AVChatRoom"} if in_group else {"MsgTime": int(self._now())}),
            "Random" if in_group else "MsgRandom": secrets.randbits(32),
            "OnlineOnlyFlag": 0,
            "CloudCustomData": "",
            "EventTime": int(self._now() * 1000),
        }
        url = f"{self._address}?{urlencode(query)}"
        request = SimulatedNotification(url, json.dumps(content).encode(), JSON_HEADERS)
        status, body = await post_notification(request, ANSWER_SECONDS)
        return _verdict(body, in_group=in_group) if status == 200 else (0, "")


def _verdict(body: bytes, *, in_group: bool) -> tuple[int, str]:
    """What an answer means; IM sends the message after one that it does not understand."""
    try:
        answer = json.loads(body)
        code, info = int(answer["ErrorCode"]), str(answer["ErrorInfo"])
    except (ValueError, KeyError, TypeError):
        return 0, ""
    if code == 1:
        return (REFUSED_IN_GROUP if in_group else REFUSED_BY_USER), info
    if code == SILENT and in_group:
        return SILENT, ""
    codes = range(10100, 10201) if in_group else range(120001, 130001)
    return (code, info) if code in codes else (0, "")
