"""Frames of server messages, as another library parses them, and messages of the bus."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame
from websockets.protocol import CLIENT, OPEN, Protocol

from realtime import frames
from realtime.bus import (
    BusMessage,
    CatalogueChanged,
    ChannelChanged,
    ConnectionOpened,
    EventPublished,
    TokenRevoked,
    UserEvicted,
    pack,
    unpack,
)
from realtime.frames import CloseCode
from rooms.events import NumberedEvent
from tests.support.hypothesis_profiles import example_settings


def parse_messages(wire: bytes) -> list[bytes]:
    """The text messages that another library parses from these bytes."""
    client = Protocol(CLIENT, state=OPEN, max_size=None)
    client.receive_data(wire)
    received: Any = client.events_received()
    assert client.parser_exc is None
    assert all(
        isinstance(event, Frame) and event.fin and event.opcode.name == "TEXT" for event in received
    )
    return [bytes(event.data) for event in received]


def decode(wire: bytes) -> dict[str, Any]:
    [message] = parse_messages(wire)
    decoded: dict[str, Any] = json.loads(message)
    return decoded


@pytest.mark.parametrize(
    ("size", "head"), [(0, 2), (125, 2), (126, 4), (65535, 4), (65536, 10), (70000, 10)]
)
def test_another_library_parses_frames_of_any_length_in_their_shortest_encoding(
    size: int, head: int
) -> None:
    frame = frames.frame(b"x" * size)
    assert len(frame) == size + head
    assert parse_messages(frame) == [b"x" * size]


EVENT = NumberedEvent("e1", 43, 1690000000123, "profile", {"nickname": "红"})
POSITION = {"live_id": 7, "epoch": "e1", "seq": 43}
AUDIENCE = {"audience_count": 9, "num_list": [0, 5, 1, 3]}


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (
            frames.event(7, EVENT),
            {"type": "profile", **POSITION, "ts": 1690000000123, "data": {"nickname": "红"}},
        ),
        (
            frames.snapshot(7, "e1", 43, {"status": "live"}, None),
            {"type": "snapshot", **POSITION, "data": {"status": "live"}},
        ),
        (
            frames.snapshot(7, "e1", 43, {}, "too_old"),
            {"type": "snapshot", **POSITION, "data": {}, "reset": "too_old"},
        ),
        (frames.resumed(7, "e1", 43, 2), {"type": "resumed", **POSITION, "replayed": 2}),
        (
            frames.transient("audience", 7, AUDIENCE),
            {"type": "audience", "live_id": 7, "data": AUDIENCE},
        ),
        (
            frames.transient("where", "12345678", {"live_id": None}),
            {"type": "where", "user_id": "12345678", "data": {"live_id": None}},
        ),
        (
            frames.heartbeat(44, 3).rpartition(b"\x89\x00")[0],
            {"type": "heartbeat", "seq": 44, "own_seq": 3},
        ),
        (frames.heartbeat(44).rpartition(b"\x89\x00")[0], {"type": "heartbeat", "seq": 44}),
        (frames.pong(7), {"type": "pong", "n": 7}),
        *(
            (
                frames.bye(code, 1200),
                {
                    "type": "bye",
                    "code": int(code),
                    "reason": code.name.lower(),
                    "retry_ms": 1200,
                    "reconnect": code < 4500,
                },
            )
            for code in CloseCode
        ),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "frame",
)
def test_a_frame_has_its_fields(wire: bytes, expected: dict[str, Any]) -> None:
    frame = decode(wire)
    if "ts" not in expected and frame["type"] in ("snapshot", "heartbeat"):
        assert frame.pop("ts") > 1_690_000_000_000
    assert frame == expected


# ---- messages of the bus

IDS = st.integers(0, 2**53)
TEXTS = st.text(max_size=20)
KEYS = IDS | st.from_regex(r"[0-9]{8}", fullmatch=True)
MESSAGES = st.one_of(
    st.builds(EventPublished, KEYS, TEXTS, IDS, st.binary(max_size=300), st.booleans()),
    st.builds(ChannelChanged, KEYS, st.sampled_from(["events", "audience", "balance"])),
    st.builds(UserEvicted, TEXTS, st.none() | IDS, st.sampled_from(CloseCode), IDS),
    st.builds(ConnectionOpened, KEYS, TEXTS, TEXTS, IDS),
    st.builds(TokenRevoked, TEXTS),
    st.builds(CatalogueChanged),
)


@example_settings(100)
@given(sender=TEXTS, message=MESSAGES)
def test_pack_and_unpack_round_trip(sender: str, message: BusMessage) -> None:
    unpacked = unpack(pack(sender, message))
    assert unpacked == (sender, message)
    assert unpacked is not None
    if isinstance(message, UserEvicted):
        assert type(unpacked[1].code) is CloseCode


@example_settings(100)
@given(data=st.binary(max_size=200))
def test_random_bytes_unpack_to_none(data: bytes) -> None:
    assert unpack(data) is None


@pytest.mark.parametrize(
    "value",
    [
        '["me","unknown",{"live_id":1}]',
        '["me","channel_changed",{"key":1,"part":"events","more":2}]',
        '["me","channel_changed",{"key":1}]',
        '["me","channel_changed",null]',
        '["me","channel_changed"]',
        '["me","catalogue_changed",{"gifts":true}]',
        '["me","user_evicted",{"user_id":"1","live_id":1,"code":4999,"number":1}]',
        '["me",["channel_changed"],{"live_id":1}]',
        '{"channel_changed":1}',
        "7",
        "null",
        "[" * 100_000,
    ],
)
def test_unknown_type_or_malformed_fields_unpack_to_none(value: str) -> None:
    assert unpack(value.encode()) is None
