"""Verifies and parses callbacks of Tencent IM (presence, groups) and CSS (streams)."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from tencent.errors import NotVerified, Reason
from tencent.json_reader import (
    TEXT_LENGTH,
    ParsedCallback,
    child,
    digits,
    objects,
    read_object,
    text,
)

IM_MAX_AGE_SECONDS = 60
"""Largest difference between RequestTime and now; Tencent's recommendation."""
CSS_MAX_EXPIRY_SECONDS = 86400
"""How far ahead of now the expiry `t` may be. Tencent signs for about 10 minutes and repeats for a
quarter of an hour; a day tolerates any clock skew, and limits the use of a leaked signature."""
MAX_TEXT_LENGTH = 1_000  # characters

ONLINE_BY_ACTION = {"Login": True, "Logout": False, "Disconnect": False}
ONLINE_BY_MEMBER_EVENT = {"Online": True, "Offline": False}
ONLINE_BY_LIST = {
    "Group.CallbackAfterMemberExit": ("ExitMemberList", False),
    "Group.CallbackAfterNewMemberJoin": ("NewMemberList", True),
}
PUSHING_BY_EVENT_TYPE = {1: True, 0: False}
MEDIUM_BY_EVENT_TYPE: Mapping[int, Literal["sound", "picture"]] = {315: "sound", 317: "picture"}
NOT_SUSPICIOUS = "not_suspicious"
RECORDING = 332
RECORDING_FAILURES = ("record_start_failed", "record_error")
SUGGESTIONS = ("Block", "Review")
OLD_SCORE, MAX_SCORE = "(?!normal).+score", 100
GROUP_MESSAGE, USER_MESSAGE = "Group.CallbackBeforeSendMsg", "C2C.CallbackBeforeSendMsg"
"""Commands of the callbacks before a message, whose answer IM awaits for 2 s."""
BEFORE_MESSAGE = frozenset({GROUP_MESSAGE, USER_MESSAGE})
TEXTS, CUSTOMS = ("TIMTextElem", "TIMFaceElem"), ("TIMCustomElem",)
"""Kinds of elements of a message; the data of a face is read as a text is."""
MESSAGE_SENT = "C2C.CallbackAfterSendMsg"
"""Command of the callback about a message between two users, whether it was delivered or not."""
PROFILE_SET = "Profile.CallbackPortraitSet"

STATE_CHANGE, GROUP_DESTROYED = "State.StateChange", "Group.CallbackAfterGroupDestroyed"
MEMBER_STATE = "Group.CallbackOnMemberStateChange"
IM_COMMANDS = (
    *(STATE_CHANGE, MEMBER_STATE, *ONLINE_BY_LIST, GROUP_DESTROYED),
    *(*BEFORE_MESSAGE, MESSAGE_SENT, PROFILE_SET),
)
LIVE_EVENT_TYPES = (*PUSHING_BY_EVENT_TYPE, *MEDIUM_BY_EVENT_TYPE, RECORDING)


@dataclass(frozen=True, slots=True)
class ImPresence:
    """Users came online or went offline: in one chat group, or (None) on their last device."""

    user_ids: tuple[str, ...]
    online: bool
    at_ms: int
    group_id: str | None = None


@dataclass(frozen=True, slots=True)
class GroupDestroyed:
    """A chat group was dissolved."""

    group_id: str


@dataclass(frozen=True, slots=True)
class ImProfileSet:
    """A user changed the own profile at IM, past our checks."""

    user_id: str


@dataclass(frozen=True, slots=True)
class CustomMessage:
    """A user sent another user a message with a custom element at `at_ms`."""

    sender: str
    receiver: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class ProposedMessage:
    """A message that IM sends if we allow it: to a group or to another user.

    `texts` and `customs` have the fields of its texts and faces, and of its custom elements.
    """

    sender: str
    group_id: str = ""
    receiver: str = ""
    texts: tuple[str, ...] = ()
    customs: tuple[str, ...] = ()
    has_other_elements: bool = False
    """Whether it has pictures, sounds, files…"""

    @property
    def text(self) -> str:
        return " ".join(self.texts)


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """A push started (`on`) or ended at `at` unix seconds; both have the same `sequence`.

    It distinguishes the end of an earlier push from that of the current one.
    """

    stream: str
    on: bool
    sequence: str
    at: int


@dataclass(frozen=True, slots=True)
class StreamVerdict:
    """CSS finds a picture or the sound of a stream suspicious.

    `score` is 0 to 100, `suggestion` Block, Review or "", `url` the picture or the sound, `text`
    what is written or said in it.
    """

    stream: str
    medium: Literal["sound", "picture"]
    score: int
    suggestion: str
    label: str = ""
    url: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class RecordingFailure:
    """A stream is not recorded; `name` is one of RECORDING_FAILURES."""

    name: str


