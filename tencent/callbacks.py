"""What Tencent tells us by itself: who came and went on IM, which stream began or ended on CSS."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

IM_SECONDS = 60
"""Between RequestTime and now; Tencent's own recommendation."""
LIVE_SECONDS = 86400
"""The furthest `t` ahead of now. Tencent signs for some 10 minutes and repeats for a quarter of an
hour; a day forgives any clock, and a signature that leaks is worthless tomorrow."""
LONGEST = 256  # characters of an id

IM_STATES = {"Login": True, "Logout": False, "Disconnect": False}
GROUP_STATES = {"Online": True, "Offline": False}
STREAM_STATES = {1: True, 0: False}


@dataclass(frozen=True, slots=True)
class StateChange:
    """An account came (`online`) or went, on its last device; `reason` is IM's word for how."""

    user_id: str
    online: bool
    at_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class GroupMembers:
    """Members of one chat group came or went."""

    group_id: str
    user_ids: tuple[str, ...]
    online: bool
    at_ms: int


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """A push began (`on`) or ended at `at` unix seconds; both carry the same `sequence`, so that
    the end of an earlier push is told from that of the present one."""

    stream: str
    on: bool
    sequence: str
    at: int


Event = StateChange | GroupMembers | StreamEvent


@dataclass(frozen=True, slots=True)
class Heard:
    """One callback; `id` is the same for every repetition of it.

    It has either an event, or a word why it is `refused` (sign, stale, app, command, unreadable,
    no_key) or `ignored` (genuine, but nothing that concerns us).
    """

    id: str
    event: Event | None = None
    refused: str = ""
    ignored: str = ""


class _Refused(Exception):
    """`str()` is the word for it."""


def from_im(
    query: Mapping[str, str], body: bytes, token: str, sdk_app_id: int, now: float
) -> Heard:
    """A callback of IM; `token` is the one set in its console, `now` in unix seconds.

    Source: Tencent IM, "webhook authentication": Sign = sha256(token + RequestTime). It does not
    cover the body: what keeps strangers from reusing one is HTTPS.
    """
    command = query.get("CallbackCommand", "")
    digest = hashlib.sha256(command.encode() + b"\n" + body).hexdigest()
    try:
        _check_im(query, token, sdk_app_id, now)
        content = _object(body)
        if content.get("CallbackCommand") != command:
            raise _Refused("command")
        event = _im_event(command, content)
    except _Refused as refused:
        return Heard(digest, refused=str(refused))
    return Heard(digest, event, ignored="" if event else "unknown_command")


def from_live(body: bytes, key: str, now: float) -> Heard:
    """A callback of CSS; `key` is that of its callback template, `now` in unix seconds.

    Source: Tencent CSS, "event notification": sign = md5(key + t), where t is when it expires.
    As with IM it covers nothing else. An event is known by its type, stream and sequence.
    """
    digest = hashlib.sha256(body).hexdigest()
    try:
        content = _check_live(body, key, now)
        event_type = content.get("event_type")
        if type(event_type) is not int or event_type not in STREAM_STATES:
            return Heard(digest, ignored="unknown_event")
        event = _stream_event(content)
    except _Refused as refused:
        return Heard(digest, refused=str(refused))
    return Heard(f"{content['event_type']}:{event.stream}:{event.sequence}", event)


def _check_im(query: Mapping[str, str], token: str, sdk_app_id: int, now: float) -> None:
    stamp = query.get("RequestTime", "")
    _check_sign(token, hashlib.sha256(f"{token}{stamp}".encode()), query.get("Sign", ""))
    if abs(now - _number(stamp, 12)) > IM_SECONDS:
        raise _Refused("stale")
    if query.get("SdkAppid") != str(sdk_app_id):
        raise _Refused("app")


def _check_live(body: bytes, key: str, now: float) -> dict[str, Any]:
    """The content, once it is genuine."""
    if not key:
        raise _Refused("no_key")
    content = _object(body)
    expires = _number(content.get("t"), 12)
    # md5 is Tencent's choice and covers a secret prefix, nothing of ours depends on it.
    digest = hashlib.md5(f"{key}{expires}".encode(), usedforsecurity=False)
    _check_sign(key, digest, content.get("sign"))
    if not now <= expires <= now + LIVE_SECONDS:
        raise _Refused("stale")
    return content


def _check_sign(key: str, right: Any, given: object) -> None:
    if not key:
        raise _Refused("no_key")  # anybody could sign with an empty one
    if not hmac.compare_digest(right.hexdigest().encode(), str(given).encode()):
        raise _Refused("sign")


def _im_event(command: str, content: Mapping[str, Any]) -> Event | None:
    match command:
        case "State.StateChange":
            return _state_change(content)
        case "Group.CallbackOnMemberStateChange":
            online = GROUP_STATES.get(str(content.get("EventType")))
            return None if online is None else _members(content, "MemberList", online=online)
        case "Group.CallbackAfterMemberExit":
            return _members(content, "ExitMemberList", online=False)
        case "Group.CallbackAfterNewMemberJoin":
            return _members(content, "NewMemberList", online=True)
    return None


def _state_change(content: Mapping[str, Any]) -> StateChange | None:
    info = content.get("Info")
    if not isinstance(info, dict):
        raise _Refused("unreadable")
    online = IM_STATES.get(str(info.get("Action")))
    if online is None:
        return None
    user_id, at_ms = _id(info.get("To_Account")), _number(content.get("EventTime"), 15)
    return StateChange(user_id, online, at_ms, str(info.get("Reason", ""))[:LONGEST])


def _members(content: Mapping[str, Any], name: str, *, online: bool) -> GroupMembers:
    listed = content.get(name)
    if not isinstance(listed, list) or not all(isinstance(member, dict) for member in listed):
        raise _Refused("unreadable")
    user_ids = tuple(_id(member.get("Member_Account")) for member in listed)
    at_ms = _number(content.get("EventTime"), 15)
    return GroupMembers(_id(content.get("GroupId")), user_ids, online, at_ms)


def _stream_event(content: Mapping[str, Any]) -> StreamEvent:
    sequence = content.get("sequence")
    return StreamEvent(
        stream=_id(content.get("stream_id")),
        on=STREAM_STATES[content["event_type"]],
        sequence=_id(str(sequence) if type(sequence) is int else sequence),
        at=_number(content.get("event_time"), 12),
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
        # Refuses what no database could keep: halves of characters.
        json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise _Refused("unreadable") from None
    if not isinstance(content, dict):
        raise _Refused("unreadable")
    return content


def _id(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST:
        raise _Refused("unreadable")
    return value


def _number(value: object, digits: int) -> int:
    """Tencent writes numbers as text here and there; one of at most so many digits."""
    text = str(value) if type(value) is int else value
    # isdecimal would let other scripts' digits in, and int() more than digits
    good = isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= digits
    if not good:
        raise _Refused("unreadable")
    return int(str(text))
