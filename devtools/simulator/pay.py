"""Simulated WeChat Pay (JSAPI): verifies request signatures and signs its answers."""

import base64
import re
import secrets
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pkcs1_15

from core.clock import CHINA_TZ
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, json_reply

AUTHORIZATION = re.compile(
    r'WECHATPAY2-SHA256-RSA2048 mchid="(?P<mchid>[^"]*)",nonce_str="(?P<nonce>[^"]{1,32})",'
    r'signature="(?P<signature>[^"]*)",timestamp="(?P<stamp>\d{1,12})",serial_no="(?P<serial>[^"]*)"'
)
ORDER_NO = re.compile(r"[0-9A-Za-z_\-*|]{6,32}")
ONE_ORDER = re.compile(r"/v3/pay/transactions/out-trade-no/([^/]+)(/close)?")
# WeChat Pay requires https, which a laptop does not have.
NOTIFY_URL = re.compile(r"https?://[^?\s]{1,240}")
MIN_EXPIRY, MAX_EXPIRY = timedelta(minutes=1), timedelta(days=90)
Outcome = tuple[int, dict[str, Any]]


class SimulatedPay:
    """Orders and payments of one merchant.

    For tests: `orders` (out_trade_no -> order request), `prepaid` (-> prepay_id), `paid` (->
    transaction) and `closed`.
    """

    def __init__(
        self,
        app_ids: Collection[str],
        mchid: str,
        merchant_serial: str,
        merchant_public_key: str,
        platform_key_id: str,
        platform_private_key: str,
        now: Callable[[], float],
    ) -> None:
        """Keys as PEM text."""
        self.orders: dict[str, dict[str, Any]] = {}
        self.prepaid: dict[str, str] = {}
        self.paid: dict[str, dict[str, Any]] = {}
        self.closed: set[str] = set()
        self._app_ids = frozenset(app_ids)
        self._mchid = mchid
        self._serial = merchant_serial
        self._merchant = RSA.import_key(merchant_public_key)
        self._platform_id = platform_key_id
        self._platform = RSA.import_key(platform_private_key)
        self._now = now

    # ---- merchant API

    def jsapi(self, request: SimulatorRequest) -> SimulatorReply:
        """200 with a prepay_id, or `{code, message}`; every answer is signed."""
        return self._answer(request, "POST", lambda: self._order(request))

    def query_or_close(self, request: SimulatorRequest) -> SimulatorReply:
        """Query an order, or close it (204); every answer is signed."""
        found = ONE_ORDER.fullmatch(request.path)
        number, close = found.groups() if found else ("", None)
        if close:
            return self._answer(request, "POST", lambda: self._close(request, number))
        return self._answer(request, "GET", lambda: self._state(request, number))

    # ---- phone

    def take(self, number: str) -> dict[str, Any] | None:
        """Pay the order; its transaction as in notifications, None if unknown or closed."""
        order = self.orders.get(number)
        if order is None or number in self.closed:
            return None
        timestamp = datetime.fromtimestamp(self._now(), CHINA_TZ).isoformat(timespec="seconds")
        total = order["amount"]["total"]
        amount = {"total": total, "payer_total": total}
        return self.paid.setdefault(
            number,
            {
                "mchid": self._mchid,
                "appid": order["appid"],
                "out_trade_no": number,
                "transaction_id": f"42{secrets.randbelow(10**26):026}",
                "trade_type": "JSAPI",
                "trade_state": "SUCCESS",
                "trade_state_desc": "支付成功",
                "bank_type": "OTHERS",
                "attach": "",
                "success_time": timestamp,
                "payer": dict(order["payer"]),
                "amount": {**amount, "currency": "CNY", "payer_currency": "CNY"},
            },
        )

    def order_number(self, call: Mapping[str, Any]) -> str | None:
        """Order number of a phone's payment call; None if unknown or not signed by the merchant."""
        prepay_id = str(call.get("package", "")).removeprefix("prepay_id=")
        number = next((key for key, value in self.prepaid.items() if value == prepay_id), None)
        if number is None:
            return None
        names = ("timeStamp", "nonceStr", "package")
        lines = [self.orders[number]["appid"], *(str(call.get(name)) for name in names)]
        text = "".join(f"{line}\n" for line in lines)
        return number if self._verify(text.encode(), str(call.get("paySign", ""))) else None

    def signed(self, body: bytes, at: float | None = None) -> dict[str, str]:
        """Headers that sign an answer or notification; `at` in Unix seconds, by default now."""
        timestamp, nonce = str(int(self._now() if at is None else at)), secrets.token_hex(16)
        digest = SHA256.new(f"{timestamp}\n{nonce}\n".encode() + body + b"\n")
        signature = pkcs1_15.new(self._platform).sign(digest)
        return {
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": self._platform_id,
            "Wechatpay-Signature-Type": "WECHATPAY2-SHA256-RSA2048",
            "Wechatpay-Signature": base64.b64encode(signature).decode(),
        }

    # ---- internals

    def _answer(
        self, request: SimulatorRequest, method: str, outcome: Callable[[], Outcome]
    ) -> SimulatorReply:
        status, content = self._outcome(request, method, outcome)
        reply = json_reply(content, status) if content else SimulatorReply(status, {}, b"")
        return SimulatorReply(
            reply.status, {**reply.headers, **self.signed(reply.body)}, reply.body
        )

    def _outcome(
        self, request: SimulatorRequest, method: str, outcome: Callable[[], Outcome]
    ) -> Outcome:
        if request.method != method:
            return _error(405, "METHOD_NOT_ALLOWED", method)
        if not self._is_authentic(request):
            return _error(401, "SIGN_ERROR", "the signature does not fit")
        key_id = request.header("Wechatpay-Serial")
        if key_id and key_id != self._platform_id:
            return _error(400, "PARAM_ERROR", "Wechatpay-Serial")
        return outcome()

    def _order(self, request: SimulatorRequest) -> Outcome:
        order = request.json_object()
        invalid = "body" if order is None else self._invalid_parameter(order)
        if order is None or invalid:
            return _error(400, "PARAM_ERROR", invalid)
        if order["mchid"] != self._mchid or order["appid"] not in self._app_ids:
            return _error(400, "APPID_MCHID_NOT_MATCH", "appid and mchid do not belong together")
        number = order["out_trade_no"]
        if self.orders.setdefault(number, order) != order:
            return _error(403, "OUT_TRADE_NO_USED", "used with other content")
        prepay_id = self.prepaid.setdefault(number, "wx" + secrets.token_hex(17))
        return 200, {"prepay_id": prepay_id}

    def _state(self, request: SimulatorRequest, number: str) -> Outcome:
        if request.query.get("mchid") != self._mchid:
            return _error(400, "PARAM_ERROR", "mchid")
        order = self.orders.get(number)
        if order is None:
            return _error(404, "ORDER_NOT_EXIST", "no such order")
        if number in self.paid:
            return 200, self.paid[number]
        state = "CLOSED" if number in self.closed else "NOTPAY"
        names = ("appid", "mchid", "out_trade_no")
        return 200, {**{name: order[name] for name in names}, "trade_state": state}

    def _close(self, request: SimulatorRequest, number: str) -> Outcome:
        if (request.json_object() or {}).get("mchid") != self._mchid:
            return _error(400, "PARAM_ERROR", "mchid")
        if number in self.paid:
            return _error(400, "ORDERPAID", "paid already")
        if number not in self.orders:
            return _error(404, "ORDER_NOT_EXIST", "no such order")
        self.closed.add(number)
        return 204, {}

    def _is_authentic(self, request: SimulatorRequest) -> bool:
        auth = AUTHORIZATION.fullmatch(request.header("Authorization"))
        if auth is None or (auth["mchid"], auth["serial"]) != (self._mchid, self._serial):
            return False
        if abs(self._now() - int(auth["stamp"])) > 300:
            return False
        query = "&".join(f"{name}={value}" for name, value in request.query.items())
        target = request.path + (f"?{query}" if query else "")
        prefix = f"{request.method}\n{target}\n{auth['stamp']}\n{auth['nonce']}\n"
        return self._verify(prefix.encode() + request.body + b"\n", auth["signature"])

    def _verify(self, text: bytes, signature: str) -> bool:
        try:
            raw = base64.b64decode(signature, validate=True)
            pkcs1_15.new(self._merchant).verify(SHA256.new(text), raw)
        except ValueError:
            return False
        return True

    def _invalid_parameter(self, order: Mapping[str, Any]) -> str:
        """The name of the first invalid parameter, or ""."""
        amount, payer = order.get("amount"), order.get("payer")
        total = amount.get("total") if isinstance(amount, dict) else None
        rules = {
            "appid": _filled(order.get("appid"), 32),
            "mchid": _filled(order.get("mchid"), 32),
            "description": _filled(order.get("description"), 127),
            "out_trade_no": _matches(ORDER_NO, order.get("out_trade_no")),
            "notify_url": _matches(NOTIFY_URL, order.get("notify_url")),
            "amount": type(total) is int and total >= 1,
            "payer": isinstance(payer, dict) and _filled(payer.get("openid"), 128),
            "time_expire": self._is_ahead(order.get("time_expire")),
        }
        return next((name for name, valid in rules.items() if not valid), "")

    def _is_ahead(self, value: object) -> bool:
        if value is None:
            return True  # WeChat Pay defaults to seven days
        try:
            expires = datetime.fromisoformat(str(value))
        except ValueError:
            return False
        if expires.tzinfo is None:
            return False
        ahead = timedelta(seconds=expires.timestamp() - self._now())
        return MIN_EXPIRY <= ahead <= MAX_EXPIRY


def _error(status: int, code: str, message: str) -> Outcome:
    return status, {"code": code, "message": message}


def _filled(value: object, limit: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= limit


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
