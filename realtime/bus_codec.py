"""Encodes bus messages as one JSON line, followed by the event's frame.

Lines of an unknown version are skipped: two versions run side by side during a deployment.
"""

import json
from dataclasses import asdict
from typing import Any

from realtime.bus import (
    AudienceChanged,
    BusMessage,
    CatalogueChanged,
    ConnectionOpened,
    EventPublished,
    TokenRevoked,
    UserEvicted,
)
from realtime.close_codes import CloseCode

MESSAGE_TYPES: dict[str, type[BusMessage]] = {
    "event_published": EventPublished,
    "audience_changed": AudienceChanged,
    "user_evicted": UserEvicted,
    "connection_opened": ConnectionOpened,
    "token_revoked": TokenRevoked,
    "catalogue_changed": CatalogueChanged,
}
_KIND_NAMES = {kind: name for name, kind in MESSAGE_TYPES.items()}


def pack(sender: str, message: BusMessage) -> bytes:
    fields = asdict(message)
    frame: bytes = fields.pop("frame", b"")
    line = json.dumps([sender, _KIND_NAMES[type(message)], fields], separators=(",", ":"))
    return line.encode() + b"\n" + frame


def unpack(data: bytes) -> tuple[str, BusMessage] | None:
    """Decode (sender, message); None if malformed or written by an unknown version."""
    line, _, frame = data.partition(b"\n")
    try:
        sender, name, fields = json.loads(line)
        return str(sender), _decode(name, fields, frame)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _decode(name: str, fields: dict[str, Any], frame: bytes) -> BusMessage:
    if "code" in fields:
        fields["code"] = CloseCode(fields["code"])
    if MESSAGE_TYPES[name] is EventPublished:
        fields["frame"] = frame
    return MESSAGE_TYPES[name](**fields)
