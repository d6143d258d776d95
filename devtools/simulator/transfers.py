"""Simulated merchant API of WeChat Pay for transfers to users."""

import asyncio
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tornado.httpclient import HTTPRequest

from devtools.simulator.merchant import Outcome, SimulatedMerchantApi, refuse
from devtools.simulator.notifications import SimulatedDelivery
from devtools.simulator.requests import (
    ChosenTransferRequest,
    ConfirmTransferRequest,
    EmptyRequest,
    Report,
    TransferFaultRequest,
)
from devtools.simulator.wire import SimulatorRequest

ONE_BILL = re.compile(r".*/out-bill-no/(?P<number>[^/]+)(?P<cancel>/cancel)?")
EVENT = "MCHTRANSFER.BILL.FINISHED"
CANCEL_SECONDS = 0.5
STATES = {"success": "SUCCESS", "pending": "TRANSFERING", "failed": "FAIL"}
"""State of a bill for each outcome of a confirmation."""
MIN_FEN, MIN_NAMED_FEN, NAME_FROM_FEN = 10, 30, 200_000
OPEN = frozenset({"ACCEPTED", "PROCESSING", "WAIT_USER_CONFIRM"})
"""States before the user confirms. The bill can be cancelled, and WeChat closes it after a day."""
FINAL = frozenset({"SUCCESS", "FAIL", "CANCELLED"})


@dataclass(slots=True)
class SimulatedBill:
    """A bill as WeChat Pay keeps it; times in Unix seconds."""

    number: str
    openid: str
    fen: int
    request: Mapping[str, Any]
    created_at: float
    updated_at: float
    state: str = "ACCEPTED"
    fail_reason: str = ""
    wechat_number: str = field(default_factory=lambda: f"1330{secrets.randbelow(10**32):032}")
    package: str = field(default_factory=lambda: "ABBQO+" + secrets.token_hex(24))
    name: str = ""
    """The user's real name, decrypted."""


