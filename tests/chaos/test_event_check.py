"""Manipulated event streams are detected: the checks that a storm relies on can fail."""

from typing import Any

import pytest

from chaos.event_check import LOG_SIZE, EventChecker
from chaos.timeline import Frame, Timelines
from chaos.violations import Violations

ROOM = {
    "status": "live",
    "room_name": "host",
    "room_image": "",
    "group_id": "g",
    "owner": {
        "user_id": "1",
        "nickname": "host",
        "face_url": "",
        "gender": 2,
        "area": "",
        "age": 0,
        "play_url": "rtmp://x",
        "away": False,
    },
    "male": None,
    "female": None,
    "applicants": [],
    "audience_count": 1,
    "num_list": [0, 0, 0, 0],
}
MAN = {"user_id": "2", "nickname": "man", "face_url": "", "gender": 1}


def snapshot(seq: int, epoch: str = "a", **more: Any) -> Frame:
    return {"type": "snapshot", "live_id": 1, "epoch": epoch, "seq": seq, "data": ROOM, **more}


def resumed(seq: int, replayed: int, epoch: str = "a") -> Frame:
    return {"type": "resumed", "live_id": 1, "epoch": epoch, "seq": seq, "replayed": replayed}


def event(seq: int, epoch: str = "a", type_: str = "gift", **data: Any) -> Frame:
    gift = {"from": {"user_id": "2"}, "to": {"user_id": "1"}, "request_id": str(seq)}
    return {"type": type_, "epoch": epoch, "seq": seq, "ts": 0, "data": data or gift}


class CheckedRoom:
    """One room with any number of checked clients."""

    def __init__(self) -> None:
        self.violations, self.timelines = Violations(), Timelines()

    def client(self, name: str = "client", *, builds_view: bool = False) -> EventChecker:
        return EventChecker(name, 1, self.timelines, self.violations, builds_view=builds_view)

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


def test_a_correct_stream_passes(room: CheckedRoom) -> None:
    client = room.receive(snapshot(5), event(6), event(7), {"type": "heartbeat", "seq": 7})
    frames = [resumed(9, 2), event(8), event(9), event(10), {"type": "audience"}]
    room.receive(*frames, client=client)
    assert room.found == {}
    assert (client.seq, client.deliveries, client.snapshots, client.resumed) == (10, 5, 1, 1)
    assert not client.must_resume


def test_a_gap_is_detected_and_the_client_must_resume(room: CheckedRoom) -> None:
    client = room.receive(snapshot(5), event(7))
    assert room.found == {"gap": 1}
    assert client.must_resume
    assert client.seq == 5


def test_a_duplicate_is_detected(room: CheckedRoom) -> None:
    client = room.receive(snapshot(5), event(6), event(6))
    assert room.found == {"duplicate": 1}
    assert client.deliveries == 1


def test_an_event_out_of_order_is_detected(room: CheckedRoom) -> None:
    room.receive(snapshot(5), event(6), event(7), event(6))
    assert room.found == {"out_of_order": 1}


def test_a_duplicate_after_a_resume_is_detected(room: CheckedRoom) -> None:
    client = room.receive(snapshot(5), event(6))
    room.receive(resumed(7, 1), event(6), client=client)
    assert room.found == {"duplicate": 1}


@pytest.mark.parametrize("frame", [event(6), {"type": "heartbeat", "seq": 5}, {"type": "audience"}])
def test_a_wrong_first_frame_is_detected(room: CheckedRoom, frame: Frame) -> None:
    room.receive(frame)
    assert room.found == {"wrong_first_frame": 1}


def test_a_second_first_frame_is_detected(room: CheckedRoom) -> None:
    room.receive(snapshot(5), snapshot(5))
    assert room.found == {"second_first_frame": 1}


def test_a_heartbeat_ahead_of_the_events_is_detected(room: CheckedRoom) -> None:
    assert room.receive(snapshot(5), {"type": "heartbeat", "seq": 6}).must_resume
    assert room.found == {"behind": 1}


def test_an_event_of_another_epoch_is_detected(room: CheckedRoom) -> None:
    room.receive(snapshot(5), event(6, "b"))
    assert room.found == {"wrong_epoch": 1}


@pytest.mark.parametrize("frame", [resumed(7, 1), resumed(4, 0), resumed(5, 0, "b")])
def test_an_inconsistent_resume_is_detected(room: CheckedRoom, frame: Frame) -> None:
    room.receive(frame, client=room.receive(snapshot(5)))
    assert room.found == {"wrong_resume": 1}


