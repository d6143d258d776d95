"""WeChat Pay from a mini-program (JSAPI, API v3): an order becomes something the phone can pay."""

import json
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from time import time
from typing import Any
from urllib.parse import urlencode

import structlog

from money.recharge import Order, Payment
from rooms.refusals import ServiceAway, TooMany
from tencent.outside import Outside, Response
from tencent.paynotice import EVER_PAID, Notices, payment_of
from tencent.paysign import NotGenuine, read_key, sign, sign_request, verify

log = structlog.get_logger("tencent.pay")

JSAPI_PATH = "/v3/pay/transactions/jsapi"
ORDERS_PATH = "/v3/pay/transactions/out-trade-no"
OVER_ALREADY = frozenset({"ORDERPAID", "ORDER_CLOSED", "ORDER_NOT_EXIST", "RESOURCE_NOT_EXISTS"})
"""Answers to a close that leave nothing to close; which of them it is, the query says."""
OFFER_SECONDS = 7200
"""As long as WeChat keeps a prepay_id."""
CHINA = timezone(timedelta(hours=8))


class JsapiPay:
    """Payments to one merchant; `notices` reads what WeChat Pay tells by itself.

    `keys` maps a serial or a PUB_KEY_ID_... to PEM text, public key or certificate. A PEM that
    cannot be read is a ValueError here, at the start, not at the first payment.
    """

    def __init__(
        self,
        outside: Outside,
        mchid: str,
        serial_no: str,
        private_key_pem: str,
        keys: Mapping[str, str],
        apiv3_key: str,
        notify_url: str,
        *,
        now: Callable[[], float] = time,
    ) -> None:
        self._outside = outside
        self._mchid = mchid
        self._serial_no = serial_no
        self._key = read_key(private_key_pem)
        self._keys = {serial: read_key(pem) for serial, pem in keys.items()}
        self.notices = Notices(mchid, self._keys, apiv3_key)
        self._notify_url = notify_url
        self._now = now

    async def prepare(self, order: Order, _session_key: str = "") -> dict[str, str]:
        """Exactly what the phone passes to wx.requestPayment; the offer holds for OFFER_SECONDS.

        TooMany, or ServiceAway for every answer that is not a proven prepay_id. The phone's later
        "success" is a hint only: gold is for the notification or the query.
        """
        expires = datetime.fromtimestamp(self._now() + OFFER_SECONDS, CHINA)
        asked = {
            "appid": order.app_id,
            "mchid": self._mchid,
            "description": f"{order.gold} gold",
            "out_trade_no": order.number,
            "time_expire": expires.isoformat(timespec="seconds"),
            "notify_url": self._notify_url,
            "amount": {"total": order.fen, "currency": "CNY"},
            "payer": {"openid": order.openid},
        }
        response = await self._post(JSAPI_PATH, asked)
        return self._for_phone(order.app_id, self._prepay_id(response))

    async def query(self, order: Order) -> Payment | None:
        """What was paid for the order, or None so far; ServiceAway when that is not proven.

        Source: WeChat Pay v3, "query by out_trade_no"; 404 means that it has never got there.
        """
        path, query = f"{ORDERS_PATH}/{order.number}", {"mchid": self._mchid}
        headers = self._headers("GET", f"{path}?{urlencode(query)}", "")
        response = await self._outside.get(path, query, headers, safe_to_repeat=True)
        answer = _object(response.body)
        if response.status == 404 and answer.get("code") == "ORDER_NOT_EXIST":
            return None
        try:
            self._check(response)
            if answer.get("mchid") != self._mchid or answer.get("out_trade_no") != order.number:
                raise NotGenuine("another order")
            return payment_of(answer, EVER_PAID)
        except NotGenuine as doubt:
            log.error("order_not_answered", order=order.number, why=str(doubt))
            raise ServiceAway(self._outside.name) from None

    async def close(self, order: Order) -> None:
        """Nobody can pay it any more; safe to repeat. ServiceAway.

        To be queried once more afterwards: it may have been paid a moment before.
        """
        path = f"{ORDERS_PATH}/{order.number}/close"
        response = await self._post(path, {"mchid": self._mchid})
        if response.status == 204:
            return
        code = _object(response.body).get("code")
        if code not in OVER_ALREADY:
            why = f"HTTP {response.status} {code}"
            log.error("order_not_closed", order=order.number, why=why)
            raise ServiceAway(self._outside.name)

    async def deliver(self, order: Order) -> None:
        """WeChat Pay does not want to know."""

    async def _post(self, path: str, content: Mapping[str, Any]) -> Response:
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        headers = self._headers("POST", path, body) | {"Content-Type": "application/json"}
        # The same order with the same content gets the same answer again.
        return await self._outside.post(path, {}, body.encode(), headers, safe_to_repeat=True)

    def _headers(self, method: str, target: str, body: str) -> dict[str, str]:
        """Signed without the base URL's own path: behind a gateway that adds one, WeChat Pay
        sees and signs only its own."""
        authorization = sign_request(
            self._key,
            self._mchid,
            self._serial_no,
            method,
            target,
            body,
            now=int(self._now()),
            nonce=secrets.token_hex(16),
        )
        headers = {"Authorization": authorization, "Accept": "application/json"}
        for serial in self._keys:
            if serial.startswith("PUB_KEY_ID_"):
                headers["Wechatpay-Serial"] = serial  # asks for answers signed with this one
        return headers

    def _check(self, response: Response) -> None:
        """NotGenuine unless it is a success, signed by WeChat Pay."""
        if response.status != 200:
            code = _object(response.body).get("code", "")
            raise NotGenuine(f"HTTP {response.status} {code}")
        try:
            verify(response.headers, response.body, self._keys, self._now())
        except NotGenuine as doubt:
            raise NotGenuine(f"not verified: {doubt}") from None

    def _prepay_id(self, response: Response) -> str:
        if response.status == 429:
            raise TooMany()
        try:
            self._check(response)
            prepay_id = _object(response.body).get("prepay_id")
            if not isinstance(prepay_id, str) or not prepay_id:
                raise NotGenuine("nothing in it")
            return prepay_id
        except NotGenuine as doubt:
            log.error("no prepay_id", why=str(doubt))
            raise ServiceAway(self._outside.name) from None

    def _for_phone(self, app_id: str, prepay_id: str) -> dict[str, str]:
        stamp, nonce, package = (
            str(int(self._now())),
            secrets.token_hex(16),
            f"prepay_id={prepay_id}",
        )
        return {
            "timeStamp": stamp,
            "nonceStr": nonce,
            "package": package,
            "signType": "RSA",
            "paySign": sign(self._key, app_id, stamp, nonce, package),
        }


def _object(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