CallbackEvent = (
    ImPresence
    | GroupDestroyed
    | ImProfileSet
    | CustomMessage
    | ProposedMessage
    | StreamEvent
    | StreamVerdict
    | RecordingFailure
)


def parse_im_callback(
    query: Mapping[str, str], body: bytes, token: str, sdk_app_id: int, now: float
) -> ParsedCallback[CallbackEvent]:
    """Verify and parse a callback of IM.

    `token` is the one set in its console, `now` in unix seconds.
    Source: Tencent IM, "webhook authentication": Sign = sha256(token + RequestTime). It does not
    cover the body: only HTTPS keeps others from reusing a signature.
    """
    command, timestamp = query.get("CallbackCommand", ""), query.get("RequestTime", "")
    digest, kind = hashlib.sha256(command.encode() + b"\n" + body).hexdigest(), None
    try:
        signature = hashlib.sha256(f"{token}{timestamp}".encode())
        _verify_signature(token, signature, query.get("Sign", ""))
        kind = command
        if abs(now - digits(timestamp, 12)) > IM_MAX_AGE_SECONDS:
            raise NotVerified(Reason.STALE)
        if query.get("SdkAppid") != str(sdk_app_id):
            raise NotVerified(Reason.APP)
        # What a user writes must not keep a message or a name from being checked.
        content = read_object(body, storable=command not in (*BEFORE_MESSAGE, PROFILE_SET))
        if content.get("CallbackCommand") != command:
            raise NotVerified(Reason.COMMAND)
        event = _im_event(command, content, query.get("OptPlatform"))
    except NotVerified as error:
        return ParsedCallback(digest, refused=str(error.reason), kind=kind)
    return ParsedCallback(digest, event, ignored="" if event else "unknown_command", kind=kind)


def parse_live_streaming_callback(
    body: bytes, key: str, now: float
) -> ParsedCallback[CallbackEvent]:
    """Verify and parse a callback of CSS.

    `key` is that of its callback template, `now` in unix seconds.
    Source: Tencent CSS, "event notification": sign = md5(key + t), where t is the expiry time.
    As with IM it covers nothing else. Type, stream and sequence identify a start or end.
    """
    digest, kind = hashlib.sha256(body).hexdigest(), None
    try:
        if not key:
            raise NotVerified(Reason.NO_KEY)  # without one, CSS sends no `t` either
        content = read_object(body, storable=True)
        expires = digits(content.get("t"), 12)
        # Tencent prescribes MD5 over a secret prefix; nothing else depends on its strength.
        signature = hashlib.md5(f"{key}{expires}".encode(), usedforsecurity=False)
        _verify_signature(key, signature, content.get("sign"))
        kind = str(content.get("event_type"))
        if not now <= expires <= now + CSS_MAX_EXPIRY_SECONDS:
            raise NotVerified(Reason.STALE)
        return replace(_live_event(content, digest), kind=kind)
    except NotVerified as error:
        return ParsedCallback(digest, refused=str(error.reason), kind=kind)


def _live_event(content: Mapping[str, Any], digest: str) -> ParsedCallback[CallbackEvent]:
    event_type = content.get("event_type")
    if type(event_type) is not int:
        return ParsedCallback(digest, ignored="unknown_event")
    if event_type in PUSHING_BY_EVENT_TYPE:
        event = _stream_event(content)
        return ParsedCallback(f"{event_type}:{event.stream}:{event.sequence}", event)
    if medium := MEDIUM_BY_EVENT_TYPE.get(event_type):
        verdict = _stream_verdict(content, medium)
        return ParsedCallback(digest, verdict, ignored="" if verdict else NOT_SUSPICIOUS)
    if event_type == RECORDING and content.get("record_event") in RECORDING_FAILURES:
        return ParsedCallback(digest, RecordingFailure(content["record_event"]))
    return ParsedCallback(digest, ignored="unknown_event")


def _verify_signature(key: str, expected: Any, given: object) -> None:
    if not key:
        raise NotVerified(Reason.NO_KEY)  # an empty key can be forged
    if not hmac.compare_digest(expected.hexdigest().encode(), str(given).encode()):
        raise NotVerified(Reason.SIGN)


