"""Simulated Tencent IM messages: deduplicated and recorded for tests."""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Container, Mapping
from typing import Any
from urllib.parse import urlencode

from config.sections import ImSettings
from devtools.simulator.im_access import Outcome
from devtools.simulator.notifications import (
    JSON_HEADERS,
    SimulatedNotification,
    post_notification,
)

GROUP_NOT_FOUND, NO_ACCOUNT, NO_USER = 10010, 70107, 20003

DEDUPLICATION_SECONDS = 300.0  # for a group; for one user only within the same second
MAX_RECORDED = 1000
ANSWER_SECONDS = 2.0
GROUP_CODES, USER_CODES = range(10100, 10201), range(120001, 130001)


class SimulatedMessages:
    """Accepts messages to groups and to single users.

    `sent` has the last MAX_RECORDED ones, in order, as
    `{"group" | "to", "text", "priority"?, "random"}`.
    """

    def __init__(
        self, groups: Container[object], accounts: Container[object], now: Callable[[], float]
    ) -> None:
        self.sent: deque[dict[str, Any]] = deque(maxlen=MAX_RECORDED)
        self._groups = groups
        self._accounts = accounts
        self._now = now
        self._sequences: dict[str, int] = {}
        self._answered: dict[tuple[object, ...], tuple[float, dict[str, Any]]] = {}

    def send_group_msg(self, content: dict[str, Any]) -> Outcome:
        group_id, sender, now = content["GroupId"], content.get("From_Account"), self._now()
        if sender is not None and sender not in self._accounts:
            return NO_ACCOUNT, {}
        if group_id not in self._groups:
            return GROUP_NOT_FOUND, {}
        key = (group_id, content["Random"], json.dumps(content["MsgBody"]))
        if (previous := self._answered.get(key)) and now - previous[0] < DEDUPLICATION_SECONDS:
            return 0, previous[1]
        self._sequences[group_id] = self._sequences.get(group_id, 0) + 1
        answer = {"MsgTime": int(now), "MsgSeq": self._sequences[group_id]}
        self._remember(key, answer)
        priority = content.get("MsgPriority", "Normal")
        self._record({"group": group_id, "priority": priority}, content, content["Random"])
        return 0, answer

    def sendmsg(self, content: dict[str, Any]) -> Outcome:
        to, random, now = content["To_Account"], content["MsgRandom"], self._now()
        if any(user not in self._accounts for user in (to, content.get("From_Account", to))):
            return NO_USER, {}
        key = (to, random, json.dumps(content["MsgBody"]), int(now))
        if previous := self._answered.get(key):
            return 0, previous[1]
        answer = {"MsgTime": int(now), "MsgKey": f"{random}_{random}_{int(now)}"}
        self._remember(key, answer)
        self._record({"to": to}, content, random)
        return 0, answer

    def _remember(self, key: tuple[object, ...], answer: dict[str, Any]) -> None:
        now = self._now()
        while self._answered:  # ordered by age, oldest first
            oldest = next(iter(self._answered))
            if now - self._answered[oldest][0] < DEDUPLICATION_SECONDS:
                break
            del self._answered[oldest]
        self._answered[key] = (now, answer)

    def _record(self, recipient: dict[str, Any], content: dict[str, Any], random: int) -> None:
        element = content["MsgBody"][0]["MsgContent"]
        text = element["Text"] if "Text" in element else element["Data"]
        self.sent.append({**recipient, "text": text, "random": random})


async def ask_server(
    address: str, settings: ImSettings, message: Mapping[str, Any], now: float
) -> tuple[int, str]:
    """Send the callback before a message of a chat client, with GroupId or To_Account.

    Returns the code and text of a refusal. After any other answer, or none in time, the code is 0:
    the message is sent.
    """
    in_group = "GroupId" in message
    command = f"{'Group' if in_group else 'C2C'}.CallbackBeforeSendMsg"
    signed = f"{settings.callback_token}{int(now)}".encode()
    query = {
        "SdkAppid": settings.sdk_app_id,
        "CallbackCommand": command,
        "Sign": hashlib.sha256(signed).hexdigest(),
        "RequestTime": int(now),
    }
    content = json.dumps({"CallbackCommand": command, **message, "EventTime": int(now * 1000)})
    url = f"{address}?{urlencode(query)}"
    request = SimulatedNotification(url, content.encode(), JSON_HEADERS)
    _status, body = await post_notification(request, ANSWER_SECONDS)
    try:
        answer = json.loads(body)
        code, info = int(answer["ErrorCode"]), str(answer["ErrorInfo"])
    except (ValueError, KeyError, TypeError):
        return 0, ""
    return (code, info) if code in (GROUP_CODES if in_group else USER_CODES) else (0, "")
