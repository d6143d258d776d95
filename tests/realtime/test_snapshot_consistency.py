import json
import random
from pathlib import Path
from typing import Any

import pytest

from rooms.members import GracePolicy
from tests.support.api import ApiClient, ApiFixture, Socket
from tests.support.gifts import ROSE, give
from tests.support.mic import take_seat
from tests.support.node import run
from tests.support.paths import ROOT
from tests.support.room_screen import Frame, Screen, comparable
from tests.support.waiting import until
from tests.support.websockets import collect_events

ACTIONS = 60
ACTIONS_BY_WEIGHT = {
    8: ["connect"],
    6: ["disconnect"],
    5: ["apply_micro", "accept_micro"],
    4: ["invite_micro"],
    3: ["enter_room", "push_gift", "rename"],
    2: ["refuse_micro", "leave_micro", "remove_from_mic"],
    1: ["leave_room"],
    0.3: ["put_out"],
}
WEIGHTS = {action: weight for weight, actions in ACTIONS_BY_WEIGHT.items() for action in actions}
GUEST_GENDERS = {"bert": 1, "carl": 1, "emil": 1, "anna": 2, "dora": 2, "ella": 2, "noname": 0}
COMPARE_FOLDS = ROOT / "tests" / "clients" / "compare_folds.mjs"


@pytest.fixture
def grace() -> GracePolicy:
    """Short enough to end during a test, but not the host's, which would end the live."""
    return GracePolicy(shown=50, guest=700, viewer=1_500)


def check_events_lead_to_snapshots(snapshots: list[Frame], events: list[Frame]) -> None:
    """Checks that the events after each snapshot produce every later snapshot."""
    by_seq = {frame["seq"]: comparable(frame["data"]) for frame in snapshots}
    for frame in snapshots:
        assert comparable(frame["data"]) == by_seq[frame["seq"]], "one state per sequence number"
        screen = Screen(frame)
        for event in events[frame["seq"] :]:
            screen.apply(event)
            if screen.seq in by_seq:
                assert screen.shown == by_seq[screen.seq], event


class RandomActions:
    """The host and guests of a room; each `act` is chosen at random, reproducibly by the seed."""

    def __init__(self, host: ApiClient, guests: list[ApiClient], seed: int) -> None:
        self.host, self.guests = host, guests
        self.random = random.Random(seed)
        self.room: Any = {"live_id": host.live_id}
        self.sockets: dict[str, Socket] = {}

    async def act(self) -> None:
        client, other = self.random.sample([self.host, *self.guests], 2)
        [action] = self.random.choices([*WEIGHTS], [*WEIGHTS.values()])
        if action == "connect":
            await self.connect(client)
        elif action == "disconnect":
            self.disconnect(client)
        else:
            await self._call(action, client, other)

    async def _call(self, action: str, client: ApiClient, other: ApiClient) -> None:
        match action:
            case "apply_micro" | "accept_micro" | "refuse_micro":
                await client.post(f"qlive_room/{action}/", **self.room)
            case "invite_micro" | "put_out":
                inviting = self.host if self.random.random() < 0.8 else client
                await inviting.post(f"qlive_room/{action}/", user_id=other.id, **self.room)
            case "leave_micro" | "leave_room":
                await client.get(f"qlive_room/{action}/", **self.room)
            case "remove_from_mic":
                await self.host.get("qlive_room/leave_micro/", user_id=client.id, **self.room)
            case "enter_room":
                await client.get("get_playurl/", **self.room)
            case "push_gift":
                await give(client, other.id, self.random.choice([1, 2, 3, 4]))
            case "rename":
                name = f"{client.name}{self.random.randrange(100)}"
                profile = {"nickname": name, "face_url": f"https://face.example/{name}", "age": 30}
                await client.post("qlive_user/update_userinfo/", **profile)

    async def act_each_once(self) -> None:
        """Produces every mic event, a gift and a profile event, whatever was random before."""
        guest = await self.host.api.guest("each", 1, self.host.live_id, gold=30)
        await self.connect(guest)
        for other in self.guests:  # frees the male seat; most guests are not on it
            await self.host.get("qlive_room/leave_micro/", user_id=other.id, **self.room)
        for step in ("apply_micro", "refuse_micro"):
            (await guest.post(f"qlive_room/{step}/", **self.room)).ok()
        (await self.host.post("qlive_room/invite_micro/", user_id=guest.id, **self.room)).ok()
        await take_seat(guest)
        (await give(guest, self.host.id, ROSE)).ok()
        (await guest.post("qlive_user/update_userinfo/", nickname="once")).ok()
        (await guest.get("qlive_room/leave_micro/", **self.room)).ok()

    async def connect(self, client: ApiClient) -> None:
        """Opens a new socket and aborts the older one."""
        newer = await client.connect(self.host.live_id)
        self.disconnect(client)
        self.sockets[client.id] = newer

    def disconnect(self, client: ApiClient) -> None:
        """Aborts the client's connection without a close frame."""
        if socket := self.sockets.pop(client.id, None):
            socket.connection.transport.abort()

    def disconnect_all(self) -> None:
        for client in (self.host, *self.guests):
            self.disconnect(client)


async def load_snapshot(client: ApiClient) -> Frame:
    """The snapshot that a new socket receives."""
    return await (await client.connect()).next("snapshot")


async def load_snapshots_until(client: ApiClient, status: str) -> list[Frame]:
    """Snapshots, until the last one shows the status."""
    snapshots = [await load_snapshot(client)]
    while snapshots[-1]["data"]["status"] != status:
        snapshots.append(await load_snapshot(client))
    return snapshots


async def test_events_after_any_snapshot_lead_to_every_later_snapshot(
    api: ApiFixture, tmp_path: Path
) -> None:
    """Also those that the SDK applies, and while connections drop and return."""
    host = await api.host()
    live_id = host.live_id
    guests = [await api.guest(*guest, live_id, gold=30) for guest in GUEST_GENDERS.items()]
    names = ("observer", "watcher", "other watcher")
    observer, watcher, other_watcher = [await api.guest(name, 0, live_id) for name in names]
    room = RandomActions(host, guests, seed=4)
    async with (
        collect_events(await watcher.connect()) as first,
        collect_events(await other_watcher.connect()) as second,
    ):
        snapshots = []
        for n in range(ACTIONS):
            await room.act()
            snapshots.append(await load_snapshot(observer))
            if n == ACTIONS // 2:  # the host disconnects and returns, too
                await room.connect(host)
                snapshots += await load_snapshots_until(observer, "live")
                room.disconnect(host)
                snapshots += await load_snapshots_until(observer, "paused")
                await room.connect(host)
                snapshots += await load_snapshots_until(observer, "live")
        await room.act_each_once()
        snapshots.append(await load_snapshot(observer))
        (await host.post("qlive_room/live_end/", live_id=live_id)).ok()
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
