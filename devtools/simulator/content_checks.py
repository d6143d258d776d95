"""Simulated content security of WeChat: verdicts by words in a text or in an address."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from devtools.simulator.notifications import SimulatedDelivery, SimulatedPushes
from devtools.simulator.requests import NextChecksRequest, Report
from devtools.simulator.wechat import SimulatedWechat, error_reply
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, json_reply

BAD_TOKEN, NOT_VISITED, BUSY, EMPTY = 40001, 61010, -1, 44002
LABELS = {"pass": 100, "review": 20012, "risky": 20002}
REPORTS: Mapping[str, Report] = {"late": "late", "missing": "never", "twice": "twice"}
EARLY_SECONDS = 0.2


@dataclass(eq=False)
class SimulatedContentChecks:
    """Checks that fetch nothing: a picture is judged by its address, or as `set_next` says.

    Content with the words risky or review gets this verdict, with 61010 or -1 this failure; any
    other passes. The words late, missing, twice, early and forged make the event about a picture
    so; unreadable makes it say that the picture could not be fetched. The rank of a user is the
    digit in the words that `set_next` sets, else 0.
    """

    _wechat: SimulatedWechat
    _pushes: SimulatedPushes
    _delivery: SimulatedDelivery
    checked: list[str] = field(default_factory=list)
    """Texts and addresses, for tests."""
    events: list[dict[str, Any]] = field(default_factory=list)
    """Their contents, also of missing ones, for tests."""
    _next: str = ""

    def set_next(self, request: NextChecksRequest) -> dict[str, Any]:
        """Judge the checks that follow as if their content had these words, too."""
        self._next = request.words
        return {"words": self._next}

    async def answer(self, request: SimulatorRequest) -> SimulatorReply:
        """Answer HTTP 200 for success and failure alike, as WeChat does."""
        content = request.json_object() or {}
        if not self._wechat.is_access_token(request.query.get("access_token", "")):
            return error_reply(BAD_TOKEN, "invalid credential")
        checked = str(content.get("content") or content.get("media_url") or "")
        words = f"{self._next} {checked}"
        for errcode in (NOT_VISITED, BUSY):
            if str(errcode) in words:
                return error_reply(errcode, "code is expired" if errcode > 0 else "system error")
        if {"appid", "openid", "scene", "client_ip"} <= content.keys():
            rank = next((int(word) for word in words if word in "01234"), 0)
            return json_reply({"errcode": 0, "risk_rank": rank, "unoin_id": 1})
        if not checked or content.get("version") != 2 or not content.get("openid"):
            return error_reply(EMPTY, "empty content")
        self.checked.append(checked)
        trace_id = secrets.token_hex(12)
        if "content" in content:
            return json_reply({"errcode": 0, "errmsg": "ok", **_result(words, trace_id, int)})
        await self._report(words, trace_id, str(content["openid"]))
        return json_reply({"errcode": 0, "errmsg": "ok", "trace_id": trace_id})

    def event(self, words: str, trace_id: str, openid: str = "oSimulated") -> dict[str, Any]:
        """Return the content of the event about a picture with these words in its address."""
        result = _result(words, trace_id, str)
        if "unreadable" in words:
            result |= {"result": {}, "detail": [{"strategy": "content_model", "errcode": -1008}]}
        return self._pushes.event("wxa_media_check", openid, {"version": 2, **result})

    async def _report(self, words: str, trace_id: str, openid: str) -> None:
        content = self.event(words, trace_id, openid)
        self.events.append(content)
        word = next((word for word in (*REPORTS, "early", "forged") if word in words), "once")
        notification = self._pushes.report(content, word)
        self._delivery.start(notification, REPORTS.get(word, "once"))
        if word == "early":  # before the reply with its trace id
            await asyncio.sleep(EARLY_SECONDS)


def _result(words: str, trace_id: str, label: Callable[[int], object]) -> dict[str, Any]:
    """Return a verdict, whose label is a number in an answer and text in an event."""
    suggestion = next((word for word in ("risky", "review") if word in words), "pass")
    judged = {"suggest": suggestion, "label": label(LABELS[suggestion])}
    detail = {"strategy": "content_model", "errcode": 0, "prob": 90, **judged}
    return {"trace_id": trace_id, "result": judged, "detail": [detail]}
