import json

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
    on_mic_messages,
)

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


def test_taking_a_seat_is_sent_to_the_group():
    text = (
        '{"type": "reset", "content": {"content_type": "on", "user_id": "2", '
        '"play_url": "https://play/anna.flv", "nickname": "安娜", "area": "130000", "age": 28, '
        '"face_url": "https://faces/anna", "gender": 2}}'
    )
    assert sent("micro_accept", ACCEPTED) == [(GROUP, "High", text)]


def test_leaving_a_seat_is_sent_to_the_group_with_empty_unknown_fields():
    text = (
        '{"type": "reset", "content": {"content_type": "off", "user_id": "1", '
        '"play_url": "", "nickname": "bert", "area": "", "age": 0, '
        '"face_url": "https://faces/bert", "gender": 1}}'
    )
    assert sent("micro_leave", {**BERT, "reason": "left"}) == [(GROUP, "High", text)]


@pytest.mark.parametrize("reason", ["host", "banned"])
def test_a_user_removed_from_mic_gets_a_kickout_after_the_group_message(reason):
    off, kickout = sent("micro_leave", {**BERT, "reason": reason})
    assert off == sent("micro_leave", {**BERT, "reason": "left"})[0]
    text = '{"type": "kickout", "content": {"group_id": "qlive1"}}'
    assert kickout == ("1", "High", text)


@pytest.mark.parametrize("reason", ["left", "offline"])
def test_a_user_who_leaves_gets_no_kickout(reason):
    assert len(sent("micro_leave", {**BERT, "reason": reason})) == 1


def test_an_invitation_is_sent_to_the_invited_user_with_its_lifetime():
    invited = event("micro_invite", {**ANNA, "expires_at": NOW + 30_000})
    (message,) = messages_for(invited, "qlive1", NOW)
    assert message.text == '{"type": "invite", "content": {"group_id": "qlive1"}}'
    assert (message.to, message.seconds) == ("2", 30)


def test_an_expired_invitation_is_not_sent():
    assert messages_for(event("micro_invite", {**ANNA, "expires_at": NOW}), "qlive1", NOW) == []


def test_a_gift_is_sent_to_the_group():
    text = (
        '{"type": "gift", "content": {"gift_id": 3, "gift_title": "玫瑰", "gift_num": 9, '
        '"gift_image": "https://gifts/rose"}}'
    )
    assert sent("gift", GIFT) == [(GROUP, "Normal", text)]


def test_the_end_of_a_live_is_sent_to_the_group():
    text = '{"type": "over", "content": ""}'
    assert sent("live_end", {**BERT, "reason": "host"}) == [(GROUP, "High", text)]
    assert live_end_message("e1", 5) == messages_for(event("live_end", BERT), "qlive1", NOW)[0]


def test_the_counts_are_sent_to_the_host():
    message = counts_message("9", "qlive1", [1, 5, 0, 3], "e1", 4)
    text = '{"type": "num", "content": {"group_id": "qlive1", "num_list": [1, 5, 0, 3]}}'
    assert (message.to, message.text, message.seconds) == ("9", text, 60)


RELAYED = {"micro_accept", "micro_leave", "micro_invite", "gift", "live_end"}


@pytest.mark.parametrize("event_type", sorted(EVENT_PAYLOADS.keys() - RELAYED))
def test_other_events_are_not_sent(event_type):
    assert sent(event_type, BERT) == []


def test_the_message_for_a_seated_guest_equals_that_of_accepting():
    (message,) = on_mic_messages("e1", 9, [ACCEPTED])
    assert (message.to, message.priority, message.text) == sent("micro_accept", ACCEPTED)[0]


def test_equal_messages_have_equal_randoms_and_others_differ():
    randoms = {
        message_random(epoch, n, kind) for epoch in "ab" for n in range(50) for kind in "xyz"
    }
    assert len(randoms) == 300
    assert all(0 <= random < 2**32 for random in randoms)
    assert message_random("e1", 5, "reset") == 1446247480


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


def test_every_text_is_json_with_type_and_content():
    for event_type, data in (("micro_accept", ACCEPTED), ("gift", GIFT), ("live_end", BERT)):
        assert json.loads(sent(event_type, data)[0][2]).keys() == {"type", "content"}
