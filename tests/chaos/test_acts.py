from typing import Any

from chaos.acts import Act, key_of, lost
from chaos.story import Faults, Frame, Story

NOW = 1_700_000_000.0


def story(*frames: Frame) -> Story:
    return Story(1, "a", {frame["seq"]: frame for frame in frames})


def told(seq: int, type_: str, after: float = 0.0, **data: Any) -> Frame:
    return {"type": type_, "epoch": "a", "seq": seq, "ts": int((NOW + after) * 1000), "data": data}


def lost_of(act: Act, *frames: Frame) -> int:
    faults = Faults()
    count = lost([act], [story(*frames)], faults)
    assert faults.counts["lost"] == count
    return count


def test_an_act_whose_event_was_told_is_not_lost() -> None:
    act = Act(1, "gift man-1", NOW, NOW + 1)
    assert lost_of(act, told(1, "gift", 0.5, request_id="man-1")) == 0


def test_an_act_whose_event_nobody_heard_is_lost() -> None:
    assert lost_of(Act(1, "gift man-1", NOW, NOW + 1)) == 1
    other = told(1, "gift", 0.5, request_id="man-2")
    assert lost_of(Act(1, "gift man-1", NOW, NOW + 1), other) == 1


def test_an_event_of_an_earlier_turn_or_another_room_does_not_count() -> None:
    earlier = told(1, "micro_apply", -5, user_id="2")
    assert lost_of(Act(1, "micro_apply 2", NOW, NOW + 1), earlier) == 1
    now = told(1, "micro_apply", 0.5, user_id="2")
    assert lost_of(Act(2, "micro_apply 2", NOW, NOW + 1), now) == 1
    assert lost_of(Act(1, "micro_apply 2", NOW, NOW + 1), earlier | {"seq": 0}, now) == 0


def test_each_event_has_the_name_by_which_its_act_looks_for_it() -> None:
    url = "rtmp://play/room?txSecret=1"
    assert key_of(told(1, "micro_accept", user_id="2", play_url=url)) == (
        "micro_accept rtmp://play/room"
    )
    profile = told(1, "profile", user_id="2", nickname="new")
    assert key_of(profile) == "profile 2 new"
    assert key_of(told(1, "micro_leave", user_id="2")) == "micro_leave 2"
    assert key_of(told(1, "member_away", user_id="2")) == ""
