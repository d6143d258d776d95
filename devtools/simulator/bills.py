"""Simulated bills of WeChat Pay and of virtual payment, made from what the simulator has paid."""

import gzip
import hashlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from core.clock import CHINA_TZ
from devtools.simulator.merchant import Outcome, SimulatedMerchantApi, refuse
from devtools.simulator.pay import REFUND_STATUSES, SimulatedPay
from devtools.simulator.refunds import SimulatedRefunds
from devtools.simulator.requests import NextBillsRequest
from devtools.simulator.transfers import SimulatedTransfers
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, json_reply
from devtools.simulator.xpay import SimulatedXpay

PAYMENTS = (
    "交易时间,微信订单号,商户订单号,交易状态,微信退款单号,商户退款单号,退款状态,商品名称,"
    "订单金额,申请退款金额"
)
"""The columns that old accounts have as well; those of virtual payment are not known."""
FUND = "记账时间,微信支付业务单号,业务名称,业务类型,收支类型,收支金额(元),业务凭证号"
FILE = "/v3/billdownload/file"
FUNDS = ("fund_basic", "fund_operation")
SUMS = "总交易单数,订单总金额"
Row = dict[str, str]


@dataclass(eq=False)
class SimulatedBills:
    """Bills of a day or month from the present state; tests use `faults` (by source) and `changes`.

    `changes` are columns to set in the row of a number of ours, None to leave the row out; with an
    unknown number, the row is added to every bill of the source.
    """

    _api: SimulatedMerchantApi
    _pay: SimulatedPay
    _xpay: SimulatedXpay
    _refunds: SimulatedRefunds
    _transfers: SimulatedTransfers
    faults: dict[str, str] = field(default_factory=dict)
    changes: dict[str, dict[str, Row | None]] = field(default_factory=dict)
    ios_orders: set[str] = field(default_factory=set)
    _files: dict[str, bytes] = field(default_factory=dict)

    def set_next(self, request: NextBillsRequest) -> dict[str, Any]:
        self.faults[request.source] = request.fault
        self.changes[request.source] = request.changes
        return request.model_dump()

    # ---- WeChat Pay

    def describe(self, request: SimulatorRequest) -> Outcome:
        """Answer with the address of the bill of a day."""
        query = request.query
        source = f"fund_{query['account_type'].lower()}" if "account_type" in query else "trade"
        rows, fault = self._rows(source, query["bill_date"]), self.faults.get(source, "")
        if fault == "late":
            return refuse(400, "STATEMENT_CREATING", "账单生成中")
        if not rows:
            return refuse(400, "NO_STATEMENT_EXIST", "账单不存在")
        content = self._content(source, rows)
        url = f"https://api.mch.weixin.qq.com{FILE}?token={self._keep(gzip.compress(content))}"
        sha1 = hashlib.sha1(content + b"!" * (fault == "hash")).hexdigest()  # noqa: S324
        return 200, {"hash_type": "SHA1", "hash_value": sha1, "download_url": url}

    def download(self, request: SimulatorRequest) -> SimulatorReply:
        """Refuse an unsigned request; the answer with the file is not signed itself."""
        if self._api.refusal(request):
            return json_reply({"code": "SIGN_ERROR"}, 401)
        return self.file(request)

    # ---- virtual payment

    def describe_virtual(self, request: SimulatorRequest) -> SimulatorReply:
        """Answer with the address of the bill of a day or, for iOS, of a month."""
        if refusal := self._xpay.refusal(request):
            return refusal
        content = request.json_object() or {}
        source, period = "xpay", str(content.get("begin_ds", ""))
        if not period:
            source, period = "ios", content["start_month"]
        if self.faults.get(source) == "late":
            return json_reply({"errcode": 268490011, "errmsg": "late"})
        token = self._keep(self._content(source, self._rows(source, period)))
        url = f"http://{request.header('Host')}/sim/bill_file?token={token}"
        bills = {"bill_list": [{"month": period, "bill_url": url}]} if source == "ios" else {}
        return json_reply({"errcode": 0, "errmsg": "", **(bills or {"url": url})})

    def file(self, request: SimulatorRequest) -> SimulatorReply:
        content = self._files.pop(request.query.get("token", ""), None)
        return SimulatorReply(200, {}, content) if content else json_reply({}, 400)

    # ---- content

    def _keep(self, content: bytes) -> str:
        token = secrets.token_urlsafe(16)
        self._files[token] = content
        return token

    def _content(self, source: str, rows: Sequence[Row]) -> bytes:
        fault, header = self.faults.get(source, ""), FUND if source in FUNDS else PAYMENTS
        values = [",".join(f"`{row.get(name, '')}" for name in header.split(",")) for row in rows]
        lines = ["\ufeff" + header, *values * (1 + (fault == "twice")), SUMS, f"`{len(rows)},`0.00"]
        content = "".join(f"{line}\r\n" for line in lines).encode()
        return content.replace(b",`", b",", 3) if fault == "malformed" else content

    def _rows(self, source: str, period: str) -> list[Row]:
        """Return the rows of a period, with the changes that were asked for."""
        made = self._transferred() if source == "fund_operation" else self._paid(source)
        changes, bill, known = self.changes.get(source, {}), list[Row](), set()
        for at, number, row in made:
            known.add(number)
            change = changes.get(number, {})
            day = f"{datetime.fromtimestamp(at, CHINA_TZ):%Y%m%d}"
            if day.startswith(period.replace("-", "")) and change is not None:
                bill.append({**row, **change})
        added = {number: row for number, row in changes.items() if number not in known}
        own = "业务凭证号" if source in FUNDS else "商户订单号"
        return bill + [{own: number, **row} for number, row in added.items() if row]

    def _paid(self, source: str) -> Iterator[tuple[float, str, Row]]:
        if source == "trade":
            for number, paid in self._pay.paid.items():
                at = datetime.fromisoformat(paid["success_time"]).timestamp()
                yield at, number, _payment(number, paid["transaction_id"], paid["amount"]["total"])
        for number, order in self._xpay.orders.items():
            if source == ("ios" if number in self.ios_orders else "xpay"):
                row = _payment(number, order["wxpay_order_id"], order["order_fee"])
                yield order["paid_time"], number, row
        for refund in self._refunds.refunds.values():
            if source == {"jsapi": "trade"}.get(refund.provider, refund.provider):
                row = {"商户订单号": refund.order, "交易状态": "REFUND", "订单金额": "0.00"}
                row |= {"微信退款单号": refund.wechat_number, "商户退款单号": refund.number}
                row |= {"退款状态": REFUND_STATUSES[refund.state]}
                yield refund.created_at, refund.number, {**row, "申请退款金额": _yuan(refund.fen)}

    def _transferred(self) -> Iterator[tuple[float, str, Row]]:
        for number, bill in self._transfers.bills.items():
            if bill.state == "SUCCESS":
                row = {"微信支付业务单号": bill.wechat_number, "业务凭证号": number}
                row |= {"业务名称": "商家转账", "收支类型": "支出", "收支金额(元)": _yuan(bill.fen)}
                yield bill.updated_at, number, row
                fee = {"业务名称": "手续费", "收支类型": "支出", "收支金额(元)": "0.01"}
                yield bill.updated_at, "", fee


def _payment(number: str, other: str, fen: int) -> Row:
    row = {"微信订单号": other, "商户订单号": number, "交易状态": "SUCCESS", "订单金额": _yuan(fen)}
    return {**row, "商品名称": "gold, once", "微信退款单号": "0", "商户退款单号": "0"}


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02}"
