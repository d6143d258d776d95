"""Manipulated event streams are detected: the checks that a storm relies on can fail."""

import pytest

from chaos.event_check import LOG_SIZE, EventChecker
from chaos.report import Violations
from chaos.timeline import Frame, Timelines

HOST = {"user_id": "1", "nickname": "host", "face_url": "", "gender": 2}
MAN = {"user_id": "2", "nickname": "man", "face_url": "", "gender": 1}
ROOM = {
    "status": "live",
    "room_name": "host",
    "room_image": "",
    "group_id": "g",
    "owner": {**HOST, "area": "", "age": 0, "play_url": "rtmp://x", "away": False},
    "male": None,
    "female": None,
    "applicants": [],
    "audience_count": 1,
    "num_list": [0, 0, 0, 0],
}
HEARTBEAT, AUDIENCE = {"type": "heartbeat", "seq": 5}, {"type": "audience"}


def snapshot(seq: int, epoch: str = "a", **more: object) -> Frame:
    return {"type": "snapshot", "live_id": 1, "epoch": epoch, "seq": seq, "data": ROOM, **more}


def resumed(seq: int, replayed: int, epoch: str = "a") -> Frame:
    return {"type": "resumed", "live_id": 1, "epoch": epoch, "seq": seq, "replayed": replayed}


def event(seq: int, epoch: str = "a", type_: str = "gift", **data: object) -> Frame:
    gift = {"from": {"user_id": "2"}, "to": {"user_id": "1"}, "request_id": str(seq)}
    return {"type": type_, "epoch": epoch, "seq": seq, "ts": 0, "data": data or gift}


class CheckedRoom:
    """One room with any number of checked clients."""

    def __init__(self) -> None:
        self.violations, self.timelines = Violations(), Timelines()

    def client(self, *, builds_view: bool = False) -> EventChecker:
        return EventChecker("client", 1, self.timelines, self.violations, builds_view=builds_view)

    def receive(self, *frames: Frame, client: EventChecker | None = None) -> EventChecker:
        """One connection on which these frames are received."""
        client = client or self.client()
        client.on_connect()
        for frame in frames:
            client.on_frame(frame)
        return client

    @property
    def found(self) -> dict[str, int]:
        return dict(self.violations.counts)


@pytest.fixture
def room() -> CheckedRoom:
    return CheckedRoom()


AT_5, AFTER_6 = [snapshot(5)], [snapshot(5), event(6)]
FULL = 5 + LOG_SIZE + 1
CASES: list[tuple[str, list[list[Frame]]]] = [
    # what is found in the connections of one client, one after another
    ("", [[*AFTER_6, event(7), HEARTBEAT | {"seq": 7}], [resumed(9, 2), event(8), event(9)]]),
    ("", [AT_5, [snapshot(FULL, reset="too_old")]]),
    ("", [AT_5, [snapshot(0, "b", reset="epoch")]]),
    ("", [[*AFTER_6, snapshot(FULL + 1, reset="too_old"), event(FULL + 2)]]),
    ("gap", [[snapshot(5), event(7)]]),
    ("duplicate", [[*AFTER_6, event(6)]]),
    ("duplicate", [AFTER_6, [resumed(7, 1), event(6)]]),
    ("out_of_order", [[*AFTER_6, event(7), event(6)]]),
    ("out_of_order", [[snapshot(5), snapshot(300, reset="too_old"), event(6)]]),
    *(("wrong_first_frame", [[frame]]) for frame in (event(6), HEARTBEAT, AUDIENCE)),
    ("second_first_frame", [[snapshot(5), snapshot(5)]]),
    ("behind", [[snapshot(5), HEARTBEAT | {"seq": 6}]]),
    ("wrong_epoch", [[snapshot(5), event(6, "b")]]),
    *(("wrong_resume", [AT_5, [frame]]) for frame in (resumed(7, 1), resumed(4, 0))),
    ("wrong_resume", [AT_5, [resumed(5, 0, "b")]]),
    *(
        ("unnecessary_snapshot", [AT_5, [snapshot(seq, **reset)]])
        for seq, reset in (
            (8, {}),
            (8, {"reset": "too_old"}),
            (4, {"reset": "ahead"}),
            (8, {"reset": "epoch"}),
        )
    ),
    ("unnecessary_snapshot", [[*AFTER_6, snapshot(8, reset="too_old")]]),
    ("unnecessary_snapshot", [[*AFTER_6, snapshot(300, "b", reset="too_old")]]),
]


@pytest.mark.parametrize(("found", "connections"), CASES)
def test_a_wrong_stream_is_detected_and_a_correct_one_passes(
    room: CheckedRoom, found: str, connections: list[list[Frame]]
) -> None:
    client = room.client()
    for frames in connections:
        room.receive(*frames, client=client)
    assert room.found == ({found: 1} if found else {})
    assert client.must_resume == (found in ("gap", "behind", "wrong_first_frame"))


def test_different_content_under_one_number_is_detected(room: CheckedRoom) -> None:
    first = event(6)
    room.receive(snapshot(5), first)
    reordered = {**first, "data": dict(reversed(list(first["data"].items())))}
    room.receive(snapshot(5), reordered)
    assert room.found == {}
    room.receive(snapshot(5), event(6, num=2))
    room.receive(snapshot(5), {**event(6), "ts": 1})
    assert room.found == {"conflicting_event": 2}


def test_a_number_that_no_client_received_is_missing(room: CheckedRoom) -> None:
    timeline = room.timelines.of(1, "a")
    room.receive(snapshot(5))
    assert timeline.missing == 0
    room.receive(*AFTER_6)
    room.receive(snapshot(7), event(8))
    assert timeline.missing == 1
    room.receive(resumed(7, 1), event(7), client=room.receive(snapshot(6)))
    assert timeline.missing == 0
    room.receive(snapshot(0, "b"))
    room.receive(snapshot(1, "b"), event(2, "b"))
    assert room.timelines.of(1, "b").missing == 1, "the first event of a session"


def test_an_event_that_does_not_apply_to_the_view_is_detected(room: CheckedRoom) -> None:
    client = room.receive(
        snapshot(5),
        event(6, type_="member_away", **HOST, role="host"),
        event(7, type_="live_pause", **HOST),
        event(8, type_="micro_apply", **MAN, applied_at=1, expires_at=2),
        client=room.client(builds_view=True),
    )
    assert room.found == {}
    assert client.view
    assert client.view.shown["status"] == "paused"
    assert client.view.shown["owner"]["away"]
    client.on_frame(event(9, type_="micro_leave", **MAN, reason="left"))
    assert room.found == {"not_applicable": 1}
