"""Who stands in a room when all is quiet: everybody who belongs there, connected and counted."""

from collections.abc import Iterator
from typing import Any

from chaos.stage import Stage


def wrong_in(stage: Stage, room: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(kind of fault, words) of whatever is not so in this room, as a snapshot shows it.

    The counts can be told exactly: everybody of a stage has an ear, so all are members, and those
    who came for a moment (victims, stallers) have left, or were put out.
    """
    here = {stage.host.id, *(one.id for one in stage.people)}
    seats = [room[name] for name in ("owner", "male", "female") if room[name]]
    for one in (*seats, *room["applicants"]):
        if one["user_id"] not in here:
            yield "ghost", f"room {stage.live_id}: {one}"
    if room["status"] != "live":
        yield "still_away", f"room {stage.live_id} is {room['status']}"
    for one in seats:
        if one["away"]:
            yield "still_away", f"room {stage.live_id}: {one}"
    counts = room["audience_count"], room["num_list"]
    expected = len(here), _num_list(stage, room["applicants"])
    if counts != expected:
        yield "counts", f"room {stage.live_id}: {counts} and not {expected}"


def _num_list(stage: Stage, applicants: list[dict[str, Any]]) -> list[int]:
    """Men who apply, men, women who apply, women; the host is none of them."""
    applied = [one["gender"] for one in applicants if one["applied_at"] is not None]
    there = [one.gender for one in stage.people]
    return [applied.count(1), there.count(1), applied.count(2), there.count(2)]
