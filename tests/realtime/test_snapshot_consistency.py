import asyncio
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
from tests.support.websockets import collect_events, next_events

ACTIONS = 100
COMPARE_FOLDS = ROOT / "tests" / "clients" / "compare_folds.mjs"
EVENT_TYPES = {
    "apply_micro": "micro_apply",
    "accept_micro": "micro_accept",
    "invite_micro": "micro_invite",
    "refuse_micro": "micro_refuse",
    "leave_micro": "micro_leave",
    "remove_from_mic": "micro_leave",
    "push_gift": "gift",
}


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


@pytest.mark.gen_test(timeout=90)
async def test_events_after_any_snapshot_lead_to_every_later_snapshot(api: ApiFixture) -> None:
    room, watcher = await start_random_actions(api, seed=1)
    sockets = [await room.host.connect(), await watcher.connect()]
    first, _ = [await socket.frame() for socket in sockets]
    observer = await api.guest("observer", 0, room.live_id)
    snapshots, refused = [first], list[tuple[int, int, str]]()
    for _ in range(ACTIONS):
        reply = await room.act()
        snapshots.append(await load_snapshot(observer))
        if reply.status != 200 or reply.json.get("status") == "failed":
            refused.append((snapshots[-2]["seq"], snapshots[-1]["seq"], room.actions[-1]))
    await room.act_each_once()
    snapshots.append(await load_snapshot(observer))
    last_seq = snapshots[-1]["seq"]
    (await room.host.post("qlive_room/live_end/", live_id=room.live_id)).ok()
    received = [await next_events(socket, last_seq + 1) for socket in sockets]
    assert received[0] == received[1]
    events = [json.loads(text) for text in received[0]]
    assert [event["seq"] for event in events] == list(range(1, last_seq + 2))
    check_events_lead_to_snapshots(snapshots, events)
    assert len(refused) > 20
    for before, after, action in refused:  # delayed events of earlier actions may come meanwhile
        published = {event["type"] for event in events[before:after]}
        assert EVENT_TYPES.get(action) not in published, action
    assert {event["type"] for event in events} == {
        *("micro_apply", "micro_invite", "micro_accept", "micro_refuse", "micro_leave"),
        *("profile", "gift", "live_end"),
    }


@pytest.mark.gen_test(timeout=90)
async def test_events_lead_to_every_later_snapshot_while_connections_drop_and_return(
    api: ApiFixture, tmp_path: Path
) -> None:
    """Also those that the SDK applies."""
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
            if n % 50 == 25:  # the host disconnects and returns, too
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
        *("member_away", "member_back", "live_pause", "live_resume", "micro_accept"),
    }
    recording = tmp_path / "recording.json"
    recording.write_text(json.dumps({"snapshots": snapshots, "events": events}))
    compared = int(await run(COMPARE_FOLDS, recording))
    assert compared > 500


@pytest.mark.gen_test(timeout=90)
async def test_all_sockets_receive_the_same_events_of_concurrent_actions(api: ApiFixture) -> None:
    room, watcher = await start_random_actions(api, seed=3)
    sockets = [await client.connect() for client in (room.host, watcher)]
    snapshots = [await socket.frame() for socket in sockets]
    observer = await api.guest("observer", 0, room.live_id)
    for _ in range(25):
        *_, snapshot = await asyncio.gather(
            *(room.act() for _ in range(6)), load_snapshot(observer)
        )
        snapshots.append(snapshot)
    snapshots.append(await load_snapshot(observer))
    received = [await next_events(socket, snapshots[-1]["seq"]) for socket in sockets]
    assert received[0] == received[1]
    assert len(received[0]) > 30
    check_events_lead_to_snapshots(snapshots, [json.loads(text) for text in received[0]])