@dataclass(eq=False)
class SimulatedTransfers:
    """Keeps the bills of one merchant; tests use `bills` (by out_bill_no) and `faults`.

    The next request gets each of the `faults`: NOT_ENOUGH holds the bill until the request is
    repeated, FREQUENCY_LIMITED rejects it, `lost` accepts it but answers with an error, `accepted`
    answers before the money is locked.
    """

    _api: SimulatedMerchantApi
    _delivery: SimulatedDelivery
    bills: dict[str, SimulatedBill] = field(default_factory=dict)
    faults: set[str] = field(default_factory=set)
    close_mode: Report = "once"
    """Way in which the notifications of cancelled bills are sent."""

    # ---- merchant API

    def create(self, request: SimulatorRequest) -> Outcome:
        """Accept a bill, or lock the money of one that is repeated."""
        if self._next("FREQUENCY_LIMITED"):
            return refuse(429, "FREQUENCY_LIMITED", "频率超限")
        content, now = request.json_object() or {}, self._api.now()
        fen = content.get("transfer_amount", 0)
        if content.get("appid") not in self._api.app_ids or fen < MIN_FEN:
            return refuse(400, "PARAM_ERROR", "appid or transfer_amount")
        number = content["out_bill_no"]
        bill = self.bills.get(number)
        if bill and bill.request != content:
            return refuse(400, "INVALID_REQUEST", "单号已存在但信息不一致")
        if bill is None:
            is_named = "user_name" in content
            if (fen >= NAME_FROM_FEN and not is_named) or (fen < MIN_NAMED_FEN and is_named):
                return refuse(400, "PARAM_ERROR", "user_name")
            name = self._api.decrypt(request, content["user_name"]) if is_named else ""
            if name is None:
                return refuse(400, "PARAM_ERROR", "user_name")
            bill = SimulatedBill(number, content["openid"], fen, content, now, now, name=name)
            self.bills[number] = bill
        return self._lock_money(bill)

    def _lock_money(self, bill: SimulatedBill) -> Outcome:
        if bill.state in ("ACCEPTED", "PROCESSING"):
            if self._next("NOT_ENOUGH"):
                bill.state = "PROCESSING"
                return refuse(403, "NOT_ENOUGH", "商户运营账户资金不足")
            bill.state = "ACCEPTED" if self._next("accepted") else "WAIT_USER_CONFIRM"
        if self._next("lost"):
            return refuse(500, "SYSTEM_ERROR", "系统错误")
        return 200, self._answer(bill)

    def query_or_cancel(self, request: SimulatorRequest) -> Outcome:
        """Query a bill by our number, or cancel it."""
        found = ONE_BILL.fullmatch(request.path)
        bill = self.bills.get(found["number"]) if found else None
        is_cancel = bool(found and found["cancel"])
        if not is_cancel and self._next("FREQUENCY_LIMITED"):
            return refuse(429, "FREQUENCY_LIMITED", "频率超限")
        if bill is None:
            return refuse(404, "NOT_FOUND", "记录不存在")
        if is_cancel:
            if bill.state in OPEN:
                self._move(bill, "CANCELING", "never")
                self._delivery.run(lambda _attempt: self._finish_cancel(bill))
            elif bill.state not in ("CANCELING", "CANCELLED"):
                return refuse(400, "INVALID_REQUEST", f"the bill is {bill.state}")
            return 200, self._answer(bill)
        names = ("appid", "transfer_amount", "transfer_remark", "openid")
        known = {name: bill.request[name] for name in names}
        return 200, {"mch_id": self._api.mchid, **known, **self._statement(bill)}

    async def _finish_cancel(self, bill: SimulatedBill) -> None:
        await asyncio.sleep(CANCEL_SECONDS)
        self._move(bill, "CANCELLED", self.close_mode, "MCH_CANCEL")

    # ---- phone and tests

    def confirm(self, request: ConfirmTransferRequest) -> dict[str, Any]:
        """Confirm as the user; `why` is the wrong parameter or the bill's fail_reason."""
        bill = self._find(request)
        if bill is None or bill.state not in ("WAIT_USER_CONFIRM", "TRANSFERING"):
            return {"outcome": "failed", "bill": None, "why": "package"}
        if request.openid not in ("", bill.openid):
            return {"outcome": "failed", "bill": None, "why": "openid"}
        reason = request.reason if request.outcome == "failed" else ""
        self._move(bill, STATES[request.outcome], request.report, reason)
        return {"outcome": request.outcome, "bill": bill.number, "why": reason}

    def expire(self, request: ChosenTransferRequest) -> dict[str, Any]:
        """Close an open bill, as WeChat does after a day. Raises ValueError for other bills."""
        bill = self._find(request)
        if bill is None or bill.state not in OPEN:
            raise ValueError("package or bill: of a transfer that is open")
        self._move(bill, "FAIL", request.report, "OVERDUE_CLOSE")
        return {"outcome": "success", "bill": bill.number}

    def notify_again(self, request: ChosenTransferRequest) -> dict[str, Any]:
        """Repeat the notification of a finished bill. Raises ValueError for other bills."""
        bill = self._find(request)
        if bill is None or bill.state not in FINAL:
            raise ValueError("package or bill: of a transfer that is finished")
        self._delivery.start(self.notification(bill, request.report), request.report)
        return {"outcome": "success", "bill": bill.number}

    def set_fault(self, request: TransferFaultRequest) -> dict[str, Any]:
        self.faults.add(request.fault)
        return request.model_dump()

    def show(self, _request: EmptyRequest) -> dict[str, Any]:
        """List all bills and the total that was paid."""
        names = ("number", "state", "fen", "openid", "package", "fail_reason")
        items = [{name: getattr(bill, name) for name in names} for bill in self.bills.values()]
        paid = sum(bill.fen for bill in self.bills.values() if bill.state == "SUCCESS")
        return {"items": items, "paid_fen": paid}

    def notification(self, bill: SimulatedBill, mode: str) -> HTTPRequest:
        """Make a new notification of a finished bill for its notify_url."""
        content = {
            **self._statement(bill),
            "mch_id": self._api.mchid,
            "transfer_amount": bill.fen + (mode == "wrong_amount"),
            "openid": bill.openid,
        }
        address = str(bill.request["notify_url"])
        return self._api.notification(address, EVENT, content, mode, original="mch_payment")

    # ---- internals

    def _find(self, request: ChosenTransferRequest) -> SimulatedBill | None:
        bills = self.bills.values()
        found = (bill for bill in bills if request.package == bill.package)
        return self.bills.get(request.bill) or next(found, None)

    def _move(self, bill: SimulatedBill, state: str, mode: Report, fail_reason: str = "") -> None:
        """Change a bill's state; for a final state, send a notification in this `mode`."""
        bill.state, bill.fail_reason = state, fail_reason
        bill.updated_at = self._api.now()
        if state in FINAL:
            self._delivery.start(self.notification(bill, mode), mode)

    def _answer(self, bill: SimulatedBill) -> dict[str, Any]:
        statement = self._statement(bill)
        if bill.state == "WAIT_USER_CONFIRM":
            statement["package_info"] = bill.package
        return statement

    def _statement(self, bill: SimulatedBill) -> dict[str, Any]:
        return {
            "out_bill_no": bill.number,
            "transfer_bill_no": bill.wechat_number,
            "state": bill.state,
            "create_time": self._api.china_time(bill.created_at),
            "update_time": self._api.china_time(bill.updated_at),
            **({"fail_reason": bill.fail_reason} if bill.fail_reason else {}),
        }

    def _next(self, fault: str) -> bool:
        """Return whether this request gets the fault; the next one does not."""
        has_fault = fault in self.faults
        self.faults.discard(fault)
        return has_fault
