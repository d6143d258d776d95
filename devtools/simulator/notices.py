"""Simulated subscription messages of WeChat: choices of users, messages, and their events."""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from devtools.simulator.notifications import SimulatedDelivery, SimulatedPushes
from devtools.simulator.requests import NextNoticesRequest, NoticeChoiceRequest
from devtools.simulator.wechat import SimulatedWechat, error_reply, openid_of
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, json_reply

TIME = re.compile(r"\d{4}年\d{1,2}月\d{1,2}日 \d{2}:\d{2}")
REFUSED_TITLE = "45168"
"""A title with this word is refused with this code."""


@dataclass(eq=False)
class SimulatedNotices:
    """Sends a message for each accepted choice, and reports it; tests read `sent`."""

    _wechat: SimulatedWechat
    _pushes: SimulatedPushes
    _delivery: SimulatedDelivery
    _page: str
    consents: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By openid and template."""
    sent: list[dict[str, Any]] = field(default_factory=list)
    """The messages, also those whose answers were lost."""
    _next: NextNoticesRequest = field(default_factory=NextNoticesRequest)

    def set_next(self, request: NextNoticesRequest) -> dict[str, Any]:
        """Answer the messages that follow with an error, or report what becomes of them."""
        self._next = request
        return request.model_dump()

    def choose(self, request: NoticeChoiceRequest) -> dict[str, Any]:
        """Note what the user of a phone answers, and send the event of it."""
        openid, key = openid_of(request.name), (openid_of(request.name), request.template_id)
        accepts = request.choice != "reject"
        self.consents[key] = self.consents[key] + 1 if accepts else 0
        choice = {"TemplateId": request.template_id, "SubscribeStatusString": request.choice}
        self._report(f"subscribe_msg_{request.place}_event", openid, choice, request.report)
        return {"consents": self.consents[key]}

    def answer(self, request: SimulatorRequest) -> SimulatorReply:
        """Answer HTTP 200 for success and failure alike, as WeChat does."""
        content = request.json_object() or {}
        if not self._wechat.is_access_token(request.query.get("access_token", "")):
            return error_reply(40001, "invalid credential")
        openid, template_id = content["touser"], content["template_id"]
        if errcode := self._next.errcode or self._refusal(content):
            return error_reply(errcode, "the message is refused")
        self.consents[openid, template_id] -= 1
        self.sent.append(content)
        msg_id = 3_000_000_000_000_000_000 + len(self.sent)
        result = {"ErrorCode": "0", "ErrorStatus": "success"}
        if self._next.is_undelivered:
            result = {"ErrorCode": "1", "ErrorStatus": "user block"}
        row = {"TemplateId": template_id, "MsgID": str(msg_id), **result}
        self._report("subscribe_msg_sent_event", openid, row, self._next.report)
        if self._next.is_lost:
            return json_reply({}, 503)
        return json_reply({"errcode": 0, "errmsg": "ok", "msgid": msg_id})

    def _refusal(self, content: dict[str, Any]) -> int:
        values = {name: row["value"] for name, row in content["data"].items()}
        if any(map(_is_wrong, values, values.values())):
            return 47003
        if content["page"].partition("?")[0] != self._page:
            return 41030
        if any(REFUSED_TITLE in value for value in values.values()):
            return 45168
        return 0 if self.consents[content["touser"], content["template_id"]] else 43101

    def _report(self, name: str, openid: str, row: dict[str, Any], mode: Any = "once") -> None:
        """Send an event; WeChat's `List` is an object if there is only one."""
        content = self._pushes.event(name, openid, {"List": row})
        self._delivery.start(self._pushes.report(content, mode), mode)


def _is_wrong(name: str, value: str) -> bool:
    if name.startswith("thing"):
        return not 0 < len(value) <= 20
    return not TIME.fullmatch(value)
