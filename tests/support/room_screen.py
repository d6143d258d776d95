"""A client's view of a room, from a snapshot and the events after it."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from rooms.events import NumberedEvent

Frame = dict[str, Any]
FACE = ("user_id", "nickname", "face_url", "gender")
SEATS = {1: "male", 2: "female"}


class Screen:
    """Applies numbered frames one by one; fails on a gap and on an impossible change."""

    def __init__(self, snapshot: Frame) -> None:
        assert snapshot["type"] == "snapshot", snapshot
        self.epoch: str = snapshot["epoch"]
        self.seq: int = snapshot["seq"]
        self._room: Frame = deepcopy(snapshot["data"])

    def apply(self, frame: Frame) -> None:
        assert (frame["epoch"], frame["seq"]) == (self.epoch, self.seq + 1), frame
        self.seq += 1
        getattr(self, "_" + frame["type"], self._replace_fields)(frame["data"])

    @property
    def shown(self) -> Frame:
        return comparable(self._room)

    def _micro_apply(self, data: Frame) -> None:
        row = self._row(data)
        row["applied_at"], row["expires_at"] = data["applied_at"], data["expires_at"]

    def _micro_invite(self, data: Frame) -> None:
        row = self._row(data)
        row["invited"], row["expires_at"] = True, data["expires_at"]

    def _micro_accept(self, data: Frame) -> None:
        self._drop(data["user_id"])
        details = {name: data[name] for name in ("play_url", "area", "age")}
        self._room[SEATS[data["gender"]]] = {**_face(data), **details, "away": False}

    def _micro_refuse(self, data: Frame) -> None:
        self._drop(data["user_id"])

    def _micro_leave(self, data: Frame) -> None:
        assert self._room[SEATS[data["gender"]]]["user_id"] == data["user_id"]
        self._room[SEATS[data["gender"]]] = None

    def _member_away(self, data: Frame) -> None:
        self._set_away(data, away=True)

    def _member_back(self, data: Frame) -> None:
        self._set_away(data, away=False)

    def _live_pause(self, data: Frame) -> None:
        self._set_status(data, "live", "paused")

    def _live_resume(self, data: Frame) -> None:
        self._set_status(data, "paused", "live")

    def _profile(self, data: Frame) -> None:
        room, owner = self._room, self._room["owner"]
        if data["user_id"] == owner["user_id"]:
            room["room_name"] = data["nickname"]
            if room["room_image"] == owner["face_url"]:
                room["room_image"] = data["face_url"]
        visible = [owner, room["male"], room["female"], *room["applicants"]]
        users = [user for user in visible if user and user["user_id"] == data["user_id"]]
        assert len(users) == 1, data
        users[0].update(_face(data))

    def _gift(self, data: Frame) -> None:
        """A gift changes nothing in the snapshot."""

    def _mute(self, data: Frame) -> None:
        others = [row for row in self._room["muted"] if row["user_id"] != data["user_id"]]
        assert data["until"] or len(others) < len(self._room["muted"]), data
        row = {"user_id": data["user_id"], "until": data["until"]}
        rows = [*others, row] if data["until"] else others
        self._room["muted"] = sorted(rows, key=lambda row: row["user_id"])

    def _deputy(self, data: Frame) -> None:
        deputies = [user_id for user_id in self._room["deputies"] if user_id != data["user_id"]]
        assert data["on"] == (deputies == self._room["deputies"]), data
        self._room["deputies"] = [*deputies, data["user_id"]] if data["on"] else deputies

    def _visibility(self, data: Frame) -> None:
        is_renewed = self._room["visibility"] == data["visibility"] == "private"
        assert is_renewed or self._room["visibility"] != data["visibility"], data
        self._room["visibility"] = data["visibility"]
        assert ("play_urls" in data) == (data["visibility"] == "private"), data
        for name, url in data.get("play_urls", {}).items():
            assert (url is None) == (self._room[name] is None), data
            if url:
                self._room[name]["play_url"] = url

    def _live_end(self, data: Frame) -> None:
        assert data["user_id"] == self._room["owner"]["user_id"]
        self._room.update(status="ended", male=None, female=None, applicants=[])
        self._room.update(muted=[], mute_all=False)

    def _replace_fields(self, data: Frame) -> None:
        changed = {name: data[name] for name in data.keys() & self._room.keys()}
        assert changed != {name: self._room[name] for name in changed}, data
        self._room.update(changed)

    def _set_away(self, data: Frame, *, away: bool) -> None:
        seat = self._room["owner" if data["role"] == "host" else data["role"]]
        assert (seat["user_id"], seat["away"]) == (data["user_id"], not away), data
        seat["away"] = away

    def _set_status(self, data: Frame, before: str, after: str) -> None:
        assert data["user_id"] == self._room["owner"]["user_id"]
        assert self._room["status"] == before, data
        self._room["status"] = after

    def _row(self, data: Frame) -> Frame:
        for row in self._room["applicants"]:
            if row["user_id"] == data["user_id"]:
                return row
        row = {**_face(data), "applied_at": None, "invited": False, "expires_at": None}
        self._room["applicants"].append(row)
        return row

    def _drop(self, user_id: str) -> None:
        rows = self._room["applicants"]
        self._room["applicants"] = [row for row in rows if row["user_id"] != user_id]


def fold(room: Mapping[str, Any], events: Iterable[tuple[str, Mapping[str, Any]]]) -> Frame:
    """The data of a snapshot after `events`, (type, data) each, as `comparable`."""
    screen = Screen({"type": "snapshot", "epoch": "", "seq": 0, "data": dict(room)})
    for seq, (type_, data) in enumerate(events, 1):
        screen.apply({"type": type_, "epoch": "", "seq": seq, "data": dict(data)})
    return screen.shown


def comparable(room: Mapping[str, Any]) -> Frame:
    """A snapshot's data without counts, which are not events, and without URL signatures."""
    shown = {name: room[name] for name in room if name not in ("audience_count", "num_list")}
    for name in ("owner", "male", "female"):
        if seat := shown[name]:
            shown[name] = {**seat, "play_url": seat["play_url"].partition("?")[0]}
    return deepcopy(shown)


def _face(data: Frame) -> Frame:
    return {name: data[name] for name in FACE}


def dates_of(log: Iterable[NumberedEvent]) -> list[dict[str, Any]]:
    """The intervals (ms) in which both seats are taken; `to` of the present one is None."""
    seats: dict[int, str] = {}
    dates: list[dict[str, Any]] = []
    for event in log:
        was_date = len(seats) == 2
        if event.type == "micro_accept":
            seats[event.data["gender"]] = event.data["user_id"]
        if event.type == "micro_leave":
            del seats[event.data["gender"]]
        if event.type == "live_end":
            seats.clear()
        if len(seats) == 2 and not was_date:
            dates.append({"male": seats[1], "female": seats[2], "from": event.ts, "to": None})
        elif was_date and len(seats) < 2:
            dates[-1]["to"] = event.ts
    return dates
