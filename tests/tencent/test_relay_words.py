import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.events import VOCABULARY, Numbered
from tencent.relay_words import GROUP, chosen, num, over, present, without_surplus, words

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


def event(type_: str, data: dict, seq: int = 5) -> Numbered:
    return Numbered("e1", seq, NOW, type_, data)


def said(type_: str, data: dict) -> list[tuple[str, str, str]]:
    """(to, priority, text) of what is said of an event."""
    return [(w.to, w.priority, w.text) for w in words(event(type_, data), "qlive1", NOW)]


def test_who_takes_a_seat_is_shown_to_the_group():
    text = (
        '{"type": "reset", "content": {"content_type": "on", "user_id": "2", '
        '"play_url": "https://play/anna.flv", "nickname": "安娜", "area": "130000", "age": 28, '
        '"face_url": "https://faces/anna", "gender": 2}}'
    )
    assert said("micro_accept", ACCEPTED) == [(GROUP, "High", text)]


def test_who_leaves_a_seat_is_shown_to_the_group_without_what_is_not_known():
    text = (
        '{"type": "reset", "content": {"content_type": "off", "user_id": "1", '
        '"play_url": "", "nickname": "bert", "area": "", "age": 0, '
        '"face_url": "https://faces/bert", "gender": 1}}'
    )
    assert said("micro_leave", {**BERT, "reason": "left"}) == [(GROUP, "High", text)]


@pytest.mark.parametrize("reason", ["host", "banned"])
def test_who_is_taken_off_the_mic_hears_it_after_the_group(reason):
    off, kickout = said("micro_leave", {**BERT, "reason": reason})
    assert off == said("micro_leave", {**BERT, "reason": "left"})[0]
    text = '{"type": "kickout", "content": {"group_id": "qlive1"}}'
    assert kickout == ("1", "High", text)


@pytest.mark.parametrize("reason", ["left", "offline"])
def test_who_goes_is_not_told_so(reason):
    assert len(said("micro_leave", {**BERT, "reason": reason})) == 1


def test_an_invitation_is_told_to_the_one_invited_and_kept_while_it_holds():
    invited = event("micro_invite", {**ANNA, "expires_at": NOW + 30_000})
    (word,) = words(invited, "qlive1", NOW)
    assert word.text == '{"type": "invite", "content": {"group_id": "qlive1"}}'
    assert (word.to, word.seconds) == ("2", 30)


def test_an_invitation_that_is_over_is_not_told():
    assert words(event("micro_invite", {**ANNA, "expires_at": NOW}), "qlive1", NOW) == []


def test_a_gift_is_shown_to_the_group():
    text = (
        '{"type": "gift", "content": {"gift_id": 3, "gift_title": "玫瑰", "gift_num": 9, '
        '"gift_image": "https://gifts/rose"}}'
    )
    assert said("gift", GIFT) == [(GROUP, "Normal", text)]


def test_the_end_of_a_live_is_told_to_the_group():
    text = '{"type": "over", "content": ""}'
    assert said("live_end", {**BERT, "reason": "host"}) == [(GROUP, "High", text)]
    assert over("e1", 5) == words(event("live_end", BERT), "qlive1", NOW)[0]


def test_the_host_is_told_the_numbers():
    word = num("9", "qlive1", [1, 5, 0, 3], "e1", 4)
    text = '{"type": "num", "content": {"group_id": "qlive1", "num_list": [1, 5, 0, 3]}}'
    assert (word.to, word.text, word.seconds) == ("9", text, 60)


HEARD = {"micro_accept", "micro_leave", "micro_invite", "gift", "live_end"}


@pytest.mark.parametrize("type_", sorted(VOCABULARY.keys() - HEARD))
def test_nothing_is_said_of_the_rest(type_):
    assert said(type_, BERT) == []


def test_who_sits_is_shown_as_when_they_sat_down():
    (word,) = present("e1", 9, [ACCEPTED])
    assert (word.to, word.priority, word.text) == said("micro_accept", ACCEPTED)[0]


def test_the_same_word_has_the_same_random_and_no_other_has():
    randoms = {chosen(epoch, n, kind) for epoch in "ab" for n in range(50) for kind in "xyz"}
    assert len(randoms) == 300
    assert all(0 <= random < 2**32 for random in randoms)
    assert chosen("e1", 5, "reset") == 1446247480


@given(st.lists(st.sampled_from(["gift", "micro_accept", "micro_apply"])), st.integers(0, 9))
def test_of_too_much_the_oldest_gifts_are_left_out_and_nothing_else(types, most):
    events = [event(type_, {}, seq) for seq, type_ in enumerate(types)]
    kept = without_surplus(events, most)
    assert [e for e in kept if e.type != "gift"] == [e for e in events if e.type != "gift"]
    gifts = [e for e in events if e.type == "gift"]
    kept_gifts = [e for e in kept if e.type == "gift"]
    assert kept_gifts == gifts[len(gifts) - len(kept_gifts) :]
    loud = [e for e in kept if e.type != "micro_apply"]
    assert len(loud) <= most or not kept_gifts
    assert kept_gifts == gifts or len(loud) >= most
    assert kept == sorted(kept, key=lambda e: e.seq)


def test_every_text_is_json_with_a_type_and_a_content():
    for type_, data in (("micro_accept", ACCEPTED), ("gift", GIFT), ("live_end", BERT)):
        assert json.loads(said(type_, data)[0][2]).keys() == {"type", "content"}
