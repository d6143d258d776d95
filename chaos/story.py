"""What happened in the rooms, as all clients together have heard it, and who heard it wrong."""

import json
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
    """One life of one room: the events by number, each as it was heard first."""

    live_id: int
    epoch: str
    events: dict[int, Frame] = field(default_factory=dict)

    def agrees(self, frame: Frame) -> bool:
        """Whether others heard the same under this number. (type, data) by number is more than a
        chain of hashes over them: it holds wherever a client began to listen."""
        known = self.events.setdefault(frame["seq"], frame)
        return known is frame or _content(known) == _content(frame)


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


def _content(frame: Frame) -> str:
    return json.dumps([frame["epoch"], frame["type"], frame["data"]], sort_keys=True)
