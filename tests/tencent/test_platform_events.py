from tencent.message_push import (
    ATTENTION,
    PLATFORM_EVENTS,
    REFUND_QUESTION,
    event_name,
)
from tencent.xpay import DELIVERED, REFUNDED


def test_only_events_that_move_no_gold_are_platform_events() -> None:
    assert {event_name({"Event": name}) for name in PLATFORM_EVENTS} == PLATFORM_EVENTS
    for content in ({}, {"Event": DELIVERED}, {"Event": REFUNDED}, {"Event": ["x"]}):
        assert event_name(content) == ""
    assert set(PLATFORM_EVENTS).difference(ATTENTION) == {REFUND_QUESTION}
