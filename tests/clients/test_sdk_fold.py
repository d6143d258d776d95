import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import ApiFixture
from tests.support.node import run
from tests.support.random_actions import (
    CONNECTION_WEIGHTS,
    load_snapshot,
    load_snapshots_until,
    start_random_actions,
)
from tests.support.waiting import until
from tests.support.websockets import collect_events

pytestmark = pytest.mark.programs

ACTIONS = 80
COMPARE_FOLDS = Path(__file__).parent / "compare_folds.mjs"


@pytest.fixture
def changes() -> dict[str, Any]:
    """Grace periods short enough to expire within the test, and no handshake rate limit."""
    grace = {"shown_after_seconds": 0.05, "guest_seconds": 0.7, "viewer_seconds": 1.5}
    limits = {"handshakes_per_second": 0}
    return {"presence": {**grace, "host_seconds": 120}, "limits": limits}


@pytest.mark.gen_test(timeout=90)
async def test_folding_events_from_any_snapshot_leads_to_every_later_snapshot(
    api: ApiFixture, tmp_path: Path
) -> None:
    room_activity, watcher = await start_random_actions(api, seed=1)
    room_activity.weights |= CONNECTION_WEIGHTS
    viewer = await api.guest("looker", 0, room_activity.live_id)
    async with collect_events(await watcher.connect()) as received:
        snapshots = []
        for n in range(ACTIONS):
            await room_activity.act()
            snapshots.append(await load_snapshot(viewer))
            if n % 50 == 25:  # the host disconnects, too
                await room_activity.connect(room_activity.host)
                snapshots += await load_snapshots_until(viewer, "live")
                room_activity.disconnect(room_activity.host)
                snapshots += await load_snapshots_until(viewer, "paused")
                await room_activity.connect(room_activity.host)
                snapshots += await load_snapshots_until(viewer, "live")
        await room_activity.act_each_once()
        snapshots.append(await load_snapshot(viewer))
        (await room_activity.host.post("qlive_room/live_end/", live_id=room_activity.live_id)).ok()
        await until(lambda: '"type":"live_end"' in received[-1])
    room_activity.disconnect_all()
    events = [json.loads(text) for text in received[1:]]
    assert events[0]["seq"] == 1  # the list index is the sequence number
    assert {event["type"] for event in events} >= {"member_away", "live_pause", "micro_accept"}
    recording = tmp_path / "recording.json"
    recording.write_text(json.dumps({"snapshots": snapshots, "events": events}))
    compared = int(await run(COMPARE_FOLDS, recording))
    assert compared > 500