def _im_event(command: str, content: Mapping[str, Any], platform: object) -> CallbackEvent | None:
    match command:
        case _ if command == STATE_CHANGE:
            return _state_change(content)
        case _ if command == MEMBER_STATE:
            online = ONLINE_BY_MEMBER_EVENT.get(str(content.get("EventType")))
            return None if online is None else _members(content, "MemberList", online=online)
        case _ if command in ONLINE_BY_LIST:
            name, online = ONLINE_BY_LIST[command]
            return _members(content, name, online=online)
        case _ if command == GROUP_DESTROYED:
            return GroupDestroyed(text(content, "GroupId"))
        case _ if command in BEFORE_MESSAGE:
            return _proposed_message(command, content)
        case _ if command == MESSAGE_SENT:
            return _custom_message(content)
        case _ if command == PROFILE_SET and platform not in (None, "RESTAPI"):  # our commands
            return ImProfileSet(text(content, "From_Account"))
    return None


def _state_change(content: Mapping[str, Any]) -> ImPresence | None:
    info = child(content, "Info")
    online = ONLINE_BY_ACTION.get(str(info.get("Action")))
    if online is None:
        return None
    return ImPresence((text(info, "To_Account"),), online, digits(content.get("EventTime"), 15))


def _custom_message(content: Mapping[str, Any]) -> CustomMessage | None:
    """Return None for a message without a custom element, or one that was not delivered."""
    kinds = [element.get("MsgType") for element in objects(content, "MsgBody")]
    if "TIMCustomElem" not in kinds or content.get("SendMsgResult") != 0:
        return None
    sender, receiver = text(content, "From_Account"), text(content, "To_Account")
    return CustomMessage(sender, receiver, digits(content.get("MsgTime"), 12) * 1000)


def _proposed_message(command: str, content: Mapping[str, Any]) -> ProposedMessage:
    elements, in_group = objects(content, "MsgBody"), command == GROUP_MESSAGE
    texts, customs = (
        tuple(
            value.encode(errors="replace").decode()
            for element in elements
            if element.get("MsgType") in kinds
            for value in child(element, "MsgContent").values()
            if isinstance(value, str)
        )
        for kinds in (TEXTS, CUSTOMS)
    )
    return ProposedMessage(
        text(content, "From_Account"),
        text(content, "GroupId") if in_group else "",
        "" if in_group else text(content, "To_Account"),
        texts,
        customs,
        any(element.get("MsgType") not in (*TEXTS, *CUSTOMS) for element in elements),
    )


def _members(content: Mapping[str, Any], name: str, *, online: bool) -> ImPresence:
    user_ids = tuple(text(member, "Member_Account") for member in objects(content, name))
    at_ms = digits(content.get("EventTime"), 15)
    return ImPresence(user_ids, online, at_ms, text(content, "GroupId"))


def _stream_event(content: Mapping[str, Any]) -> StreamEvent:
    sequence = content.get("sequence")
    if type(sequence) is int:
        content = {**content, "sequence": str(sequence)}
    return StreamEvent(
        text(content, "stream_id"),
        PUSHING_BY_EVENT_TYPE[content["event_type"]],
        text(content, "sequence"),
        digits(content.get("event_time"), 12),
    )


def _stream_verdict(
    content: Mapping[str, Any], medium: Literal["sound", "picture"]
) -> StreamVerdict | None:
    """Return None if nothing is suspicious. The names of fields are spelt in several ways."""
    fields = {name.lower().replace("_", ""): value for name, value in content.items()}
    suggestion = str(fields.get("suggestion") or "").capitalize()
    is_harmless = fields.get("type") in (0, [0]) or fields.get("hitflag") == 0
    if suggestion == "Pass" or is_harmless:
        return None
    of_classes = [_score(fields[name]) for name in fields if re.fullmatch(OLD_SCORE, name)]
    label, written, url = (
        next((value for name in names if isinstance(value := fields.get(name), str)), "")
        for names in (("label", "sublabel", "subtag"), ("ocrmsg", "asrtext"), ("img", "cdnurl"))
    )
    return StreamVerdict(
        text(fields, "streamid"),
        medium,
        _score(fields.get("score", of_classes)),
        suggestion if suggestion in SUGGESTIONS else "",
        label[:TEXT_LENGTH],
        url if url.startswith(("http://", "https://")) else "",
        written[:MAX_TEXT_LENGTH],
    )


def _score(value: object) -> int:
    """Return the highest of one or several scores, which are numbers or texts."""
    values = map(str, value if isinstance(value, list) else [value])
    scores = [float(one) for one in values if re.fullmatch(r"\d+(\.\d+)?(e\+\d+)?", one)]
    return int(min(MAX_SCORE, max(scores, default=0)))
