"""Simulated bills of transfers to users: their states, and the rules of a request."""

import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from devtools.simulator.merchant import NOTIFY_URL, filled, first_invalid, matches

CLOSE_SECONDS = 24 * 3600
MIN_FEN, MIN_NAMED_FEN, NAME_FROM_FEN = 10, 30, 200_000
NUMBER = re.compile(r"[0-9A-Za-z]{1,32}")
REPORT_INFOS = {"1005": ("岗位类型", "报酬说明")}
"""What each scene has to report."""
REQUIRED = (
    *("appid", "out_bill_no", "transfer_scene_id", "openid", "transfer_amount"),
    *("transfer_remark", "transfer_scene_report_infos"),
)
OPTIONAL = ("user_name", "notify_url", "user_recv_perception")
OPEN = frozenset({"ACCEPTED", "PROCESSING", "WAIT_USER_CONFIRM"})
"""The user has not confirmed: such a bill can be cancelled, and is closed after a day."""
FINAL = frozenset({"SUCCESS", "FAIL", "CANCELLED"})


@dataclass(slots=True)
class SimulatedBill:
    """A bill as WeChat Pay keeps it; times in Unix seconds."""

    body: bytes
    request: Mapping[str, Any]
    created_at: float
    updated_at: float
    state: str = "ACCEPTED"
    fail_reason: str = ""
    wechat_number: str = field(default_factory=lambda: f"1330{secrets.randbelow(10**32):032}")
    package: str = field(default_factory=lambda: "ABBQO+" + secrets.token_hex(24))
    name: str = ""
    """The user's real name, decrypted."""

    @property
    def number(self) -> str:
        return str(self.request["out_bill_no"])

    @property
    def openid(self) -> str:
        return str(self.request["openid"])

    @property
    def fen(self) -> int:
        return int(self.request["transfer_amount"])


def invalid_field(bill: Mapping[str, Any], app_ids: Collection[str]) -> str:
    """The name of the first field that WeChat Pay does not take, or "". Null is not allowed."""
    unknown = [name for name in bill if name not in (*REQUIRED, *OPTIONAL)]
    if unknown:
        return unknown[0]
    fen = bill.get("transfer_amount")
    return first_invalid(
        {
            "appid": bill.get("appid") in app_ids,
            "out_bill_no": matches(NUMBER, bill.get("out_bill_no")),
            "transfer_scene_id": bill.get("transfer_scene_id") in REPORT_INFOS,
            "openid": filled(bill.get("openid"), 64),
            "transfer_amount": type(fen) is int and fen >= MIN_FEN,
            "transfer_remark": filled(bill.get("transfer_remark"), 32),
            "notify_url": "notify_url" not in bill or matches(NOTIFY_URL, bill["notify_url"]),
            "user_recv_perception": "user_recv_perception" not in bill,
            "transfer_scene_report_infos": _are_complete(bill),
        }
    )


def _are_complete(bill: Mapping[str, Any]) -> bool:
    infos = bill.get("transfer_scene_report_infos")
    wanted = REPORT_INFOS.get(str(bill.get("transfer_scene_id")), ())
    if not isinstance(infos, list) or not all(isinstance(info, dict) for info in infos):
        return False
    return {info.get("info_type") for info in infos} == set(wanted) and all(
        filled(info.get("info_content"), 32) for info in infos
    )


def is_name_wrong(bill: Mapping[str, Any]) -> bool:
    """Whether the amount needs the user's real name, or is too small for one."""
    fen, is_named = bill["transfer_amount"], "user_name" in bill
    return (fen >= NAME_FROM_FEN and not is_named) or (fen < MIN_NAMED_FEN and is_named)
