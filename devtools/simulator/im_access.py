"""Simulated access to Tencent IM: UserSigs, and users who are logged out or muted."""

import base64
import hashlib
import hmac
import json
import zlib
from collections.abc import Callable, Container
from typing import Any

GROUP_NOT_FOUND, NO_ACCOUNT = 10010, 70107
EMPTY, MALFORMED, INVALID_SIGNATURE, EXPIRED = 70002, 70003, 70009, 70001
OTHER_USER, OTHER_APP = 70013, 70014

FIELDS = {"TLS.identifier", "TLS.sdkappid", "TLS.time", "TLS.expire", "TLS.sig"}

Outcome = tuple[int, dict[str, Any]]
"""ErrorCode and the other fields of an answer of IM."""


class SimulatedSanctions:
    """Stores the kicks of users, and their mutes in groups.

    Tests use `kicked` (UserID -> Unix seconds) and `muted` (GroupId -> UserID -> until).
    """

    def __init__(
        self,
        groups: dict[str, dict[str, Any]],
        accounts: Container[object],
        now: Callable[[], float],
    ) -> None:
        self.kicked: dict[str, int] = {}
        self._groups = groups
        self._accounts = accounts
        self._now = now
        self.muted: dict[str, dict[str, float]] = {}

    def kick(self, content: dict[str, Any]) -> Outcome:
        user_id = str(content.get("UserID"))
        if user_id not in self._accounts:
            return NO_ACCOUNT, {}
        self.kicked[user_id] = int(self._now())
        return 0, {}

    def forbid_send_msg(self, content: dict[str, Any]) -> Outcome:
        group_id, user_ids = str(content.get("GroupId")), content["Members_Account"]
        if group_id not in self._groups:
            return GROUP_NOT_FOUND, {}
        if any(user_id not in self._accounts for user_id in user_ids):
            return NO_ACCOUNT, {}
        until = self._now() + content["MuteTime"]  # 0 lifts it
        self.muted.setdefault(group_id, {}).update(dict.fromkeys(user_ids, until))
        return 0, {}

    def modify_group_base_info(self, content: dict[str, Any]) -> Outcome:
        """Set `MuteAllMember`; whether more than the owner may then write is not documented."""
        group = self._groups.get(str(content.get("GroupId")))
        if group is None:
            return GROUP_NOT_FOUND, {}
        group["MuteAllMember"] = content["MuteAllMember"]
        return 0, {}

    def forget_group(self, group_id: str) -> None:
        """Drop the mutes of a dissolved group."""
        self.muted.pop(group_id, None)

    def is_muted(self, group_id: str, user_id: str) -> bool:
        group = self._groups.get(group_id, {})
        if group.get("MuteAllMember") == "On" and user_id != group.get("Owner_Account"):
            return True
        return self.muted.get(group_id, {}).get(user_id, 0) > self._now()

    def ended(self, user_id: str, signed_at: int) -> bool:
        """Return whether a kick has ended a UserSig, whose time has whole seconds only."""
        return signed_at <= self.kicked.get(user_id, -1)


def usersig_error(usersig: str, key: str, identifier: str, sdk_app_id: int, now: float) -> int:
    """Return IM's error number; 0 if `usersig` authenticates `identifier` at `now` (Unix seconds).

    The check is written independently of the signing side.
    """
    if not usersig:
        return EMPTY
    ticket = _read_usersig(usersig)
    if ticket is None:
        return MALFORMED
    if not _is_signed(ticket, key):
        return INVALID_SIGNATURE
    if ticket["TLS.time"] + ticket["TLS.expire"] < now:
        return EXPIRED
    if ticket["TLS.identifier"] != identifier:
        return OTHER_USER
    return 0 if ticket["TLS.sdkappid"] == sdk_app_id else OTHER_APP


def signed_at(usersig: str) -> int:
    """Return the time at which a UserSig was signed, in Unix seconds; 0 if it is malformed."""
    ticket = _read_usersig(usersig)
    return int(ticket["TLS.time"]) if ticket else 0


def _read_usersig(usersig: str) -> dict[str, Any] | None:
    text = usersig.translate(str.maketrans("*-_", "+/="))
    try:
        ticket = json.loads(zlib.decompress(base64.b64decode(text, validate=True)))
    except (ValueError, zlib.error):
        return None
    return ticket if isinstance(ticket, dict) and ticket.keys() >= FIELDS else None


def _is_signed(ticket: dict[str, Any], key: str) -> bool:
    names = ["identifier", "sdkappid", "time", "expire"]
    if "TLS.userbuf" in ticket:
        names.append("userbuf")
    signed = "".join(f"TLS.{name}:{ticket[f'TLS.{name}']}\n" for name in names)
    digest = hmac.digest(key.encode(), signed.encode(), hashlib.sha256)
    return hmac.compare_digest(base64.b64encode(digest), str(ticket["TLS.sig"]).encode())
