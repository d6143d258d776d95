import json
from typing import Any

import pytest
from websockets.frames import Frame
from websockets.protocol import CLIENT, OPEN, Protocol

from realtime import frames
from realtime.close_codes import CloseCode
from rooms.events import NumberedEvent


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


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_another_library_parses_frames_of_any_length(size: int) -> None:
    assert parse_messages(frames.frame(b"x" * size)) == [b"x" * size]


@pytest.mark.parametrize(("size", "head"), [(125, 2), (126, 4), (65535, 4), (65536, 10)])
def test_frame_uses_the_shortest_length_encoding(size: int, head: int) -> None:
    assert len(frames.frame(b"x" * size)) == size + head


def test_joined_frames_are_separate_messages() -> None:
    payloads = [b"a", b"b" * 200, "红娘".encode()]
    assert parse_messages(b"".join(map(frames.frame, payloads))) == payloads


def test_json_is_utf_8_without_escapes() -> None:
    assert frames.encode({"name": "红娘"}) == '{"name":"红娘"}'.encode()


def test_event_frame_has_the_saved_fields() -> None:
    event = NumberedEvent("e1", 43, 1690000000123, "profile", {"nickname": "红"})
    assert decode(frames.event(7, event)) == {
        "type": "profile",
        "live_id": 7,
        "epoch": "e1",
        "seq": 43,
        "ts": 1690000000123,
        "data": {"nickname": "红"},
    }


def test_event_is_always_encoded_as_the_same_bytes() -> None:
    event = NumberedEvent("e1", 43, 1, "profile", {"nickname": "红", "gender": 1})
    assert frames.event(7, event) == frames.event(7, event)


def test_snapshot_has_a_reset_reason_only_after_a_failed_resume() -> None:
    first = decode(frames.snapshot(7, "e1", 42, {"status": "live"}, None))
    assert first.pop("ts") > 1_690_000_000_000
    expected = {"type": "snapshot", "live_id": 7, "epoch": "e1", "seq": 42}
    assert first == {**expected, "data": {"status": "live"}}
    assert decode(frames.snapshot(7, "e1", 42, {}, "too_old"))["reset"] == "too_old"


def test_resumed_frame_has_the_number_of_replayed_events() -> None:
    assert decode(frames.resumed(7, "e1", 44, 2)) == {
        "type": "resumed",
        "live_id": 7,
        "epoch": "e1",
        "seq": 44,
        "replayed": 2,
    }


def test_audience_frame_has_no_sequence_number() -> None:
    frame = decode(frames.audience(7, 9, [0, 5, 1, 3]))
    data = {"audience_count": 9, "num_list": [0, 5, 1, 3]}
    assert frame == {"type": "audience", "live_id": 7, "data": data}


def test_heartbeat_has_the_last_sequence_number_and_is_followed_by_a_ping() -> None:
    heartbeat, ping, rest = frames.heartbeat(44).partition(frames.PING)
    assert (ping, rest) == (b"\x89\x00", b"")
    frame = decode(heartbeat)
    assert (frame.pop("ts") > 1_690_000_000_000, frame) == (True, {"type": "heartbeat", "seq": 44})


def test_pong_echoes_the_number() -> None:
    assert decode(frames.pong(7)) == {"type": "pong", "n": 7}


@pytest.mark.parametrize("code", list(CloseCode))
def test_bye_frame_has_the_reason_and_whether_to_reconnect(code: CloseCode) -> None:
    assert decode(frames.bye(code, 1200)) == {
        "type": "bye",
        "code": int(code),
        "reason": code.name.lower(),
        "retry_ms": 1200,
        "reconnect": code < 4500,
    }


def test_close_codes_are_those_of_the_contract() -> None:
    assert {code.name: int(code) for code in CloseCode} == {
        "RESTART": 4000,
        "SLOW": 4001,
        "SILENT": 4003,
        "TOO_FAST": 4029,
        "TOKEN": 4401,
        "BAD_FRAMES": 4500,
        "PUT_OUT": 4503,
        "NOT_A_MEMBER": 4504,
        "REPLACED": 4509,
        "ENDED": 4510,
    }
