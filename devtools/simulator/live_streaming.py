"""Simulated CSS: the API that stops streams, pushes, and reports of what streams show."""

import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from config.sections import LiveStreamingSettings
from devtools.simulator.cloud_api import auth_error, cloud_reply
from devtools.simulator.notifications import (
    JSON_HEADERS,
    SimulatedDelivery,
    SimulatedNotification,
)
from devtools.simulator.requests import StreamEventRequest
from devtools.simulator.wire import SimulatorReply, SimulatorRequest


class SimulatedLiveStreaming:
    """Drops and forbids streams for requests that pass Tencent Cloud's TC3 signature check.

    For tests: `dropped` has the names of all dropped streams, in order, `forbidden` until when
    (Unix time) a stream may not be pushed.
    """

    def __init__(
        self,
        settings: LiveStreamingSettings,
        now: Callable[[], float],
        address: str,
        delivery: SimulatedDelivery,
    ) -> None:
        """Create the service; `address` receives the callbacks."""
        self.dropped: list[str] = []
        self.forbidden: dict[str, float] = {}
        self._callback_key = settings.callback_key
        self._address = address
        self._delivery = delivery
        self._settings = settings
        self._now = now

    def answer(self, request: SimulatorRequest) -> SimulatorReply:
        """Answer HTTP 200, with a failure in Response.Error; a stream need not be live."""
        code = auth_error(request, "live", self._settings, self._now()) or self._handle(request)
        return cloud_reply(code)

    def send_event(self, request: StreamEventRequest) -> dict[str, Any]:
        """Report that a stream is suspicious, or that it is not recorded."""
        expires = int(self._now()) + 600
        key = "a guess" if request.report == "forged" else self._callback_key
        sign = hashlib.md5(f"{key}{expires}".encode(), usedforsecurity=False).hexdigest()
        body = {**_event(request), "t": expires, "sign": sign}
        notification = SimulatedNotification(self._address, json.dumps(body).encode(), JSON_HEADERS)
        self._delivery.start(notification, request.report)
        return {"outcome": "success"}

    def _handle(self, request: SimulatorRequest) -> str:
        """Drop or forbid a stream; return the code of an error, "" after a success."""
        content = request.json_object() or {}
        stream = str(content.get("StreamName"))
        match request.header("X-TC-Action"):
            case "DropLiveStream":
                self.dropped.append(stream)
            case "ForbidLiveStream":
                until = datetime.strptime(str(content["ResumeTime"]), "%Y-%m-%dT%H:%M:%S%z")
                self.forbidden[stream] = until.timestamp()
            case _:
                return "InvalidAction"
        return ""


def _event(request: StreamEventRequest) -> dict[str, Any]:
    """Return the report; CSS spells the fields of pictures differently from the others."""
    stream, score = request.stream, request.score
    match request.event:
        case "picture":
            picture = {"event_type": 317, "streamId": stream, "type": [2], "hotScore": score}
            picture |= {"img": f"http://example.com/{stream}.jpg", "ocrMsg": "", "label": "Sexy"}
            judged = {"suggestion": request.suggestion, "score": [score]}
            return {**picture, **(judged if request.suggestion else {})}
        case "sound":
            heard = {"event_type": 315, "stream_id": stream, "label": "Abuse", "asr_text": "…"}
            return {**heard, "HitFlag": 1, "Score": score}
    return {"event_type": 332, "stream_id": stream, "record_event": request.event}
