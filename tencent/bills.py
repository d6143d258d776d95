"""Client and parser of WeChat's bills.

Columns are found by their names; a bill with unknown columns or an unreadable row is refused as a
whole. Sources: WeChat Pay v3, "trade bill", "fund flow bill" and
"download a bill"; WeChat, "virtual payment", download_bill and download_ios_settlement_bill.
Unverified, and so read by lists of likely names: all columns of virtual payment (download_bill may
have only sums of a day, which are refused), the names of transfers in the fund flow, and that their
业务凭证号, "the merchant's number in general", is out_bill_no; WeChat's number serves as well.
"""

import asyncio
import csv
import hashlib
import re
import zlib
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from itertools import takewhile
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from config.sections import WechatSettings
from ledger.bills import Category, Movement, Source
from tencent.errors import CALL_ERRORS, MerchantRefused
from tencent.json_reader import text
from tencent.merchant import MerchantClient
from tencent.service_client import ServiceClient, ServiceResponse
from tencent.xpay import XpayClient

MAX_BYTES, MAX_FILE_BYTES = 32 * 1024 * 1024, 8_000_000
"""Of a bill, some 90,000 rows, and of its file, which has to fit into a document of MongoDB."""
TIMEOUT_SECONDS = 60.0
CALLS: Mapping[Source, tuple[str, Mapping[str, str]]] = {
    "trade": ("/v3/bill/tradebill", {"bill_type": "ALL"}),
    "fund_basic": ("/v3/bill/fundflowbill", {"account_type": "BASIC"}),
    "fund_operation": ("/v3/bill/fundflowbill", {"account_type": "OPERATION"}),
}
VIRTUAL_CALLS: Mapping[Source, tuple[str, str, str]] = {
    "xpay": ("download_bill", "begin_ds", "end_ds"),
    "ios": ("download_ios_settlement_bill", "start_month", "end_month"),
}
COLUMNS = {
    "number": ("商户订单号", "商户单号", "商家订单号", "订单号", "out_trade_no", "业务凭证号"),
    "other": ("微信订单号", "微信支付订单号", "微信单号", "transaction_id", "微信支付业务单号"),
    "fen": ("订单金额", "总金额", "应结订单金额", "支付金额", "交易金额", "收支金额"),
    "state": ("交易状态", "订单状态", "收支类型"),
    "refund": ("商户退款单号", "退款单号"),
    "other_refund": ("微信退款单号", "微信支付退款单号"),
    "refund_fen": ("申请退款金额", "退款金额"),
    "refund_state": ("退款状态",),
    "name": ("业务名称",),
    "type": ("业务类型",),
}
"""Names of the columns, the most precise first: old accounts have fewer."""
REQUIRED = {
    "trade": ("number", "fen", "state"),
    "fund": ("number", "fen", "state", "name"),
    "xpay": ("number", "fen"),
    "ios": ("number",),  # Apple may settle in other money than users have paid
}
SUMS = ("总", "合计", "资金流水总笔数")
"""Beginnings of the line after the last row."""
TRANSFERS = ("转账", "企业付款")
NOT_TRANSFERS = ("手续费", "交易", "退款", "充值", "提现", "代金券", "分账", "结算")
"""Words of movements that are in the trade bill, too, or between accounts of the house."""
NOT_PAID = ("REVOKED", "CLOSED", "PAYERROR", "FAIL", "CHANGE", "ABNORMAL", "支付失败", "收入")
"""States of payments that failed, and of money that came back. A refund in progress counts as done:
its row never changes, and its case or notification shows its end."""


class BillNotReady(Exception):
    """The bill is not available yet; the text is a code of the reason."""


class UnreadableBill(Exception):
    """The bill is damaged, or has an unknown form."""


class BillClient:
    """Fetches bills; the client `files` has no base URL, since WeChat names whole addresses."""

    def __init__(
        self,
        merchant: MerchantClient | None,
        xpay: XpayClient,
        files: ServiceClient,
        wechat: WechatSettings,
    ) -> None:
        self._merchant = merchant
        self._xpay = xpay
        self._files = files
        self._app_id = next(iter(wechat.apps), "")
        self._scheme = urlsplit(wechat.api_base).scheme

    async def fetch(self, source: Source, period: str, kept: bytes | None = None) -> bytes | None:
        """Return a bill as WeChat sent it, or None if it has no rows.

        `kept` is the answer until WeChat names another digest, which it never does for xpay. Raises
        BillNotReady, or UnreadableBill if the bill is too long or damaged.
        """
        try:
            if source in CALLS:
                return await self._from_wechat_pay(source, period, kept)
            return kept or await self._from_xpay(source, period.replace("-", ""))
        except CALL_ERRORS as error:
            if kept is None:
                raise BillNotReady(error.code) from None
            return kept

    async def _from_wechat_pay(self, source: Source, day: str, kept: bytes | None) -> bytes | None:
        """Fetch a bill by path and query of its address alone: no other host gets our signature."""
        merchant, (path, kind) = self._merchant, CALLS[source]
        assert merchant is not None

        def read(content: Mapping[str, Any]) -> tuple[str, str]:
            return text(content, "download_url"), text(content, "hash_value").lower()

        query = {"bill_date": day, **kind, "tar_type": "GZIP"}
        try:
            address, digest = await merchant.call(
                "bill", f"{source}:{day}", read, "GET", path, query=query
            )
        except MerchantRefused as refused:
            if refused.code == "NO_STATEMENT_EXIST":
                return kept
            raise
        if kept is not None and await asyncio.to_thread(_sha1, kept) == digest:
            return kept
        url = urlsplit(address)
        file = _content(await merchant.request("GET", url.path, dict(parse_qsl(url.query))))
        if await asyncio.to_thread(_sha1, file) != digest:
            raise BillNotReady("hash")
        return file

    async def _from_xpay(self, source: Source, period: str) -> bytes:
        """Fetch the bill that the first call starts; its address is valid for half an hour."""
        call, *names = VIRTUAL_CALLS[source]
        value = int(period) if source == "xpay" else period
        answer = await self._xpay.call(self._app_id, call, dict.fromkeys(names, value))
        bills = [bill for bill in answer.get("bill_list") or () if isinstance(bill, dict)]
        monthly = (bill.get("bill_url") for bill in bills if bill.get("month") == period)
        url = str(answer.get("url") or next(monthly, None) or "")
        if not url.startswith(f"{self._scheme}://"):
            raise BillNotReady(str(answer.get("errcode") or "STATEMENT_CREATING"))
        try:
            return _content(await self._files.request("GET", url, safe_to_repeat=True))
        except ValueError:
            raise BillNotReady("address") from None


