"""Checks a quiet room: all members are connected and counted, and no stale user is shown."""

from collections.abc import Iterator
from typing import Any

from chaos.room_load import RoomLoad


def room_state_violations(room: RoomLoad, shown: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(kind of violation, detail) for the room as a snapshot shows it.

    The counts are exact: all users of the load have a client, so all are members, and temporary
    users (of stalled readers and of removals) have left or were removed.
    """
    members = {room.host.id, *(guest.id for guest in room.guests)}
    seats = [shown[name] for name in ("owner", "male", "female") if shown[name]]
    for user in (*seats, *shown["applicants"]):
        if user["user_id"] not in members:
            yield "stale_user", f"room {room.live_id}: {user}"
    if shown["status"] != "live":
        yield "still_away", f"room {room.live_id} is {shown['status']}"
    for seat in seats:
        if seat["away"]:
            yield "still_away", f"room {room.live_id}: {seat}"
    counts = shown["audience_count"], shown["num_list"]
    expected = len(members), _num_list(room, shown["applicants"])
    if counts != expected:
        yield "wrong_counts", f"room {room.live_id}: {counts} instead of {expected}"


def _num_list(room: RoomLoad, applicants: list[dict[str, Any]]) -> list[int]:
    """[male applicants, men, female applicants, women], without the host."""
    applied = [user["gender"] for user in applicants if user["applied_at"] is not None]
    genders = [guest.gender for guest in room.guests]
    return [applied.count(1), genders.count(1), applied.count(2), genders.count(2)]
