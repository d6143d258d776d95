"""The events of each live session, merged from all clients."""

import json
import math
from dataclasses import dataclass, field
from typing import Any

Frame = dict[str, Any]
CACHED_FRAMES = 2_000


@dataclass
class Timeline:
    """Events of one live session by sequence number, each as first received.

    `first_seq` is the lowest number of a snapshot: its client receives every later event.
    """

    live_id: int
    epoch: str
    events: dict[int, Frame] = field(default_factory=dict)
    first_seq: float = math.inf

    @property
    def missing(self) -> int:
        """Number of events up to the last known one that no client received."""
        return int(max(self.events) - self.first_seq) - len(self.events) if self.events else 0

    def accepts(self, frame: Frame) -> bool:
        """Store a new event; False if its number is stored with other content.

        Comparing (type, data) by number covers more than a hash chain over the events: it works
        wherever a client began to listen.
        """
        known = self.events.get(frame["seq"])
        if known is frame:
            return True
        content = content_of(frame)
        if known is None:
            self.events[frame["seq"]] = frame
            return True
        return content_of(known) == content


class Timelines:
    """Timelines of all rooms and their live sessions."""

    def __init__(self) -> None:
        self.by_session: dict[tuple[int, str], Timeline] = {}
        """By (live_id, epoch)."""
        self._parsed: dict[bytes, Frame] = {}

    def of(self, live_id: int, epoch: str) -> Timeline:
        key = (live_id, epoch)
        if key not in self.by_session:
            self.by_session[key] = Timeline(live_id, epoch)
        return self.by_session[key]

    def parse(self, payload: bytes) -> Frame:
        """Parse a frame; cached, since all clients of a room receive the same bytes."""
        frame = self._parsed.get(payload)
        if frame is None:
            if len(self._parsed) > CACHED_FRAMES:
                self._parsed.clear()
            frame = self._parsed[payload] = json.loads(payload)
        return frame


def content_of(frame: Frame) -> str:
    return json.dumps([frame["ts"], frame["type"], frame["data"]], sort_keys=True)
