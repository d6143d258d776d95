"""Simulated phone to which money is transferred, and the switches for its bills."""

from typing import Any

from devtools.simulator.transfers import (
    FAULTS,
    FINAL,
    MODES,
    OPEN,
    SimulatedBill,
    SimulatedTransfers,
)
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, bad_request, json_reply

OUTCOMES = ("success", "pending", "failed")
BILL = "package or bill: of such a transfer"


class SimulatedPayee:
    """Confirms transfers, lets them expire, and has them notified again.

    Each call names a bill by the `package` of wx.requestMerchantTransfer or by its number `bill`,
    and the notification by `report`, one of MODES.
    """

    def __init__(self, transfers: SimulatedTransfers) -> None:
        self._transfers = transfers

    def confirm(self, request: SimulatorRequest) -> SimulatorReply:
        """`{package | bill, openid?, outcome?, reason?, report?}` -> `{outcome, bill, why}`.

        What the user does on WeChat's page. `outcome` is success, pending (confirmed, but unclear)
        or failed, with the fail_reason `reason`. `openid` is the account of the phone.
        """
        self._transfers.close_overdue()
        params = request.json_object() or {}
        outcome, mode = params.get("outcome", "success"), params.get("report", "once")
        if outcome not in OUTCOMES or mode not in MODES:
            return bad_request(f"outcome: {', '.join(OUTCOMES)}; report: {', '.join(MODES)}")
        bill = self._chosen(params)
        if bill is None or bill.state not in ("WAIT_USER_CONFIRM", "TRANSFERING"):
            return json_reply({"outcome": "failed", "bill": None, "why": "package"})
        if params.get("openid") not in (None, "", bill.openid):
            return json_reply({"outcome": "failed", "bill": None, "why": "openid"})
        reason = str(params.get("reason", "NAME_NOT_CORRECT")) if outcome == "failed" else ""
        states = {"success": "SUCCESS", "pending": "TRANSFERING", "failed": "FAIL"}
        self._transfers.move(bill, states[outcome], mode, reason)
        return json_reply({"outcome": outcome, "bill": bill.number, "why": reason})

    def expire(self, request: SimulatorRequest) -> SimulatorReply:
        """`{package | bill, report?}`: closes a bill as after a day without confirmation."""
        params = request.json_object() or {}
        bill, mode = self._chosen(params), params.get("report", "once")
        if bill is None or bill.state not in OPEN or mode not in MODES:
            return bad_request(f"{BILL} that is open; report: {', '.join(MODES)}")
        self._transfers.move(bill, "FAIL", mode, "OVERDUE_CLOSE")
        return json_reply({"outcome": "success", "bill": bill.number})

    def notify(self, request: SimulatorRequest) -> SimulatorReply:
        """`{package | bill, report?}`: sends the notification of a finished bill once more."""
        params = request.json_object() or {}
        bill, mode = self._chosen(params), params.get("report", "once")
        if bill is None or bill.state not in FINAL or mode not in MODES:
            return bad_request(f"{BILL} that is finished; report: {', '.join(MODES)}")
        self._transfers.notify(bill, mode)
        return json_reply({"outcome": "success", "bill": bill.number})

    def set_fault(self, request: SimulatorRequest) -> SimulatorReply:
        """`{fault, times?}`: how many of the next requests get the fault; 0 ends it."""
        params = request.json_object() or {}
        fault, times = params.get("fault"), params.get("times", 1)
        if fault not in FAULTS or type(times) is not int or not 0 <= times <= 1_000_000:
            return bad_request(f"fault: one of {', '.join(FAULTS)}; times: 0 to 1000000")
        self._transfers.faults[fault] = times
        return json_reply({"faults": +self._transfers.faults})

    def show(self, _request: SimulatorRequest) -> SimulatorReply:
        """Every bill, and the sum that was paid."""
        self._transfers.close_overdue()
        bills = self._transfers.bills.values()
        paid = sum(bill.fen for bill in bills if bill.state == "SUCCESS")
        return json_reply({"items": [_shown(bill) for bill in bills], "paid_fen": paid})

    def _chosen(self, params: dict[str, Any]) -> SimulatedBill | None:
        if "bill" in params:
            return self._transfers.find("out", params["bill"])
        return self._transfers.find("package", params.get("package"))


def _shown(bill: SimulatedBill) -> dict[str, Any]:
    return {
        "bill": bill.number,
        "state": bill.state,
        "fen": bill.fen,
        "openid": bill.openid,
        "package": bill.package,
        "fail_reason": bill.fail_reason,
    }