@pytest.mark.parametrize(
    "frame",
    [
        snapshot(8),
        snapshot(8, reset="too_old"),
        snapshot(4, reset="ahead"),
        snapshot(8, reset="epoch"),
    ],
)
def test_a_snapshot_instead_of_a_possible_resume_is_detected(
    room: CheckedRoom, frame: Frame
) -> None:
    room.receive(frame, client=room.receive(snapshot(5)))
    assert room.found == {"unnecessary_snapshot": 1}


@pytest.mark.parametrize(
    "frame", [snapshot(5 + LOG_SIZE + 1, reset="too_old"), snapshot(0, "b", reset="epoch")]
)
def test_a_snapshot_with_a_valid_reason_passes(room: CheckedRoom, frame: Frame) -> None:
    room.receive(frame, client=room.receive(snapshot(5)))
    assert room.found == {}


def test_a_snapshot_between_events_passes_if_the_log_could_not_have_them(
    room: CheckedRoom,
) -> None:
    seq = 6 + LOG_SIZE + 1
    frames = [event(6), snapshot(seq, reset="too_old"), event(seq + 1)]
    client = room.receive(snapshot(5), *frames, client=room.client(builds_view=True))
    assert room.found == {}
    assert (client.seq, client.snapshots, client.resets) == (seq + 1, 2, 1)


@pytest.mark.parametrize(
    "frame", [snapshot(8, reset="too_old"), snapshot(300, "b", reset="too_old")]
)
def test_a_needless_snapshot_between_events_is_detected(room: CheckedRoom, frame: Frame) -> None:
    room.receive(snapshot(5), event(6), frame)
    assert room.found == {"unnecessary_snapshot": 1}


def test_an_event_before_a_snapshot_between_events_is_detected_as_old(room: CheckedRoom) -> None:
    room.receive(snapshot(5), snapshot(300, reset="too_old"), event(6))
    assert room.found == {"out_of_order": 1}


def test_different_content_under_one_number_is_detected(room: CheckedRoom) -> None:
    room.receive(snapshot(5), event(6), client=room.client("first"))
    room.receive(snapshot(5), event(6, num=2), client=room.client("second"))
    room.receive(snapshot(5), {**event(6), "ts": 1}, client=room.client("third"))
    assert room.found == {"conflicting_event": 2}


def test_a_number_that_no_client_received_is_missing(room: CheckedRoom) -> None:
    room.receive(snapshot(5), event(6))
    late = room.receive(snapshot(7), event(8))
    timeline = room.timelines.of(1, "a")
    assert timeline.missing == 1
    room.receive(resumed(7, 1), event(7), client=room.receive(snapshot(6)))
    assert timeline.missing == 0
    assert late.seq == 8


def test_a_session_without_events_misses_none(room: CheckedRoom) -> None:
    room.receive(snapshot(5))
    assert room.timelines.of(1, "a").missing == 0


def test_the_first_event_of_a_session_can_be_missing(room: CheckedRoom) -> None:
    room.receive(snapshot(0))
    room.receive(snapshot(1), event(2))
    assert room.timelines.of(1, "a").missing == 1


def test_equal_content_in_another_key_order_passes(room: CheckedRoom) -> None:
    first = event(6)
    reordered = {**first, "data": dict(reversed(list(first["data"].items())))}
    for frame in (first, reordered):
        room.receive(snapshot(5), frame)
    assert room.found == {}


def test_an_event_that_does_not_apply_to_the_view_is_detected(room: CheckedRoom) -> None:
    room.receive(
        snapshot(5),
        event(6, type_="micro_apply", **MAN, applied_at=1, expires_at=2),
        event(7, type_="micro_leave", **MAN, reason="left"),
        client=room.client(builds_view=True),
    )
    assert room.found == {"not_applicable": 1}


def test_a_view_shows_an_away_host(room: CheckedRoom) -> None:
    client = room.client(builds_view=True)
    host = {"user_id": "1", "nickname": "host", "face_url": "", "gender": 2}
    room.receive(
        snapshot(5),
        event(6, type_="member_away", **host, role="host"),
        event(7, type_="live_pause", **host),
        client=client,
    )
    assert room.found == {}
    assert client.view
    assert client.view.shown["status"] == "paused"
    assert client.view.shown["owner"]["away"]


def test_equal_bytes_are_parsed_once() -> None:
    timelines = Timelines()
    first = timelines.parse(b'{"type": "pong"}')
    assert timelines.parse(b'{"type": "pong"}') is first
    assert timelines.parse(b'{"type":"pong"}') == first


def test_violations_keep_a_few_examples_and_count_all() -> None:
    violations = Violations()
    assert not violations
    for n in range(100):
        violations.add("gap", str(n))
    assert violations
    assert violations.counts["gap"] == 100
    assert violations.examples["gap"] == ["0", "1", "2", "3", "4"]
