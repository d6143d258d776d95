import pytest

from devtools.simulator.im_messages import PER_SECOND, SimulatedMessages


@pytest.fixture
def messages(clock):
    return SimulatedMessages({"room_1": {}}, {"u1": {}, "u2": {}}, clock)


def text_body(text: str = "hello") -> list:
    return [{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}]


def group_message(**change) -> dict:
    return {
        "GroupId": "room_1",
        "Random": 1,
        "MsgPriority": "High",
        "MsgBody": text_body(),
        **change,
    }


def user_message(**change) -> dict:
    defaults = {"SyncOtherMachine": 2, "To_Account": "u2", "MsgLifeTime": 60, "MsgRandom": 1}
    return {**defaults, "MsgBody": text_body(), **change}


def test_group_messages_are_numbered_and_recorded(messages):
    assert messages.send_group_msg(group_message())[1]["MsgSeq"] == 1
    assert messages.send_group_msg(group_message(Random=2, From_Account="u1"))[1]["MsgSeq"] == 2
    assert list(messages.sent) == [
        {"group": "room_1", "priority": "High", "text": "hello", "random": 1},
        {"group": "room_1", "priority": "High", "text": "hello", "random": 2},
    ]


def test_user_message_is_recorded(messages):
    data = [{"MsgType": "TIMCustomElem", "MsgContent": {"Data": "psst"}}]
    code, answer = messages.sendmsg(user_message(MsgBody=data, From_Account="u1"))
    assert (code, answer["MsgTime"]) == (0, 1_700_000_000)
    assert list(messages.sent) == [{"to": "u2", "text": "psst", "random": 1}]


def test_unknown_groups_and_users_get_the_error_code_of_tencent(messages):
    assert messages.send_group_msg(group_message(GroupId="room_2")) == (10010, {})
    assert messages.send_group_msg(group_message(From_Account="u3")) == (70107, {})
    assert messages.sendmsg(user_message(To_Account="u3")) == (20003, {})
    assert messages.sendmsg(user_message(From_Account="u3")) == (20003, {})
    assert not messages.sent


def test_repeated_group_message_is_sent_only_after_five_minutes(messages, clock):
    first = messages.send_group_msg(group_message())
    clock.now += 299
    assert messages.send_group_msg(group_message()) == first
    assert len(messages.sent) == 1
    clock.now += 1
    assert messages.send_group_msg(group_message())[1]["MsgSeq"] == 2


@pytest.mark.parametrize("change", [{"Random": 2}, {"MsgBody": text_body("other")}])
def test_message_with_another_random_or_text_is_not_a_repetition(messages, change):
    messages.send_group_msg(group_message())
    messages.send_group_msg(group_message(**change))
    assert len(messages.sent) == 2


def test_repeated_user_message_is_sent_only_after_a_second(messages, clock):
    first = messages.sendmsg(user_message())
    assert messages.sendmsg(user_message()) == first
    assert len(messages.sent) == 1
    clock.now += 1
    messages.sendmsg(user_message())
    assert len(messages.sent) == 2


def test_group_accepts_forty_messages_per_second(messages, clock):
    for n in range(PER_SECOND):
        clock.now += 0.01
        assert messages.send_group_msg(group_message(Random=n))[0] == 0
    assert messages.send_group_msg(group_message(Random=99)) == (10023, {})
    clock.now += 0.7
    assert messages.send_group_msg(group_message(Random=99))[0] == 0
    assert len(messages.sent) == PER_SECOND + 1
