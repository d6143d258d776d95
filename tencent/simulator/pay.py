"""WeChat Pay's side of a JSAPI order: it checks our signature and signs its answers."""

import base64
import re
import secrets
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pkcs1_15

from tencent.simulator.wire import SimReply, SimRequest, json_reply

AUTHORIZATION = re.compile(
    r'WECHATPAY2-SHA256-RSA2048 mchid="(?P<mchid>[^"]*)",nonce_str="(?P<nonce>[^"]{1,32})",'
    r'signature="(?P<signature>[^"]*)",timestamp="(?P<stamp>\d{1,12})",serial_no="(?P<serial>[^"]*)"'
)
ORDER_NO = re.compile(r"[0-9A-Za-z_\-*|]{6,32}")
# The real one insists on https; the laptop has none.
NOTIFY_URL = re.compile(r"https?://[^?\s]{1,240}")
SOONEST, LATEST = timedelta(minutes=1), timedelta(days=90)


class Pay:
    """`orders` (out_trade_no -> what was sent) and `prepaid` (-> prepay_id) are for tests."""

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
        self._app_ids = frozenset(app_ids)
        self._mchid = mchid
        self._serial = merchant_serial
        self._merchant = RSA.import_key(merchant_public_key)
        self._platform_id = platform_key_id
        self._platform = RSA.import_key(platform_private_key)
        self._now = now

    def jsapi(self, request: SimRequest) -> SimReply:
        """200 with a prepay_id, or `{code, message}`; every answer signed."""
        status, content = self._outcome(request)
        return self._signed(json_reply(content, status))

    def _outcome(self, request: SimRequest) -> tuple[int, dict[str, Any]]:
        if request.method != "POST":
            return _error(405, "METHOD_NOT_ALLOWED", "POST")
        if not self._is_ours(request):
            return _error(401, "SIGN_ERROR", "the signature does not fit")
        wanted = request.header("Wechatpay-Serial")
        if wanted and wanted != self._platform_id:
            return _error(400, "PARAM_ERROR", "Wechatpay-Serial")
        order = request.json_object()
        wrong = "body" if order is None else self._wrong(order)
        if order is None or wrong:
            return _error(400, "PARAM_ERROR", wrong)
        if order["mchid"] != self._mchid or order["appid"] not in self._app_ids:
            return _error(400, "APPID_MCHID_NOT_MATCH", "appid and mchid do not belong together")
        return self._prepay(order)

    def _prepay(self, order: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        number = order["out_trade_no"]
        if self.orders.setdefault(number, order) != order:
            return _error(403, "OUT_TRADE_NO_USED", "used with other content")
        prepay_id = self.prepaid.setdefault(number, "wx" + secrets.token_hex(17))
        return 200, {"prepay_id": prepay_id}

    def _is_ours(self, request: SimRequest) -> bool:
        given = AUTHORIZATION.fullmatch(request.header("Authorization"))
        if given is None or (given["mchid"], given["serial"]) != (self._mchid, self._serial):
            return False
        if abs(self._now() - int(given["stamp"])) > 300:
            return False
        head = f"{request.method}\n{request.path}\n{given['stamp']}\n{given['nonce']}\n"
        digest = SHA256.new(head.encode() + request.body + b"\n")
        try:
            raw = base64.b64decode(given["signature"], validate=True)
            pkcs1_15.new(self._merchant).verify(digest, raw)
        except ValueError:
            return False
        return True

    def _wrong(self, order: Mapping[str, Any]) -> str:
        """The name of the first bad parameter, or ""."""
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
        return next((name for name, good in rules.items() if not good), "")

    def _is_ahead(self, value: object) -> bool:
        if value is None:
            return True  # seven days, then
        try:
            expires = datetime.fromisoformat(str(value))
        except ValueError:
            return False
        if expires.tzinfo is None:
            return False
        ahead = timedelta(seconds=expires.timestamp() - self._now())
        return SOONEST <= ahead <= LATEST

    def _signed(self, reply: SimReply) -> SimReply:
        stamp, nonce = str(int(self._now())), secrets.token_hex(16)
        digest = SHA256.new(f"{stamp}\n{nonce}\n".encode() + reply.body + b"\n")
        signature = pkcs1_15.new(self._platform).sign(digest)
        signed = {
            "Wechatpay-Timestamp": stamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": self._platform_id,
            "Wechatpay-Signature-Type": "WECHATPAY2-SHA256-RSA2048",
            "Wechatpay-Signature": base64.b64encode(signature).decode(),
        }
        return SimReply(reply.status, {**reply.headers, **signed}, reply.body)


def _error(status: int, code: str, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"code": code, "message": message}


def _filled(value: object, limit: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= limit


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
