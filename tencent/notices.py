"""Subscription messages of WeChat: sending one, and the events about them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from core.clock import CHINA_TZ
from tencent.errors import ServiceUnavailable, Unreadable
from tencent.json_reader import digits, json_text, objects, text
from tencent.message_push import NOTICE_SENT
from tencent.wechat import BUSY_CODE, WechatApi, WechatCall

NoticeOutcome = Literal[
    "sent", "lost", "no_consent", "title_refused", "busy", "unknown_user", "limited", "rejected"
]
OUTCOMES: Mapping[object, NoticeOutcome] = {
    0: "sent",
    None: "sent",
    BUSY_CODE: "busy",
    43101: "no_consent",
    45168: "title_refused",
    40003: "unknown_user",
    45009: "limited",
    45011: "limited",
}
"""By errcode. Any other is a wrong setting, such as 40037 (template), 41030 (page) and 47003 (name
of a field), with which every message would be rejected."""
ACCEPTED = ("accept", "acceptWithAudio")
THING_LENGTH = 20


class NoticeAnswer(NamedTuple):
    """`lost`: WeChat may have sent the message or not."""

    outcome: NoticeOutcome
    msg_id: str = ""
    errcode: object = 0


class NoticeEvent(NamedTuple):
    """The user's choice about a template, or what became of a message if there is a `msg_id`."""

    id: str
    template_id: str
    at: int
    """WeChat's time, in seconds."""
    is_positive: bool
    """The user has accepted, or the message was delivered."""
    msg_id: str = ""


class NoticeClient:
    """Sends messages of one template. Source: WeChat server API, subscribeMessage.send."""

    def __init__(self, api: WechatApi, template_id: str, *, is_published: bool) -> None:
        """Take whether messages open the published version of the mini-program."""
        self._api = api
        self._template = {
            "template_id": template_id,
            "miniprogram_state": "formal" if is_published else "developer",
            "lang": "zh_CN",
        }

    async def is_ready(self, app_id: str) -> bool:
        """Return whether there is a token, without which a message would count as lost."""
        try:
            return bool(await self._api.tokens.get(app_id))
        except ServiceUnavailable:
            return False

    async def send(
        self, app_id: str, openid: str, page: str, values: Mapping[str, str]
    ) -> NoticeAnswer:
        """Send a message, once more only if WeChat says that it is busy.

        A message whose answer is lost is not repeated, since it may have been sent.
        """
        data = {name: {"value": value} for name, value in values.items()}
        request = json_text({"touser": openid, **self._template, "page": page, "data": data})
        path = "/cgi-bin/message/subscribe/send"
        call = WechatCall(app_id, path, request, safe_to_repeat=False)
        try:
            content = (await self._api.send(call)).content
        except ServiceUnavailable:
            content = {}
        if not content:
            return NoticeAnswer("lost")
        errcode = content.get("errcode")
        outcome = OUTCOMES.get(errcode, "rejected")
        return NoticeAnswer(outcome, str(content.get("msgid", "")), errcode)


def notice_values(
    fields: Mapping[str, str], title: str, host: str, started_at: int
) -> dict[str, str]:
    """Return the values by the template's names of title, host and time (ms), cut to size."""
    at = datetime.fromtimestamp(started_at / 1000, UTC).astimezone(CHINA_TZ)
    time = f"{at.year}年{at.month}月{at.day}日 {at:%H:%M}"
    values = {"title": title[:THING_LENGTH], "host": host[:THING_LENGTH], "time": time}
    return {fields[name]: value for name, value in values.items()}


def parse_notice_events(content: Mapping[str, Any]) -> list[NoticeEvent]:
    """Return the parts of an event, whose `List` is an object if there is only one.

    Raises Unreadable.
    """
    name, at = text(content, "Event"), digits(content.get("CreateTime"), 12)
    rows = content.get("List")
    events = []
    for row in objects({"List": [rows] if isinstance(rows, dict) else rows}, "List"):
        template_id, id_ = text(row, "TemplateId"), f"{name}:{at}"
        if name == NOTICE_SENT:
            msg_id, errcode = row.get("MsgID"), row.get("ErrorCode")
            if not msg_id:
                raise Unreadable
            delivered = str(errcode) == "0"
            events.append(NoticeEvent(id_, template_id, at, delivered, str(msg_id)))
        else:
            accepted = row.get("SubscribeStatusString") in ACCEPTED
            events.append(NoticeEvent(id_, template_id, at, accepted))
    return events
