from typing import Any

from chaos.operations import Operation, check_duplicates, check_lost, gold_spent, key_of
from chaos.timeline import Frame, Timeline
from chaos.violations import Violations

NOW = 1_700_000_000.0


def timeline(*frames: Frame) -> Timeline:
    return Timeline(1, "a", {frame["seq"]: frame for frame in frames})


def event(seq: int, type_: str, after: float = 0.0, **data: Any) -> Frame:
    return {"type": type_, "epoch": "a", "seq": seq, "ts": int((NOW + after) * 1000), "data": data}


def lost_count(operation: Operation, *frames: Frame) -> int:
    violations = Violations()
    count = check_lost([operation], [timeline(*frames)], violations)
    assert violations.counts["lost"] == count
    return count


def test_an_operation_with_its_event_is_not_lost() -> None:
    operation = Operation(1, "gift man-1", NOW, NOW + 1)
    assert lost_count(operation, event(1, "gift", 0.5, request_id="man-1")) == 0


def test_an_operation_without_its_event_is_lost() -> None:
    assert lost_count(Operation(1, "gift man-1", NOW, NOW + 1)) == 1
    other = event(1, "gift", 0.5, request_id="man-2")
    assert lost_count(Operation(1, "gift man-1", NOW, NOW + 1), other) == 1


def test_an_event_of_an_earlier_turn_or_another_room_does_not_count() -> None:
    earlier = event(1, "micro_apply", -5, user_id="2")
    assert lost_count(Operation(1, "micro_apply 2", NOW, NOW + 1), earlier) == 1
    now = event(1, "micro_apply", 0.5, user_id="2")
    assert lost_count(Operation(2, "micro_apply 2", NOW, NOW + 1), now) == 1
    assert lost_count(Operation(1, "micro_apply 2", NOW, NOW + 1), earlier | {"seq": 0}, now) == 0


def gift(seq: int, request_id: str, giver: str = "2", gold: int = 5) -> Frame:
    return event(seq, "gift", request_id=request_id, gold=gold, **{"from": {"user_id": giver}})


def test_a_duplicate_effect_is_found_across_live_sessions() -> None:
    violations = Violations()
    next_session = Timeline(1, "b", {1: gift(1, "man-1")})
    check_duplicates([timeline(gift(1, "man-1"), gift(2, "man-2")), next_session], violations)
    assert violations.examples == {"duplicate_effect": ["gift man-1: 2 events"]}


def test_repeatable_operations_may_have_several_events() -> None:
    violations = Violations()
    applied = [event(seq, "micro_apply", user_id="2") for seq in (1, 2)]
    check_duplicates([timeline(*applied)], violations)
    assert not violations


def test_gold_spent_is_summed_over_all_live_sessions() -> None:
    first = timeline(gift(1, "a"), gift(2, "b", gold=7), event(3, "micro_apply", user_id="2"))
    second = Timeline(1, "b", {1: gift(1, "c"), 2: gift(2, "d", "3", 1)})
    assert gold_spent([first, second]) == {"2": 17, "3": 1}


def test_each_event_has_the_key_of_its_operation() -> None:
    url = "rtmp://play/room?txSecret=1"
    assert key_of(event(1, "micro_accept", user_id="2", play_url=url)) == (
        "micro_accept rtmp://play/room"
    )
    assert key_of(event(1, "micro_leave", user_id="2")) == "micro_leave 2"
    assert key_of(event(1, "member_away", user_id="2")) == ""
