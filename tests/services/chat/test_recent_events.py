import pytest

from rooms.events import NumberedEvent
from services.chat import im_publisher as module
from services.chat.im_publisher import RecentEvents


def event(seq: int, epoch: str = "e1") -> NumberedEvent:
    return NumberedEvent(epoch, seq, 0, "gift", {})


@pytest.fixture
def recent() -> RecentEvents:
    return RecentEvents()


def test_events_are_taken_once_and_later_ones_are_kept(recent: RecentEvents) -> None:
    recent.add(1, [event(4), event(5), event(6)])
    recent.add(2, [event(4)])
    assert recent.take(1, "e1", 4, 5) == [event(5)], "the fourth was relayed"
    assert recent.take(1, "e1", 5, 6) == [event(6)]
    assert recent.take(1, "e1", 5, 6) is None


def test_events_with_a_gap_or_of_an_earlier_live_are_not_taken(recent: RecentEvents) -> None:
    recent.add(1, [event(1, "e0"), event(9, "e0"), event(1)])
    assert recent.take(1, "e1", 0, 1) == [event(1)]
    assert recent.take(1, "e0", 8, 9) is None, "they are forgotten"
    recent.add(1, [event(4), event(6)])
    assert recent.take(1, "e1", 3, 6) is None


def test_all_are_forgotten_when_there_are_too_many(
    recent: RecentEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_RECENT", 2)
    for live_id in (1, 2, 3):
        recent.add(live_id, [event(1)])
    assert recent.take(1, "e1", 0, 1) is None
    assert recent.take(3, "e1", 0, 1) == [event(1)]
