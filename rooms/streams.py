"""State of a stream, from late, repeated and unordered notifications.

Tencent CSS numbers every push: its start and its end carry the same `sequence`. When a phone pushes
again under the same name, the new start may arrive before the end of the earlier push.
"""

from typing import Any

ENDED_SEQUENCES_KEPT = 8
"""Ended sequences remembered per stream, to ignore a start that arrives after its end."""
StreamState = dict[str, Any]
"""{name, sequence, at (s), on, ended: [sequence, ...]}"""


def apply_notification(
    stored: StreamState | None, name: str, *, on: bool, sequence: str, at: int
) -> tuple[StreamState | None, bool]:
    """Apply a notification: (state to store or None, whether it takes effect).

    A start takes effect if it is newer than the known push and its sequence has not ended; an end
    takes effect if it ends the known push or no push of this stream is known. The state is None if
    there is nothing new to store. `at` in seconds.
    """
    known = stored if stored and stored["name"] == name else None
    ended: list[str] = known["ended"] if known else []
    latest = {"name": name, "sequence": sequence, "at": at, "on": on, "ended": ended}
    if on:
        late = known is not None and _order(at, sequence) <= _order(known["at"], known["sequence"])
        return (None, False) if late or sequence in ended else (latest, True)
    if sequence in ended:
        return None, False
    remembered = [*ended, sequence][-ENDED_SEQUENCES_KEPT:]
    if known and known["sequence"] != sequence:
        return {**known, "ended": remembered}, False
    return {**latest, "ended": remembered}, True


def _order(at: int, sequence: str) -> tuple[int, int]:
    return at, int(sequence) if sequence.isdecimal() else 0
