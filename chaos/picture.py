"""The room as its frames show it: the tests' picture, and what presence adds to it."""

from typing import Any

from tests.realtime.folding import Screen, comparable

__all__ = ["Picture", "comparable"]


class Picture(Screen):
    """Hears one numbered frame after the other; raises when one does not fit."""

    def _member_away(self, data: dict[str, Any]) -> None:
        self._seat_of(data)["away"] = True

    def _member_back(self, data: dict[str, Any]) -> None:
        self._seat_of(data)["away"] = False

    def _live_pause(self, _data: dict[str, Any]) -> None:
        self._room["status"] = "paused"

    def _live_resume(self, _data: dict[str, Any]) -> None:
        self._room["status"] = "live"

    def _seat_of(self, data: dict[str, Any]) -> dict[str, Any]:
        seat: dict[str, Any] = self._room["owner" if data["role"] == "host" else data["role"]]
        if seat["user_id"] != data["user_id"]:
            raise ValueError(f"{data['user_id']} does not sit there")
        return seat
