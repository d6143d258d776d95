"""What a client does: apply the numbered events to the snapshot that it was given."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

Shown = dict[str, Any]
SEATS = {1: "male", 2: "female"}
UNNUMBERED = ("audience_count", "num_list")


def fold(snapshot: Mapping[str, Any], events: list[tuple[str, Mapping[str, Any]]]) -> Shown:
    """The snapshot after these events, (type, data) each."""
    room = copy.deepcopy(dict(snapshot))
    for word, data in events:
        STEPS[word](room, data)
    return room


def comparable(snapshot: Mapping[str, Any]) -> Shown:
    """A snapshot without what is not numbered and without the signatures of its URLs."""
    room = copy.deepcopy({k: v for k, v in snapshot.items() if k not in UNNUMBERED})
    for seat in ("owner", "male", "female"):
        if room[seat]:
            room[seat]["play_url"] = room[seat]["play_url"].partition("?")[0]
    return room


def face(data: Mapping[str, Any]) -> Shown:
    return {key: data[key] for key in ("user_id", "nickname", "face_url", "gender")}


def applicant(room: Shown, user_id: str) -> Shown | None:
    return next((row for row in room["applicants"] if row["user_id"] == user_id), None)


def apply(room: Shown, data: Mapping[str, Any]) -> None:
    times = {key: data[key] for key in ("applied_at", "expires_at")}
    if row := applicant(room, data["user_id"]):
        row.update(times)
    else:
        room["applicants"].append({**face(data), "invited": False, **times})


def invite(room: Shown, data: Mapping[str, Any]) -> None:
    offered = {"invited": True, "expires_at": data["expires_at"]}
    if row := applicant(room, data["user_id"]):
        row.update(offered)
    else:
        room["applicants"].append({**face(data), "applied_at": None, **offered})


def accept(room: Shown, data: Mapping[str, Any]) -> None:
    refuse(room, data)
    more = {key: data[key] for key in ("play_url", "area", "age")}
    room[SEATS[data["gender"]]] = {**face(data), **more, "away": False}


def refuse(room: Shown, data: Mapping[str, Any]) -> None:
    left = [row for row in room["applicants"] if row["user_id"] != data["user_id"]]
    room["applicants"] = left


def leave(room: Shown, data: Mapping[str, Any]) -> None:
    room[SEATS[data["gender"]]] = None


def gone_or_back(*, away: bool) -> Callable[[Shown, Mapping[str, Any]], None]:
    def step(room: Shown, data: Mapping[str, Any]) -> None:
        seat = room["owner" if data["role"] == "host" else data["role"]]
        assert seat["user_id"] == data["user_id"]
        seat["away"] = away

    return step


def pause(room: Shown, data: Mapping[str, Any]) -> None:
    room["status"] = "paused"


def resume(room: Shown, data: Mapping[str, Any]) -> None:
    room["status"] = "live"


def profile(room: Shown, data: Mapping[str, Any]) -> None:
    owner = room["owner"]
    if data["user_id"] == owner["user_id"]:
        room["room_name"] = data["nickname"]
        if room["room_image"] == owner["face_url"]:  # a room without a cover of its own
            room["room_image"] = data["face_url"]
    for shown in (owner, room["male"], room["female"], *room["applicants"]):
        if shown and shown["user_id"] == data["user_id"]:
            shown.update(face(data))


def gift(room: Shown, data: Mapping[str, Any]) -> None:
    """Gifts are not in the snapshot."""


def end(room: Shown, data: Mapping[str, Any]) -> None:
    room.update(status="ended", male=None, female=None, applicants=[])


STEPS = {
    "micro_apply": apply,
    "micro_invite": invite,
    "micro_accept": accept,
    "micro_refuse": refuse,
    "micro_leave": leave,
    "member_away": gone_or_back(away=True),
    "member_back": gone_or_back(away=False),
    "live_pause": pause,
    "live_resume": resume,
    "profile": profile,
    "gift": gift,
    "live_end": end,
}
