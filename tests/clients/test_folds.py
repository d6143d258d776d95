"""The SDK shows of each event what the rules of a room have changed."""

import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from rooms.events import EVENT_PAYLOADS
from rooms.members import MemberCounts
from rooms.room import Room
from tests.rooms.test_properties import FIELDS, HOSTS, RoomModel, Step, play_url
from tests.support.node import run
from tests.support.room_screen import Frame

STEPS = 2_000
COMPARE_FOLDS = Path(__file__).parent / "compare_folds.mjs"


class RecordedRooms(RoomModel):
    """The snapshots after all changes of each live session, and its events."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions: dict[str, dict[str, list[Frame]]] = defaultdict(
            lambda: {"snapshots": [], "events": []}
        )

    def check_events(self, before: Room, room: Room, after: Room) -> None:
        if not (before.live or after.live):
            return  # without clients
        session, position = self.sessions[after.epoch], {"live_id": 1, "epoch": after.epoch}
        data: Any = after.snapshot(MemberCounts(), play_url)
        snapshot = {"type": "snapshot", **position, "seq": after.version, "data": data}
        session["snapshots"].append(snapshot)
        for event in room.numbered(self.now):
            numbers = {"seq": event.seq, "ts": event.ts}
            frame = {"type": event.type, **position, **numbers, "data": event.data}
            session["events"].append(frame)


@pytest.mark.programs
async def test_events_after_any_snapshot_lead_the_sdk_to_every_later_snapshot(
    tmp_path: Path,
) -> None:
    rooms, chosen = RecordedRooms(), random.Random(4)
    for live_id in HOSTS:
        rooms.open(live_id)
    for _ in range(STEPS):
        rooms.run(Step(**{name: chosen.choice(values) for name, values in FIELDS.items()}))
    sessions = [*rooms.sessions.values()]
    assert {event["type"] for session in sessions for event in session["events"]} == {
        *EVENT_PAYLOADS
    }
    recording = tmp_path / "recording.json"
    recording.write_text(json.dumps(sessions))
    assert int(await run(COMPARE_FOLDS, recording)) > STEPS
