"""What is believed of a stream, from notifications that come late, twice and out of order.

Tencent CSS numbers every push: its start and its end carry the same `sequence`, and a phone that
pushes again under the same name overlaps with the end of its earlier push.
"""

from typing import Any

KEPT = 8
"""Ended sequences that are remembered, so that a start that comes after its end is not believed."""
Stream = dict[str, Any]
"""{name, sequence, at (s), on, ended: [sequence, ...]}"""


def heard(
    old: Stream | None, name: str, *, on: bool, sequence: str, at: int
) -> tuple[Stream | None, bool]:
    """What to keep after this notification (None: nothing new), and whether it is believed."""
    known = old if old and old["name"] == name else None
    ended: list[str] = known["ended"] if known else []
    now = {"name": name, "sequence": sequence, "at": at, "on": on, "ended": ended}
    if on:
        late = known is not None and _order(at, sequence) <= _order(known["at"], known["sequence"])
        return (None, False) if late or sequence in ended else (now, True)
    if sequence in ended:
        return None, False
    remembered = [*ended, sequence][-KEPT:]
    if known and known["sequence"] != sequence:
        return {**known, "ended": remembered}, False
    return {**now, "ended": remembered}, True


def _order(at: int, sequence: str) -> tuple[int, int]:
    return at, int(sequence) if sequence.isdecimal() else 0