def _content(response: ServiceResponse) -> bytes:
    if response.status != 200:
        raise BillNotReady(f"HTTP {response.status}")  # an address is valid for minutes only
    return response.body


def _sha1(file: bytes) -> str:
    return hashlib.sha1(unpack(file)).hexdigest()  # noqa: S324 - chosen by WeChat Pay


def unpack(file: bytes) -> bytes:
    """Return the bytes that WeChat's hash covers. Raises UnreadableBill if too many or damaged."""
    if not file.startswith(b"\x1f\x8b"):
        return file
    unzip, content = zlib.decompressobj(wbits=31), b""
    with suppress(zlib.error):
        content = unzip.decompress(file, MAX_BYTES)
        if unzip.eof and not unzip.unused_data:
            return content
    raise UnreadableBill("too_long" if len(content) == MAX_BYTES else "damaged")


def read_bill(file: bytes, source: Source) -> list[Movement]:
    """Return the movements in a bill, each once: one that came back has failed.

    Raises UnreadableBill if the bill is damaged, or has unknown columns or an unreadable row.
    """
    try:
        lines = [line.strip("\r") for line in unpack(file).decode("utf-8-sig").split("\n")]
    except UnicodeDecodeError:
        raise UnreadableBill("no UTF-8") from None
    header = [
        cell.strip(" \t`").replace("（", "(").replace("）", ")").removesuffix("(元)")
        for cell in _cells(lines[0])
    ]
    found = {
        column: header.index(name)
        for column, names in COLUMNS.items()
        if (name := next((name for name in names if name in header), None))
    }
    missing = {*REQUIRED[source.partition("_")[0]]} - {*found}
    if missing:
        # Cells that may be names of columns: without a header, the first line has an openid.
        names = ",".join(name for name in header if len(name) <= 20 and not re.search(r"\d", name))
        raise UnreadableBill(f"no column for {', '.join(sorted(missing))}: {names}"[:300])
    rows: dict[tuple[Category, str, str, int | None], Movement] = {}
    for n, line in enumerate(takewhile(lambda line: not line.startswith(SUMS), lines[1:]), 2):
        if line:
            cells = _cells(line)
            if len(cells) != len(header):
                raise UnreadableBill(f"line {n}: {len(cells)} columns instead of {len(header)}")
            row = _movement({name: cells[at].strip() for name, at in found.items()}, n)
            if row is None:
                continue
            # A second payment of an order is kept; money that came back may have a new number.
            wechat_number = row.wechat_number if row.category == "payment" else ""
            key = row.category, row.number, wechat_number, row.fen
            if row.state == "failed" or key not in rows:
                rows[key] = row
    return [*rows.values()]


def _cells(line: str) -> list[str]:
    """Split a line; WeChat Pay has a backtick before each value, which may have commas."""
    if line.startswith("`"):
        return line[1:].split(",`")
    with suppress(csv.Error):
        return next(csv.reader([line]), [])
    return []


def _movement(values: Mapping[str, str], line: int) -> Movement | None:
    """Return a row's movement, or None for one of an account that is no transfer to a user."""
    get, number, other = values.get, values["number"], values.get("other", "")
    category: Category = "payment"
    fen, state, order = get("fen"), get("state"), ""
    if "name" in values:
        kind = values["name"] + get("type", "")
        is_transfer = any(word in kind for word in TRANSFERS) and "手续费" not in kind
        if not is_transfer and any(word in kind for word in NOT_TRANSFERS):
            return None
        category = "transfer"
    elif state == "REFUND" or {get("refund"), get("other_refund")} - {None, "", "0"}:
        category, order, fen, state = "refund", number, get("refund_fen"), get("refund_state")
        number, other = get("refund", ""), get("other_refund", "")
    if not (number or other):
        raise UnreadableBill(f"line {line}: no number")
    is_paid = state not in NOT_PAID
    return Movement(
        category, number or other, _fen(fen, line), "done" if is_paid else "failed", other, order
    )


def _fen(yuan: str | None, line: int) -> int | None:
    """Return fen without their sign, because that of a refund varies."""
    if yuan is None:
        return None
    with suppress(ArithmeticError, ValueError):
        fen = abs(Decimal(yuan) * 100)
        if fen < 10**12 and fen == int(fen):
            return int(fen)
    raise UnreadableBill(f"line {line}: no amount")
