"""Encodes bus messages as one JSON line, followed by the event's frame.

Lines of an unknown version are skipped: two versions run side by side during a deployment. The
sender of a traced event is [process, traceparent]: an older version compares the sender with its
own process and nothing else, whereas it skips a line with a field that it does not know.
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
    "told": EventPublished,
    "stirred": AudienceChanged,
    "shown_out": UserEvicted,
    "arrived": ConnectionOpened,
    "revoked": TokenRevoked,
    "edited": CatalogueChanged,
}
_KIND_NAMES = {kind: name for name, kind in MESSAGE_TYPES.items()}


def pack(sender: str, message: BusMessage) -> bytes:
    fields = asdict(message)
    frame: bytes = fields.pop("frame", b"")
    traceparent = fields.pop("traceparent", "")
    source = [sender, traceparent] if traceparent else sender
    line = json.dumps([source, _KIND_NAMES[type(message)], fields], separators=(",", ":"))
    return line.encode() + b"\n" + frame


def unpack(data: bytes) -> tuple[str, BusMessage] | None:
    """Decode (sender, message); None if malformed or written by an unknown version."""
    line, _, frame = data.partition(b"\n")
    try:
        source, name, fields = json.loads(line)
        sender, traceparent = source if isinstance(source, list) else (source, "")
        return str(sender), _decode(name, fields, frame, str(traceparent))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _decode(name: str, fields: dict[str, Any], frame: bytes, traceparent: str) -> BusMessage:
    if "code" in fields:
        fields["code"] = CloseCode(fields["code"])
    if MESSAGE_TYPES[name] is EventPublished:
        fields["frame"], fields["traceparent"] = frame, traceparent
    return MESSAGE_TYPES[name](**fields)
