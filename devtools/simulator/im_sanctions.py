"""Simulated sanctions of Tencent IM: users logged out, and users muted in groups."""

from collections.abc import Callable, Container
from typing import Any

BAD_PARAMETER, GROUP_NOT_FOUND, NO_ACCOUNT = 10004, 10010, 70107
MUTED_FOR_EVER = 4294967295
MAX_AT_ONCE = 500

Outcome = tuple[int, dict[str, Any]]


class SimulatedSanctions:
    """Kicks by user, and mutes by group and user; for tests: `kicked` (UserID -> Unix seconds)."""

    def __init__(
        self, groups: Container[object], accounts: Container[object], now: Callable[[], float]
    ) -> None:
        self.kicked: dict[str, int] = {}
        self._groups = groups
        self._accounts = accounts
        self._now = now
        self._muted: dict[str, dict[str, float]] = {}

    def kick(self, content: dict[str, Any]) -> Outcome:
        user_id = str(content.get("UserID"))
        if user_id not in self._accounts:
            return NO_ACCOUNT, {}
        self.kicked[user_id] = int(self._now())
        return 0, {}

    def forbid_send_msg(self, content: dict[str, Any]) -> Outcome:
        group_id, user_ids = str(content.get("GroupId")), content.get("Members_Account")
        seconds = content.get("MuteTime")
        if not isinstance(user_ids, list) or not 0 < len(user_ids) <= MAX_AT_ONCE:
            return BAD_PARAMETER, {}
        if type(seconds) is not int or not 0 <= seconds <= MUTED_FOR_EVER:
            return BAD_PARAMETER, {}
        if group_id not in self._groups:
            return GROUP_NOT_FOUND, {}
        if any(user_id not in self._accounts for user_id in user_ids):
            return NO_ACCOUNT, {}
        muted = self._muted.setdefault(group_id, {})
        for user_id in user_ids:
            muted.pop(user_id, None)
            if seconds:
                muted[user_id] = self._now() + seconds
        return 0, {}

    def get_group_muted_account(self, content: dict[str, Any]) -> Outcome:
        group_id = str(content.get("GroupId"))
        if group_id not in self._groups:
            return GROUP_NOT_FOUND, {}
        rows = [
            {"Member_Account": user_id, "MutedUntil": int(until)}
            for user_id, until in self._muted.get(group_id, {}).items()
            if until > self._now()
        ]
        return 0, {"GroupId": group_id, "MutedAccountList": rows}

    def forget_group(self, group_id: str) -> None:
        """Drop the mutes of a dissolved group."""
        self._muted.pop(group_id, None)

    def is_muted(self, group_id: str, user_id: str) -> bool:
        return self._muted.get(group_id, {}).get(user_id, 0) > self._now()

    def ended(self, user_id: str, signed_at: int) -> bool:
        """Whether a kick has ended a UserSig, whose time has whole seconds only."""
        return signed_at <= self.kicked.get(user_id, -1)
