import pytest

from tencent.simulator.im_messages import PER_SECOND, Messages


@pytest.fixture
def messages(clock):
    return Messages({"room_1": {}}, {"u1": {}, "u2": {}}, clock)


def body(text: str = "hello") -> list:
    return [{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}]


def to_group(**change) -> dict:
    return {"GroupId": "room_1", "Random": 1, "MsgPriority": "High", "MsgBody": body(), **change}


def to_one(**change) -> dict:
    message = {"SyncOtherMachine": 2, "To_Account": "u2", "MsgLifeTime": 60, "MsgRandom": 1}
    return {**message, "MsgBody": body(), **change}


BAD_BODIES = [
    None,
    "hello",
    [],
    ["hello"],
    [{"MsgType": "TIMTextElem"}],
    [{"MsgType": "TIMTextElem", "MsgContent": {"Text": 5}}],
    [{"MsgType": "TIMUnheard", "MsgContent": {"Text": "hello"}}],
]


def test_what_a_group_is_told_is_numbered_and_recorded(messages):
    assert messages.send_group_msg(to_group())[1]["MsgSeq"] == 1
    assert messages.send_group_msg(to_group(Random=2, From_Account="u1"))[1]["MsgSeq"] == 2
    assert list(messages.sent) == [
        {"group": "room_1", "priority": "High", "text": "hello", "random": 1},
        {"group": "room_1", "priority": "High", "text": "hello", "random": 2},
    ]


def test_what_one_user_is_told_is_recorded(messages):
    data = [{"MsgType": "TIMCustomElem", "MsgContent": {"Data": "psst"}}]
    code, answer = messages.sendmsg(to_one(MsgBody=data, From_Account="u1"))
    assert (code, answer["MsgTime"]) == (0, 1_700_000_000)
    assert list(messages.sent) == [{"to": "u2", "text": "psst", "random": 1}]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        *(({"MsgBody": wrong}, 10004) for wrong in BAD_BODIES),
        *(({"Random": wrong}, 10004) for wrong in (None, "1", -1, 2**32, True)),
        ({"MsgPriority": "Highest"}, 10004),
        ({"OnlineOnlyFlag": 1}, 10004),
        ({"GroupId": "room_2"}, 10010),
        ({"GroupId": None}, 10010),
        ({"From_Account": "u3"}, 70107),
        ({"MsgBody": body("a" * 13_000)}, 80002),
    ],
)
def test_a_bad_message_to_a_group_is_refused_with_tencents_number(messages, change, code):
    assert messages.send_group_msg(to_group(**change)) == (code, {})
    assert not messages.sent


@pytest.mark.parametrize(
    ("change", "code"),
    [
        *(({"MsgBody": wrong}, 90002) for wrong in BAD_BODIES),
        *(({"MsgRandom": wrong}, 90005) for wrong in (None, "1", -1, 2**32, True)),
        ({"To_Account": None}, 90003),
        ({"To_Account": ["u2"]}, 90003),
        ({"SyncOtherMachine": 3}, 90001),
        *(({"MsgLifeTime": wrong}, 90026) for wrong in (-1, 604_801, "60")),
        ({"To_Account": "u3"}, 20003),
        ({"From_Account": "u3"}, 20003),
        ({"MsgBody": body("a" * 13_000)}, 80002),
    ],
)
def test_a_bad_message_to_a_user_is_refused_with_tencents_number(messages, change, code):
    assert messages.sendmsg(to_one(**change)) == (code, {})
    assert not messages.sent


def test_a_group_is_told_the_same_again_only_after_five_minutes(messages, clock):
    first = messages.send_group_msg(to_group())
    clock.now += 299
    assert messages.send_group_msg(to_group()) == first
    assert len(messages.sent) == 1
    clock.now += 1
    assert messages.send_group_msg(to_group())[1]["MsgSeq"] == 2


@pytest.mark.parametrize("change", [{"Random": 2}, {"MsgBody": body("other")}])
def test_another_random_or_text_is_no_repetition(messages, change):
    messages.send_group_msg(to_group())
    messages.send_group_msg(to_group(**change))
    assert len(messages.sent) == 2


def test_a_user_is_told_the_same_again_in_the_next_second(messages, clock):
    first = messages.sendmsg(to_one())
    assert messages.sendmsg(to_one()) == first
    assert len(messages.sent) == 1
    clock.now += 1
    messages.sendmsg(to_one())
    assert len(messages.sent) == 2


def test_a_group_hears_forty_a_second(messages, clock):
    for n in range(PER_SECOND):
        clock.now += 0.01
        assert messages.send_group_msg(to_group(Random=n))[0] == 0
    assert messages.send_group_msg(to_group(Random=99)) == (10023, {})
    clock.now += 0.7
    assert messages.send_group_msg(to_group(Random=99))[0] == 0
    assert len(messages.sent) == PER_SECOND + 1
