"""Simulated Tencent IM messages: validated, rate-limited and recorded for tests."""

import json
from collections import deque
from collections.abc import Callable, Container
from typing import Any

BAD_PARAMETER, GROUP_NOT_FOUND, RATE_LIMITED, TOO_LONG = 10004, 10010, 10023, 80002
NO_ACCOUNT, NO_USER = 70107, 20003
BAD_JSON, BAD_BODY, NO_RECIPIENT, NO_RANDOM, BAD_LIFE_TIME = 90001, 90002, 90003, 90005, 90026

PRIORITIES = ("High", "Normal", "Low", "Lowest")
ELEMENTS = {"TIMTextElem": "Text", "TIMCustomElem": "Data"}  # type -> its required text field
MESSAGE_BYTES = 12 * 1024  # the larger of two documented limits
PER_SECOND = 40  # messages to one group
DEDUPLICATION_SECONDS = 300.0  # for a group; for one user only within the same second
LIFE_TIME = 604_800  # seconds

MAX_RECORDED = 1000

Outcome = tuple[int, dict[str, Any]]


class SimulatedMessages:
    """Messages to groups and to single users.

    `sent`: the last MAX_RECORDED ones, in order, as
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
        self._recent: dict[str, deque[float]] = {}
        self._answered: dict[tuple[object, ...], tuple[float, dict[str, Any]]] = {}

    def send_group_msg(self, content: dict[str, Any]) -> Outcome:
        if code := self._group_message_error(content):
            return code, {}
        group_id, now = content["GroupId"], self._now()
        key = (group_id, content["Random"], json.dumps(content["MsgBody"]))
        if (previous := self._answered.get(key)) and now - previous[0] < DEDUPLICATION_SECONDS:
            return 0, previous[1]
        if self._exceeds_rate(group_id, now):
            return RATE_LIMITED, {}
        self._sequences[group_id] = self._sequences.get(group_id, 0) + 1
        answer = {"MsgTime": int(now), "MsgSeq": self._sequences[group_id]}
        self._remember(key, answer)
        priority = content.get("MsgPriority", "Normal")
        self._record({"group": group_id, "priority": priority}, content, content["Random"])
        return 0, answer

    def sendmsg(self, content: dict[str, Any]) -> Outcome:
        if code := self._user_message_error(content):
            return code, {}
        to, random, now = content["To_Account"], content["MsgRandom"], self._now()
        key = (to, random, json.dumps(content["MsgBody"]), int(now))
        if previous := self._answered.get(key):
            return 0, previous[1]
        answer = {"MsgTime": int(now), "MsgKey": f"{random}_{random}_{int(now)}"}
        self._remember(key, answer)
        self._record({"to": to}, content, random)
        return 0, answer

    def _group_message_error(self, content: dict[str, Any]) -> int:
        sender = content.get("From_Account")
        if not _is_uint32(content.get("Random")) or not _is_body(content.get("MsgBody")):
            return BAD_PARAMETER
        if content.get("MsgPriority", "Normal") not in PRIORITIES or "OnlineOnlyFlag" in content:
            return BAD_PARAMETER
        if _size(content) > MESSAGE_BYTES:
            return TOO_LONG
        if sender is not None and sender not in self._accounts:
            return NO_ACCOUNT
        return 0 if str(content.get("GroupId")) in self._groups else GROUP_NOT_FOUND

    def _user_message_error(self, content: dict[str, Any]) -> int:
        sender, to = content.get("From_Account"), content.get("To_Account")
        if not isinstance(to, str):
            return NO_RECIPIENT
        if not _is_uint32(content.get("MsgRandom")):
            return NO_RANDOM
        if content.get("SyncOtherMachine", 1) not in (1, 2):
            return BAD_JSON
        life_time = content.get("MsgLifeTime", LIFE_TIME)
        if type(life_time) is not int or not 0 <= life_time <= LIFE_TIME:
            return BAD_LIFE_TIME
        if not _is_body(content.get("MsgBody")):
            return BAD_BODY
        if _size(content) > MESSAGE_BYTES:
            return TOO_LONG
        known = to in self._accounts and (sender is None or sender in self._accounts)
        return 0 if known else NO_USER

    def _exceeds_rate(self, group_id: str, now: float) -> bool:
        recent = self._recent.setdefault(group_id, deque(maxlen=PER_SECOND))
        if len(recent) == PER_SECOND and now - recent[0] < 1:
            return True
        recent.append(now)
        return False

    def _remember(self, key: tuple[object, ...], answer: dict[str, Any]) -> None:
        now = self._now()
        while self._answered:  # ordered by age, oldest first
            oldest = next(iter(self._answered))
            if now - self._answered[oldest][0] < DEDUPLICATION_SECONDS:
                break
            del self._answered[oldest]
        self._answered[key] = (now, answer)

    def _record(self, recipient: dict[str, Any], content: dict[str, Any], random: int) -> None:
        first = content["MsgBody"][0]
        text = first["MsgContent"][ELEMENTS[first["MsgType"]]]
        self.sent.append({**recipient, "text": text, "random": random})


def _is_uint32(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**32


def _is_body(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_element, value))


def _is_element(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("MsgContent"), dict):
        return False
    name = ELEMENTS.get(str(value.get("MsgType")), "")
    return isinstance(value["MsgContent"].get(name), str)


def _size(content: dict[str, Any]) -> int:
    return len(json.dumps(content["MsgBody"], ensure_ascii=False).encode())
