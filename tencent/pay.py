"""Client of WeChat Pay for mini-programs (JSAPI, API v3): register, query and close orders."""

import json
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from time import time
from typing import Any
from urllib.parse import urlencode

import structlog

from core.clock import CHINA_TZ
from core.errors import RateLimited
from ledger.recharge import Order, Payment
from tencent.errors import NotVerified, Reason, ServiceUnavailable
from tencent.json_reader import object_or_none
from tencent.pay_notifications import EVER_PAID, PaymentNotifications, payment_of
from tencent.pay_signatures import read_key, sign, sign_request, verify
from tencent.service_client import ServiceClient, ServiceResponse

log = structlog.get_logger("tencent.pay")

JSAPI_PATH = "/v3/pay/transactions/jsapi"
ORDERS_PATH = "/v3/pay/transactions/out-trade-no"
NOTHING_TO_CLOSE_CODES = frozenset(
    {"ORDERPAID", "ORDER_CLOSED", "ORDER_NOT_EXIST", "RESOURCE_NOT_EXISTS"}
)
"""Error codes of a close request with nothing to close; a query shows the order's state."""


class JsapiClient:
    """Payment client of one merchant; `notifications` parses those that WeChat Pay sends.

    `keys` maps a serial or a PUB_KEY_ID_... to PEM text, public key or certificate. An unreadable
    PEM raises ValueError in the constructor, at startup rather than at the first payment.
    """

    def __init__(
        self,
        client: ServiceClient,
        mchid: str,
        serial_no: str,
        private_key_pem: str,
        keys: Mapping[str, str],
        apiv3_key: str,
        notify_url: str,
        *,
        now: Callable[[], float] = time,
    ) -> None:
        self._client = client
        self._mchid = mchid
        self._serial_no = serial_no
        self._key = read_key(private_key_pem)
        self._keys = {serial: read_key(pem) for serial, pem in keys.items()}
        self.notifications = PaymentNotifications(mchid, self._keys, apiv3_key)
        self._notify_url = notify_url
        self._now = now

    async def register(self, order: Order, expires_at: datetime) -> str:
        """Registers an order, which can be paid until `expires_at`; returns its prepay_id.

        RateLimited; ServiceUnavailable for any response without a verified prepay_id. Idempotent:
        WeChat Pay answers a repeated order with a prepay_id again, but only if all of it is equal.
        """
        transaction = {
            "appid": order.app_id,
            "mchid": self._mchid,
            "description": f"{order.gold} gold",
            "out_trade_no": order.number,
            "time_expire": expires_at.astimezone(CHINA_TZ).isoformat(timespec="seconds"),
            "notify_url": self._notify_url,
            "amount": {"total": order.fen, "currency": "CNY"},
            "payer": {"openid": order.openid},
        }
        response = await self._post(JSAPI_PATH, transaction)
        return self._prepay_id(response)

    def payment_call(self, order: Order, prepay_id: str, _session_key: str = "") -> dict[str, str]:
        """The parameters of wx.requestPayment, signed now.

        The client's later "success" is only a hint: the notification or the query credits the gold.
        """
        timestamp, nonce = str(int(self._now())), secrets.token_hex(16)
        package = f"prepay_id={prepay_id}"
        return {
            "timeStamp": timestamp,
            "nonceStr": nonce,
            "package": package,
            "signType": "RSA",
            "paySign": sign(self._key, order.app_id, timestamp, nonce, package),
        }

    async def query(self, order: Order) -> Payment | None:
        """The payment of an order, None if unpaid; ServiceUnavailable if that is unverified.

        Source: WeChat Pay v3, "query by out_trade_no"; 404 means that WeChat Pay never received
        the order.
        """
        path, query = f"{ORDERS_PATH}/{order.number}", {"mchid": self._mchid}
        headers = self._headers("GET", f"{path}?{urlencode(query)}", "")
        response = await self._client.get(path, query, headers, safe_to_repeat=True)
        answer = object_or_none(response.body) or {}
        if response.status == 404 and answer.get("code") == "ORDER_NOT_EXIST":
            return None
        try:
            self._check(response)
            if answer.get("mchid") != self._mchid or answer.get("out_trade_no") != order.number:
                raise NotVerified(Reason.UNREADABLE, "response is about another order")
            return payment_of(answer, EVER_PAID)
        except NotVerified as error:
            log.error("order_query_failed", order=order.number, why=str(error))
            raise ServiceUnavailable(self._client.service) from None

    async def close(self, order: Order) -> None:
        """Closes an order so that it can no longer be paid; idempotent. ServiceUnavailable.

        Query it once more afterwards: it may have been paid a moment before.
        """
        path = f"{ORDERS_PATH}/{order.number}/close"
        response = await self._post(path, {"mchid": self._mchid})
        if response.status == 204:
            return
        code = (object_or_none(response.body) or {}).get("code")
        if code not in NOTHING_TO_CLOSE_CODES:
            why = f"HTTP {response.status} {code}"
            log.error("order_close_failed", order=order.number, why=why)
            raise ServiceUnavailable(self._client.service)

    async def deliver(self, order: Order) -> None:
        """Does nothing: WeChat Pay takes no delivery confirmations."""

    async def _post(self, path: str, content: Mapping[str, Any]) -> ServiceResponse:
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        headers = self._headers("POST", path, body) | {"Content-Type": "application/json"}
        # Idempotent: the same order with the same content gets the same response.
        return await self._client.post(path, {}, body.encode(), headers, safe_to_repeat=True)

    def _headers(self, method: str, target: str, body: str) -> dict[str, str]:
        """Signs the target without the path of the base URL: WeChat Pay sees and verifies only its
        own path, even behind a gateway that adds a prefix."""
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
                headers["Wechatpay-Serial"] = serial  # requests responses signed with this key
        return headers

    def _check(self, response: ServiceResponse) -> None:
        """NotVerified unless the response is HTTP 200 and signed by WeChat Pay."""
        if response.status != 200:
            code = (object_or_none(response.body) or {}).get("code", "")
            raise NotVerified(Reason.UNREADABLE, f"HTTP {response.status} {code}")
        try:
            verify(response.headers, response.body, self._keys, self._now())
        except NotVerified as error:
            raise NotVerified(error.reason, f"not verified: {error}") from None

    def _prepay_id(self, response: ServiceResponse) -> str:
        if response.status == 429:
            raise RateLimited()
        try:
            self._check(response)
            prepay_id = (object_or_none(response.body) or {}).get("prepay_id")
            if not isinstance(prepay_id, str) or not prepay_id:
                raise NotVerified(Reason.UNREADABLE, "no prepay_id")
            return prepay_id
        except NotVerified as error:
            log.error("prepay_failed", why=str(error))
            raise ServiceUnavailable(self._client.service) from None
