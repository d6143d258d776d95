"""Encodes server messages as JSON text frames, once for all sockets; the close codes."""

import json
import struct
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from core.clock import now_ms
from rooms.events import NumberedEvent

Key = int | str
"""What a channel is of: the live_id of a room, or the user_id of a user."""

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
    """The user opened a newer socket in this room, or a fourth one of their user channel."""
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


def event(key: Key, numbered: NumberedEvent) -> bytes:
    """Encode and frame a numbered event, identical for every socket of the channel."""
    position = _position(key, numbered.epoch, numbered.seq)
    return _encode({"type": numbered.type, **position, "ts": numbered.ts, "data": numbered.data})


def snapshot(key: Key, epoch: str, seq: int, data: Mapping[str, Any], reset: str | None) -> bytes:
    """Encode and frame a snapshot; `reset` is why a client could not resume."""
    fields = {"ts": now_ms(), "data": data, **({"reset": reset} if reset else {})}
    return _encode({"type": "snapshot", **_position(key, epoch, seq), **fields})


def resumed(key: Key, epoch: str, seq: int, replayed: int) -> bytes:
    return _encode({"type": "resumed", **_position(key, epoch, seq), "replayed": replayed})


def transient(type_: str, key: Key, data: Mapping[str, Any]) -> bytes:
    """Encode and frame a message without a number, of which the latest counts."""
    return _encode({"type": type_, **owner(key), "data": data})


def heartbeat(seq: int, own_seq: int | None = None) -> bytes:
    """Frame a heartbeat and a protocol ping, which phones and browsers answer by themselves.

    `own_seq` is for a room's socket that also receives the user channel.
    """
    own = {} if own_seq is None else {"own_seq": own_seq}
    return _encode({"type": "heartbeat", "seq": seq, **own, "ts": now_ms()}) + PING


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


def owner(key: Key) -> dict[str, Key]:
    """Return the field that tells frames, and log lines, of rooms and of users apart."""
    return {"live_id": key} if isinstance(key, int) else {"user_id": key}


def _position(key: Key, epoch: str, seq: int) -> dict[str, Any]:
    return {**owner(key), "epoch": epoch, "seq": seq}


def _encode(message: Mapping[str, Any]) -> bytes:
    return frame(json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode())
