import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import ApiFixture
from tests.support.node import run
from tests.support.paths import ROOT
from tests.support.random_actions import (
    CONNECTION_WEIGHTS,
    load_snapshot,
    load_snapshots_until,
    start_random_actions,
)
from tests.support.room_screen import Frame, Screen, comparable
from tests.support.waiting import until
from tests.support.websockets import collect_events

ACTIONS = 60
COMPARE_FOLDS = ROOT / "tests" / "clients" / "compare_folds.mjs"


@pytest.fixture
def changes() -> dict[str, Any]:
    """Grace periods short enough to end during a test, but not the host's, which would end the
    live; and no limit on handshakes, since snapshots are loaded often."""
    grace = {"shown_after_seconds": 0.05, "guest_seconds": 0.7, "viewer_seconds": 1.5}
    limits = {"handshakes_per_second": 0}
    return {"presence": {**grace, "host_seconds": 120}, "limits": limits}


def check_events_lead_to_snapshots(snapshots: list[Frame], events: list[Frame]) -> None:
    """Checks that the events after each snapshot produce every later snapshot."""
    by_seq = {frame["seq"]: comparable(frame["data"]) for frame in snapshots}
    for frame in snapshots:
        assert comparable(frame["data"]) == by_seq[frame["seq"]], "one state per sequence number"
        screen = Screen(frame)
        for event in events[frame["seq"] :]:
            screen.hear(event)
            if screen.seq in by_seq:
                assert screen.shown == by_seq[screen.seq], event


async def test_events_after_any_snapshot_lead_to_every_later_snapshot(
    api: ApiFixture, tmp_path: Path
) -> None:
    """Also those that the SDK applies, and while connections drop and return."""
    room, watcher = await start_random_actions(api, seed=4)
    room.weights |= CONNECTION_WEIGHTS
    observer = await api.guest("observer", 0, room.live_id)
    other_watcher = await api.guest("other watcher", 0, room.live_id)
    async with (
        collect_events(await watcher.connect()) as first,
        collect_events(await other_watcher.connect()) as second,
    ):
        snapshots = []
        for n in range(ACTIONS):
            await room.act()
            snapshots.append(await load_snapshot(observer))
            if n == ACTIONS // 2:  # the host disconnects and returns, too
                await room.connect(room.host)
                snapshots += await load_snapshots_until(observer, "live")
                room.disconnect(room.host)
                snapshots += await load_snapshots_until(observer, "paused")
                await room.connect(room.host)
                snapshots += await load_snapshots_until(observer, "live")
        await room.act_each_once()
        snapshots.append(await load_snapshot(observer))
        (await room.host.post("qlive_room/live_end/", live_id=room.live_id)).ok()
        for texts in (first, second):
            await until(lambda texts=texts: '"type":"live_end"' in texts[-1])
    room.disconnect_all()
    assert first[1:] == second[1:], "equal after the snapshots"
    events = [json.loads(text) for text in first[1:]]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    check_events_lead_to_snapshots(snapshots, events)
    assert {event["type"] for event in events} >= {
        *("member_away", "member_back", "live_pause", "live_resume", "live_end", "profile", "gift"),
        *("micro_apply", "micro_invite", "micro_accept", "micro_refuse", "micro_leave"),
    }
    recording = tmp_path / "recording.json"
    recording.write_text(json.dumps({"snapshots": snapshots, "events": events}))
    compared = int(await run(COMPARE_FOLDS, recording))
    assert compared > 5 * ACTIONS
