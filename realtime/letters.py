"""The bus's messages as bytes: one line of JSON, and after it the frame of an event.

A line that this version does not understand is skipped: during a deploy two versions write.
"""

import json
from dataclasses import asdict
from typing import Any

from realtime.bus import Arrived, Edited, Message, Revoked, ShownOut, Stirred, Told
from realtime.codes import Code

KINDS: dict[str, type[Message]] = {
    "told": Told,
    "stirred": Stirred,
    "shown_out": ShownOut,
    "arrived": Arrived,
    "revoked": Revoked,
    "edited": Edited,
}
_NAMES = {kind: name for name, kind in KINDS.items()}


def pack(sender: str, message: Message) -> bytes:
    fields = asdict(message)
    frame: bytes = fields.pop("frame", b"")
    line = json.dumps([sender, _NAMES[type(message)], fields], separators=(",", ":"))
    return line.encode() + b"\n" + frame


def unpack(letter: bytes) -> tuple[str, Message] | None:
    """(sender, message), or None for what was written by a version that knows more words."""
    line, _, frame = letter.partition(b"\n")
    try:
        sender, name, fields = json.loads(line)
        return str(sender), _read(name, fields, frame)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _read(name: str, fields: dict[str, Any], frame: bytes) -> Message:
    if "code" in fields:
        fields["code"] = Code(fields["code"])
    if KINDS[name] is Told:
        fields["frame"] = frame
    return KINDS[name](**fields)
