"""A doctored stream is caught: the checks that a storm relies on can fail."""

from typing import Any

import pytest

from chaos.hearing import LOG, Hearing
from chaos.story import Faults, Frame, Stories

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


class Room:
    """One story, and as many ears as are wanted."""

    def __init__(self) -> None:
        self.faults, self.stories = Faults(), Stories()

    def ear(self, name: str = "ear", *, folds: bool = False) -> Hearing:
        return Hearing(name, 1, self.stories, self.faults, folds=folds)

    def hears(self, *frames: Frame, ear: Hearing | None = None) -> Hearing:
        """One connection on which these frames come."""
        ear = ear or self.ear()
        ear.begin()
        for frame in frames:
            ear.hear(frame)
        return ear

    @property
    def found(self) -> dict[str, int]:
        return dict(self.faults.counts)


@pytest.fixture
def room() -> Room:
    return Room()


def test_a_flawless_stream_is_flawless(room: Room) -> None:
    ear = room.hears(snapshot(5), event(6), event(7), {"type": "heartbeat", "seq": 7})
    room.hears(resumed(9, 2), event(8), event(9), event(10), {"type": "audience"}, ear=ear)
    assert room.found == {}
    assert (ear.seq, ear.deliveries, ear.snapshots, ear.resumed) == (10, 5, 1, 1)
    assert not ear.behind


def test_a_gap_is_caught_and_the_ear_comes_back(room: Room) -> None:
    ear = room.hears(snapshot(5), event(7))
    assert room.found == {"gap": 1}
    assert ear.behind
    assert ear.seq == 5


def test_a_double_is_caught(room: Room) -> None:
    ear = room.hears(snapshot(5), event(6), event(6))
    assert room.found == {"double": 1}
    assert ear.deliveries == 1


def test_disorder_is_caught(room: Room) -> None:
    room.hears(snapshot(5), event(6), event(7), event(6))
    assert room.found == {"disorder": 1}


def test_a_double_after_coming_back_is_caught(room: Room) -> None:
    ear = room.hears(snapshot(5), event(6))
    room.hears(resumed(7, 1), event(6), ear=ear)
    assert room.found == {"double": 1}


@pytest.mark.parametrize("frame", [event(6), {"type": "heartbeat", "seq": 5}, {"type": "audience"}])
def test_a_first_frame_that_is_not_the_room_is_caught(room: Room, frame: Frame) -> None:
    room.hears(frame)
    assert room.found == {"first_frame": 1}


def test_a_second_first_frame_is_caught(room: Room) -> None:
    room.hears(snapshot(5), snapshot(5))
    assert room.found == {"opened_twice": 1}


def test_a_heartbeat_that_is_ahead_is_caught(room: Room) -> None:
    assert room.hears(snapshot(5), {"type": "heartbeat", "seq": 6}).behind
    assert room.found == {"behind": 1}


def test_an_event_of_another_life_is_caught(room: Room) -> None:
    room.hears(snapshot(5), event(6, "b"))
    assert room.found == {"other_life": 1}


@pytest.mark.parametrize("frame", [resumed(7, 1), resumed(4, 0), resumed(5, 0, "b")])
def test_a_resumption_that_does_not_add_up_is_caught(room: Room, frame: Frame) -> None:
    room.hears(frame, ear=room.hears(snapshot(5)))
    assert room.found == {"resumed": 1}


@pytest.mark.parametrize(
    "frame",
    [
        snapshot(8),
        snapshot(8, reset="too_old"),
        snapshot(4, reset="ahead"),
        snapshot(8, reset="epoch"),
    ],
)
def test_a_snapshot_where_nothing_was_missing_is_caught(room: Room, frame: Frame) -> None:
    room.hears(frame, ear=room.hears(snapshot(5)))
    assert room.found == {"needless_snapshot": 1}


@pytest.mark.parametrize(
    "frame", [snapshot(5 + LOG + 1, reset="too_old"), snapshot(0, "b", reset="epoch")]
)
def test_a_snapshot_with_a_good_reason_is_none(room: Room, frame: Frame) -> None:
    room.hears(frame, ear=room.hears(snapshot(5)))
    assert room.found == {}


def test_two_who_hear_different_things_under_one_number_are_caught(room: Room) -> None:
    room.hears(snapshot(5), event(6), ear=room.ear("one"))
    room.hears(snapshot(5), event(6, num=2), ear=room.ear("another"))
    room.hears(snapshot(5), {**event(6), "ts": 1}, ear=room.ear("a third"))
    assert room.found == {"told_differently": 2}


def test_a_number_that_nobody_heard_is_caught(room: Room) -> None:
    room.hears(snapshot(5), event(6))
    late = room.hears(snapshot(7), event(8))
    story = room.stories.of(1, "a")
    assert story.unheard == 1
    room.hears(resumed(7, 1), event(7), ear=room.hears(snapshot(6)))
    assert story.unheard == 0
    assert late.seq == 8


def test_a_life_of_which_nothing_was_told_lacks_nothing(room: Room) -> None:
    room.hears(snapshot(5))
    assert room.stories.of(1, "a").unheard == 0


def test_the_first_number_of_a_life_counts_too(room: Room) -> None:
    room.hears(snapshot(0))
    room.hears(snapshot(1), event(2))
    assert room.stories.of(1, "a").unheard == 1


def test_the_same_thing_in_other_words_is_the_same(room: Room) -> None:
    told = event(6)
    again = {**told, "data": dict(reversed(list(told["data"].items())))}
    for frame in (told, again):
        room.hears(snapshot(5), frame)
    assert room.found == {}


def test_an_event_that_does_not_fit_the_picture_is_caught(room: Room) -> None:
    room.hears(
        snapshot(5),
        event(6, type_="micro_apply", **MAN, applied_at=1, expires_at=2),
        event(7, type_="micro_leave", **MAN, reason="left"),
        ear=room.ear(folds=True),
    )
    assert room.found == {"does_not_fold": 1}


def test_a_picture_shows_who_is_away(room: Room) -> None:
    ear = room.ear(folds=True)
    host = {"user_id": "1", "nickname": "host", "face_url": "", "gender": 2}
    room.hears(
        snapshot(5),
        event(6, type_="member_away", **host, role="host"),
        event(7, type_="live_pause", **host),
        ear=ear,
    )
    assert room.found == {}
    assert not isinstance(ear.picture, bool)
    assert ear.picture.shown["status"] == "paused"
    assert ear.picture.shown["owner"]["away"]


def test_the_same_bytes_are_read_once_and_other_bytes_anew() -> None:
    stories = Stories()
    one = stories.parse(b'{"type": "pong"}')
    assert stories.parse(b'{"type": "pong"}') is one
    assert stories.parse(b'{"type":"pong"}') == one


def test_faults_keep_a_few_examples_and_count_all() -> None:
    faults = Faults()
    assert not faults
    for n in range(100):
        faults.add("gap", str(n))
    assert faults
    assert faults.counts["gap"] == 100
    assert faults.examples["gap"] == ["0", "1", "2", "3", "4"]
