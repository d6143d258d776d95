import pytest

from tencent.errors import Unreadable
from tencent.message_push import (
    ATTENTION,
    PLATFORM_EVENTS,
    REFUND_QUESTION,
    event_name,
    order_in_question,
)
from tencent.xpay import DELIVERED, REFUNDED


def test_only_events_that_move_no_gold_are_platform_events() -> None:
    assert {event_name({"Event": name}) for name in PLATFORM_EVENTS} == PLATFORM_EVENTS
    for content in ({}, {"Event": DELIVERED}, {"Event": REFUNDED}, {"Event": ["x"]}):
        assert event_name(content) == ""
    assert set(PLATFORM_EVENTS).difference(ATTENTION) == {REFUND_QUESTION}


def test_question_names_our_order() -> None:
    assert order_in_question({"pay_order_id": "Q1"}) == "Q1"
    for content in ({}, {"pay_order_id": ""}, {"pay_order_id": 1}):
        with pytest.raises(Unreadable):
            order_in_question(content)
