import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.events import EVENT_PAYLOADS, NumberedEvent
from services.chat.im_messages import (
    GROUP,
    counts_message,
    drop_excess_gifts,
    live_end_message,
    message_random,
    messages_for,
    on_mic_message,
)
from tests.support.hypothesis_profiles import example_settings

NOW = 1_690_000_000_000
BERT = {"user_id": "1", "nickname": "bert", "face_url": "https://faces/bert", "gender": 1}
ANNA = {"user_id": "2", "nickname": "安娜", "face_url": "https://faces/anna", "gender": 2}
ACCEPTED = {**ANNA, "play_url": "https://play/anna.flv", "area": "130000", "age": 28}
GIFT = {
    "from": BERT,
    "to": ANNA,
    "gift": {"id": 3, "name": "玫瑰", "image": "https://gifts/rose", "effect": "petals"},
    "num": 9,
    "gold": 90,
    "request_id": "r1",
}


def event(event_type: str, data: dict, seq: int = 5) -> NumberedEvent:
    return NumberedEvent("e1", seq, NOW, event_type, data)


def sent(event_type: str, data: dict) -> list[tuple[str, str, str]]:
    """(to, priority, text) of the messages for an event."""
    return [
        (m.to, m.priority, m.text) for m in messages_for(event(event_type, data), "qlive1", NOW)
    ]


ON = (
    '{"type": "reset", "content": {"content_type": "on", "user_id": "2", '
    '"play_url": "https://play/anna.flv", "nickname": "安娜", "area": "130000", "age": 28, '
    '"face_url": "https://faces/anna", "gender": 2}}'
)
OFF = (
    '{"type": "reset", "content": {"content_type": "off", "user_id": "1", '
    '"play_url": "", "nickname": "bert", "area": "", "age": 0, '
    '"face_url": "https://faces/bert", "gender": 1}}'
)
GIFT_TEXT = (
    '{"type": "gift", "content": {"gift_id": 3, "gift_title": "玫瑰", "gift_num": 9, '
    '"gift_image": "https://gifts/rose"}}'
)
OVER = '{"type": "over", "content": ""}'
KICKOUT = ("1", "High", '{"type": "kickout", "content": {"group_id": "qlive1"}}')


@pytest.mark.parametrize(
    ("event_type", "data", "messages"),
    [
        ("micro_accept", ACCEPTED, [(GROUP, "High", ON)]),
        ("micro_leave", {**BERT, "reason": "left"}, [(GROUP, "High", OFF)]),
        ("micro_leave", {**BERT, "reason": "offline"}, [(GROUP, "High", OFF)]),
        ("micro_leave", {**BERT, "reason": "host"}, [(GROUP, "High", OFF), KICKOUT]),
        ("micro_leave", {**BERT, "reason": "banned"}, [(GROUP, "High", OFF), KICKOUT]),
        ("gift", GIFT, [(GROUP, "Normal", GIFT_TEXT)]),
        ("live_end", {**BERT, "reason": "host"}, [(GROUP, "High", OVER)]),
        ("micro_invite", {**ANNA, "expires_at": NOW}, []),
    ],
)
def test_an_event_is_sent_in_the_format_of_the_earlier_backend(event_type, data, messages):
    assert sent(event_type, data) == messages


RELAYED = {"micro_accept", "micro_leave", "micro_invite", "gift", "live_end"}


@pytest.mark.parametrize("event_type", sorted(EVENT_PAYLOADS.keys() - RELAYED))
def test_other_events_are_not_sent(event_type):
    assert sent(event_type, BERT) == []


def test_an_invitation_is_sent_to_the_invited_user_with_its_lifetime():
    invited = event("micro_invite", {**ANNA, "expires_at": NOW + 30_000})
    (message,) = messages_for(invited, "qlive1", NOW)
    assert message.text == '{"type": "invite", "content": {"group_id": "qlive1"}}'
    assert (message.to, message.seconds) == ("2", 30)


def test_the_counts_are_sent_to_the_host():
    message = counts_message("9", "qlive1", [1, 5, 0, 3], "e1", 4)
    text = '{"type": "num", "content": {"group_id": "qlive1", "num_list": [1, 5, 0, 3]}}'
    assert (message.to, message.text, message.seconds) == ("9", text, 60)


def test_after_a_gap_the_messages_equal_those_of_the_events():
    message = on_mic_message("e1", 9, ACCEPTED)
    assert (message.to, message.priority, message.text) == (GROUP, "High", ON)
    assert live_end_message("e1", 5) == messages_for(event("live_end", BERT), "qlive1", NOW)[0]


def test_equal_messages_have_equal_randoms_and_others_differ():
    randoms = {
        message_random(epoch, n, kind) for epoch in "ab" for n in range(50) for kind in "xyz"
    }
    assert len(randoms) == 300
    assert all(0 <= random < 2**32 for random in randoms)
    assert message_random("e1", 5, "reset") == 1446247480


@example_settings(100)
@given(st.lists(st.sampled_from(["gift", "micro_accept", "micro_apply"])), st.integers(0, 9))
def test_only_the_oldest_gifts_are_dropped_beyond_the_limit(types, limit):
    events = [event(event_type, {}, seq) for seq, event_type in enumerate(types)]
    remaining = drop_excess_gifts(events, limit)
    assert [e for e in remaining if e.type != "gift"] == [e for e in events if e.type != "gift"]
    gifts = [e for e in events if e.type == "gift"]
    remaining_gifts = [e for e in remaining if e.type == "gift"]
    assert remaining_gifts == gifts[len(gifts) - len(remaining_gifts) :]
    relayed = [e for e in remaining if e.type != "micro_apply"]
    assert len(relayed) <= limit or not remaining_gifts
    assert remaining_gifts == gifts or len(relayed) >= limit
    assert remaining == sorted(remaining, key=lambda e: e.seq)
