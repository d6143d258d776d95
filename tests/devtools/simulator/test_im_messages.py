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


BAD_BODIES = [
    None,
    "hello",
    [],
    ["hello"],
    [{"MsgType": "TIMTextElem"}],
    [{"MsgType": "TIMTextElem", "MsgContent": {"Text": 5}}],
    [{"MsgType": "TIMUnheard", "MsgContent": {"Text": "hello"}}],
]


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


@pytest.mark.parametrize(
    ("change", "code"),
    [
        *(({"MsgBody": invalid}, 10004) for invalid in BAD_BODIES),
        *(({"Random": invalid}, 10004) for invalid in (None, "1", -1, 2**32, True)),
        ({"MsgPriority": "Highest"}, 10004),
        ({"OnlineOnlyFlag": 1}, 10004),
        ({"GroupId": "room_2"}, 10010),
        ({"GroupId": None}, 10010),
        ({"From_Account": "u3"}, 70107),
        ({"MsgBody": text_body("a" * 13_000)}, 80002),
    ],
)
def test_invalid_group_message_gets_the_error_code_of_tencent(messages, change, code):
    assert messages.send_group_msg(group_message(**change)) == (code, {})
    assert not messages.sent


@pytest.mark.parametrize(
    ("change", "code"),
    [
        *(({"MsgBody": invalid}, 90002) for invalid in BAD_BODIES),
        *(({"MsgRandom": invalid}, 90005) for invalid in (None, "1", -1, 2**32, True)),
        ({"To_Account": None}, 90003),
        ({"To_Account": ["u2"]}, 90003),
        ({"SyncOtherMachine": 3}, 90001),
        *(({"MsgLifeTime": invalid}, 90026) for invalid in (-1, 604_801, "60")),
        ({"To_Account": "u3"}, 20003),
        ({"From_Account": "u3"}, 20003),
        ({"MsgBody": text_body("a" * 13_000)}, 80002),
    ],
)
def test_invalid_user_message_gets_the_error_code_of_tencent(messages, change, code):
    assert messages.sendmsg(user_message(**change)) == (code, {})
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
