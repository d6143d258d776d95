import json
from typing import Any

import pytest
from websockets.frames import Frame
from websockets.protocol import CLIENT, OPEN, Protocol

from realtime import frames
from realtime.codes import Code
from rooms.events import Numbered


def parsed(wire: bytes) -> list[bytes]:
    """The text messages that a foreign client sees in these bytes."""
    client = Protocol(CLIENT, state=OPEN, max_size=None)
    client.receive_data(wire)
    found: Any = client.events_received()
    assert client.parser_exc is None
    assert all(isinstance(one, Frame) and one.fin and one.opcode.name == "TEXT" for one in found)
    return [bytes(one.data) for one in found]


def said(wire: bytes) -> dict[str, Any]:
    [message] = parsed(wire)
    answer: dict[str, Any] = json.loads(message)
    return answer


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_a_frame_of_any_length_is_read_by_others(size: int) -> None:
    assert parsed(frames.frame(b"x" * size)) == [b"x" * size]


@pytest.mark.parametrize(("size", "head"), [(125, 2), (126, 4), (65535, 4), (65536, 10)])
def test_a_frame_takes_the_shortest_form(size: int, head: int) -> None:
    assert len(frames.frame(b"x" * size)) == size + head


def test_frames_in_one_piece_are_messages_of_their_own() -> None:
    payloads = [b"a", b"b" * 200, "红娘".encode()]
    assert parsed(b"".join(map(frames.frame, payloads))) == payloads


def test_text_is_utf_8_and_not_escaped() -> None:
    assert frames.encode({"name": "红娘"}) == '{"name":"红娘"}'.encode()


def test_an_event_says_what_was_saved() -> None:
    event = Numbered("e1", 43, 1690000000123, "profile", {"nickname": "红"})
    assert said(frames.event(7, event)) == {
        "type": "profile",
        "live_id": 7,
        "epoch": "e1",
        "seq": 43,
        "ts": 1690000000123,
        "data": {"nickname": "红"},
    }


def test_the_same_event_is_the_same_bytes() -> None:
    event = Numbered("e1", 43, 1, "profile", {"nickname": "红", "gender": 1})
    assert frames.event(7, event) == frames.event(7, event)


def test_a_snapshot_says_why_only_to_those_who_come_back() -> None:
    fresh = said(frames.snapshot(7, "e1", 42, {"status": "live"}, None))
    assert fresh.pop("ts") > 1_690_000_000_000
    expected = {"type": "snapshot", "live_id": 7, "epoch": "e1", "seq": 42}
    assert fresh == {**expected, "data": {"status": "live"}}
    assert said(frames.snapshot(7, "e1", 42, {}, "too_old"))["reset"] == "too_old"


def test_resumed_says_how_much_follows() -> None:
    assert said(frames.resumed(7, "e1", 44, 2)) == {
        "type": "resumed",
        "live_id": 7,
        "epoch": "e1",
        "seq": 44,
        "replayed": 2,
    }


def test_the_audience_is_not_numbered() -> None:
    frame = said(frames.audience(7, 9, [0, 5, 1, 3]))
    data = {"audience_count": 9, "num_list": [0, 5, 1, 3]}
    assert frame == {"type": "audience", "live_id": 7, "data": data}


def test_a_heartbeat_carries_the_last_number() -> None:
    frame = said(frames.heartbeat(44))
    assert (frame.pop("ts") > 1_690_000_000_000, frame) == (True, {"type": "heartbeat", "seq": 44})


def test_a_pong_echoes() -> None:
    assert said(frames.pong(7)) == {"type": "pong", "n": 7}


@pytest.mark.parametrize("code", list(Code))
def test_a_goodbye_says_whether_to_come_back(code: Code) -> None:
    assert said(frames.bye(code, 1200)) == {
        "type": "bye",
        "code": int(code),
        "reason": code.name.lower(),
        "retry_ms": 1200,
        "reconnect": code < 4500,
    }


def test_the_codes_are_those_that_clients_know() -> None:
    assert {code.name: int(code) for code in Code} == {
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
