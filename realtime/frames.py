"""Encodes server messages as JSON text frames, once for all sockets; the close codes."""

import json
import struct
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from core.clock import now_ms
from rooms.events import NumberedEvent

PING = b"\x89\x00"
"""A protocol ping without a payload (RFC 6455 §5.5.2)."""


class CloseCode(IntEnum):
    """WebSocket close codes. From 4500 on the client must not reconnect.

    After other codes, unlisted ones too (1001, 1006, 1012), it reconnects with `since`.
    """

    RESTART = 4000
    """The server restarts, could not serve the socket, or resets a room after a failure."""
    SLOW = 4001
    """The client reads too slowly: its backlog is too large, or too old."""
    SILENT = 4003
    """Nothing was received from the client for three heartbeats."""
    TOO_FAST = 4029
    """The client sent too many frames in a second, or connects too often."""
    TOKEN = 4401
    """Expired, missing or logged out: log in, then resume."""
    BAD_FRAMES = 4500
    """Several text frames were not valid JSON messages."""
    PUT_OUT = 4503
    """Removed from the room or banned; also the answer to later attempts to connect."""
    NOT_A_MEMBER = 4504
    """Not a member, no longer a member, or no such room."""
    REPLACED = 4509
    """The user opened a newer socket in this room."""
    ENDED = 4510
    """The live session has ended."""

    @property
    def reconnect(self) -> bool:
        return self < 4500

    @property
    def reason(self) -> str:
        return self.name.lower()


def parse(text: str) -> Any:
    """Decode the JSON of a text frame; return None if it is invalid."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def frame(payload: bytes) -> bytes:
    """Frame a text message (RFC 6455 §5.2), not masked, so that the bytes fit every socket."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65536:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload


def event(live_id: int, numbered: NumberedEvent) -> bytes:
    """Encode and frame a numbered event, identical for every member."""
    position = _position(live_id, numbered.epoch, numbered.seq)
    return _encode({"type": numbered.type, **position, "ts": numbered.ts, "data": numbered.data})


def snapshot(
    live_id: int, epoch: str, seq: int, data: Mapping[str, Any], reset: str | None
) -> bytes:
    """Encode and frame a snapshot; `reset` is why a client could not resume."""
    fields = {"ts": now_ms(), "data": data, **({"reset": reset} if reset else {})}
    return _encode({"type": "snapshot", **_position(live_id, epoch, seq), **fields})


def resumed(live_id: int, epoch: str, seq: int, replayed: int) -> bytes:
    return _encode({"type": "resumed", **_position(live_id, epoch, seq), "replayed": replayed})


def audience(live_id: int, audience_count: int, num_list: list[int]) -> bytes:
    data = {"audience_count": audience_count, "num_list": num_list}
    return _encode({"type": "audience", "live_id": live_id, "data": data})


def heartbeat(seq: int) -> bytes:
    """Frame a heartbeat and a protocol ping, which phones and browsers answer by themselves."""
    message = {"type": "heartbeat", "seq": seq, "ts": now_ms()}
    return _encode(message) + PING


def pong(n: Any) -> bytes:
    return _encode({"type": "pong", "n": n})


def bye(code: CloseCode, retry_ms: int) -> bytes:
    message = {
        "type": "bye",
        "code": int(code),
        "reason": code.reason,
        "retry_ms": retry_ms,
        "reconnect": code.reconnect,
    }
    return _encode(message)


def _position(live_id: int, epoch: str, seq: int) -> dict[str, Any]:
    return {"live_id": live_id, "epoch": epoch, "seq": seq}


def _encode(message: Mapping[str, Any]) -> bytes:
    return frame(json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode())
