from typing import Any

from chaos.acts import Act, given, key_of, lost, twice
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


def gift(seq: int, request_id: str, giver: str = "2", gold: int = 5) -> Frame:
    return told(seq, "gift", request_id=request_id, gold=gold, **{"from": {"user_id": giver}})


def test_an_act_that_was_done_twice_is_caught_wherever_it_was_heard() -> None:
    faults = Faults()
    next_life = Story(1, "b", {1: gift(1, "man-1")})
    twice([story(gift(1, "man-1"), gift(2, "man-2")), next_life], faults)
    assert faults.examples == {"twice": ["gift man-1: 2 events"]}


def test_an_act_that_may_be_repeated_may_be_repeated() -> None:
    faults = Faults()
    twice([story(told(1, "micro_apply", user_id="2"), told(2, "micro_apply", user_id="2"))], faults)
    assert not faults


def test_what_people_gave_is_summed_over_all_lives() -> None:
    first = story(gift(1, "a"), gift(2, "b", gold=7), told(3, "micro_apply", user_id="2"))
    assert given([first, Story(2, "b", {1: gift(1, "c"), 2: gift(2, "d", "3", 1)})]) == {
        "2": 17,
        "3": 1,
    }


def test_each_event_has_the_name_by_which_its_act_looks_for_it() -> None:
    url = "rtmp://play/room?txSecret=1"
    assert key_of(told(1, "micro_accept", user_id="2", play_url=url)) == (
        "micro_accept rtmp://play/room"
    )
    profile = told(1, "profile", user_id="2", nickname="new")
    assert key_of(profile) == "profile 2 new"
    assert key_of(told(1, "micro_leave", user_id="2")) == "micro_leave 2"
    assert key_of(told(1, "member_away", user_id="2")) == ""
