"""Applies events to a snapshot, like a client."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

Room = dict[str, Any]
SEATS = {1: "male", 2: "female"}
UNNUMBERED = ("audience_count", "num_list")


def fold(snapshot: Mapping[str, Any], events: list[tuple[str, Mapping[str, Any]]]) -> Room:
    """The snapshot after `events`, (type, data) each."""
    room = copy.deepcopy(dict(snapshot))
    for type_, data in events:
        REDUCERS[type_](room, data)
    return room


def comparable(snapshot: Mapping[str, Any]) -> Room:
    """A snapshot without counts, which are not events, and without URL signatures."""
    room = copy.deepcopy({k: v for k, v in snapshot.items() if k not in UNNUMBERED})
    for seat in ("owner", "male", "female"):
        if room[seat]:
            room[seat]["play_url"] = room[seat]["play_url"].partition("?")[0]
    return room


def face(data: Mapping[str, Any]) -> Room:
    return {key: data[key] for key in ("user_id", "nickname", "face_url", "gender")}


def applicant(room: Room, user_id: str) -> Room | None:
    return next((row for row in room["applicants"] if row["user_id"] == user_id), None)


def apply(room: Room, data: Mapping[str, Any]) -> None:
    times = {key: data[key] for key in ("applied_at", "expires_at")}
    if row := applicant(room, data["user_id"]):
        row.update(times)
    else:
        room["applicants"].append({**face(data), "invited": False, **times})


def invite(room: Room, data: Mapping[str, Any]) -> None:
    invitation = {"invited": True, "expires_at": data["expires_at"]}
    if row := applicant(room, data["user_id"]):
        row.update(invitation)
    else:
        room["applicants"].append({**face(data), "applied_at": None, **invitation})


def accept(room: Room, data: Mapping[str, Any]) -> None:
    refuse(room, data)
    details = {key: data[key] for key in ("play_url", "area", "age")}
    room[SEATS[data["gender"]]] = {**face(data), **details, "away": False}


def refuse(room: Room, data: Mapping[str, Any]) -> None:
    remaining = [row for row in room["applicants"] if row["user_id"] != data["user_id"]]
    room["applicants"] = remaining


def leave(room: Room, data: Mapping[str, Any]) -> None:
    room[SEATS[data["gender"]]] = None


def set_away(*, away: bool) -> Callable[[Room, Mapping[str, Any]], None]:
    def reducer(room: Room, data: Mapping[str, Any]) -> None:
        seat = room["owner" if data["role"] == "host" else data["role"]]
        assert seat["user_id"] == data["user_id"]
        seat["away"] = away

    return reducer


def pause(room: Room, data: Mapping[str, Any]) -> None:
    room["status"] = "paused"


def resume(room: Room, data: Mapping[str, Any]) -> None:
    room["status"] = "live"


def profile(room: Room, data: Mapping[str, Any]) -> None:
    owner = room["owner"]
    if data["user_id"] == owner["user_id"]:
        room["room_name"] = data["nickname"]
        if room["room_image"] == owner["face_url"]:  # the room has no cover
            room["room_image"] = data["face_url"]
    for user in (owner, room["male"], room["female"], *room["applicants"]):
        if user and user["user_id"] == data["user_id"]:
            user.update(face(data))


def group(room: Room, data: Mapping[str, Any]) -> None:
    room["group_id"] = data["group_id"]


def gift(room: Room, data: Mapping[str, Any]) -> None:
    """Gifts do not change the snapshot."""


def end(room: Room, data: Mapping[str, Any]) -> None:
    room.update(status="ended", male=None, female=None, applicants=[])


REDUCERS = {
    "micro_apply": apply,
    "micro_invite": invite,
    "micro_accept": accept,
    "micro_refuse": refuse,
    "micro_leave": leave,
    "member_away": set_away(away=True),
    "member_back": set_away(away=False),
    "live_pause": pause,
    "live_resume": resume,
    "profile": profile,
    "group": group,
    "gift": gift,
    "live_end": end,
}
