import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.bus import Arrived, Edited, Message, Revoked, ShownOut, Stirred, Told
from realtime.codes import Code
from realtime.letters import KINDS, pack, unpack

IDS = st.integers(0, 2**53)
WORDS = st.text(max_size=20)
MESSAGES = st.one_of(
    st.builds(Told, IDS, WORDS, IDS, st.binary(max_size=300), st.booleans()),
    st.builds(Stirred, IDS),
    st.builds(ShownOut, WORDS, st.none() | IDS, st.sampled_from(Code)),
    st.builds(Arrived, IDS, WORDS, WORDS, IDS),
    st.builds(Revoked, WORDS),
    st.builds(Edited),
)


@given(sender=WORDS, message=MESSAGES)
def test_what_is_packed_is_unpacked_the_same(sender: str, message: Message) -> None:
    read = unpack(pack(sender, message))
    assert read == (sender, message)
    assert read is not None
    if isinstance(message, ShownOut):
        assert type(read[1].code) is Code  # type: ignore[union-attr]


def test_every_message_has_a_word() -> None:
    assert set(KINDS.values()) == {Told, Stirred, ShownOut, Arrived, Revoked, Edited}


def test_a_frame_travels_as_it_is() -> None:
    """Framed once for all processes: even a line feed or what is not text stays."""
    frame = b"\x81\x05a\nb\n\xff"
    assert pack("me", Told(1, "e", 2, frame, last=False)).endswith(b"\n" + frame)


@given(letter=st.binary(max_size=200))
def test_garbage_is_no_message(letter: bytes) -> None:
    assert unpack(letter) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(line=JSON, name=st.sampled_from([*KINDS, "sung"]), fields=JSON)
def test_what_another_version_writes_is_skipped(line: object, name: str, fields: object) -> None:
    for written in (line, ["me", name, fields]):
        unpack(json.dumps(written).encode() + b"\nframe")  # whatever it is, nothing is raised


@pytest.mark.parametrize(
    "line",
    [
        '["me","sung",{"live_id":1}]',
        '["me","stirred",{"live_id":1,"more":2}]',
        '["me","stirred",{}]',
        '["me","stirred",null]',
        '["me","stirred"]',
        '["me","edited",{"gifts":true}]',
        '["me","shown_out",{"user_id":"1","live_id":1,"code":4999}]',
        '["me",["stirred"],{"live_id":1}]',
        '{"stirred":1}',
        "7",
        "null",
        "[" * 100_000,
    ],
)
def test_an_unknown_word_or_shape_is_none(line: str) -> None:
    assert unpack(line.encode()) is None
