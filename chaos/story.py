"""What happened in the rooms, as all clients together have heard it, and who heard it wrong."""

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Frame = dict[str, Any]
EXAMPLES = 5


class Faults:
    """Broken promises: how many of each kind, and a few of each in words."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def add(self, kind: str, example: str) -> None:
        self.counts[kind] += 1
        kept = self.examples.setdefault(kind, [])
        if len(kept) < EXAMPLES:
            kept.append(example)

    def __bool__(self) -> bool:
        return bool(self.counts)


@dataclass
class Story:
    """One life of one room: the events by number, each as it was heard first.

    `begins` is the lowest number that a snapshot had: whoever got it hears all that come after.
    """

    live_id: int
    epoch: str
    events: dict[int, Frame] = field(default_factory=dict)
    begins: float = math.inf

    @property
    def unheard(self) -> int:
        """How many numbers nobody has heard, up to the last that somebody has."""
        return int(max(self.events) - self.begins) - len(self.events) if self.events else 0

    def agrees(self, frame: Frame) -> bool:
        """Whether others heard the same under this number. (type, data) by number is more than a
        chain of hashes over them: it holds wherever a client began to listen."""
        known = self.events.get(frame["seq"])
        if known is frame:
            return True
        said = content(frame)
        if known is None:
            self.events[frame["seq"]] = frame
            return True
        return content(known) == said


class Stories:
    """Of every room and life."""

    def __init__(self) -> None:
        self.told: dict[tuple[int, str], Story] = {}
        self._parsed: dict[bytes, Frame] = {}

    def of(self, live_id: int, epoch: str) -> Story:
        key = (live_id, epoch)
        if key not in self.told:
            self.told[key] = Story(live_id, epoch)
        return self.told[key]

    def lives_of(self, live_id: int) -> list[Story]:
        return [story for (room, _), story in self.told.items() if room == live_id]

    def parse(self, payload: bytes) -> Frame:
        """The frame in these bytes. Everybody in a room gets the same ones: parse them once."""
        frame = self._parsed.get(payload)
        if frame is None:
            if len(self._parsed) > 2_000:
                self._parsed.clear()
            frame = self._parsed[payload] = json.loads(payload)
        return frame


def content(frame: Frame) -> str:
    return json.dumps([frame["ts"], frame["type"], frame["data"]], sort_keys=True)
