"""WeChat Pay from a mini-program (JSAPI, API v3): an order becomes something the phone can pay."""

import json
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from time import time
from typing import Any

import structlog

from rooms.refusals import ServiceAway, TooMany
from tencent.outside import Outside, Response
from tencent.paysign import NotGenuine, read_key, sign, sign_request, verify

log = structlog.get_logger("tencent.pay")

JSAPI_PATH = "/v3/pay/transactions/jsapi"
DESCRIPTION_CHARACTERS = 127
CHINA = timezone(timedelta(hours=8))


class JsapiPay:
    """Payments to one merchant.

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
        self._apiv3_key = apiv3_key
        self._notify_url = notify_url
        self._now = now

    async def prepare(
        self,
        order_no: str,
        app_id: str,
        openid: str,
        fen: int,
        description: str,
        expires: datetime,
    ) -> dict[str, str]:
        """Exactly what the phone passes to wx.requestPayment; the offer holds for 2 hours.

        `order_no` 6-32 of [0-9A-Za-z_-*|], `expires` with a time zone and at least a minute
        ahead. TooMany, or ServiceAway for every answer that is not a proven prepay_id.
        The phone's later "success" is a hint only: gold is for the notification or the query.
        """
        order = {
            "appid": app_id,
            "mchid": self._mchid,
            "description": description[:DESCRIPTION_CHARACTERS],
            "out_trade_no": order_no,
            "time_expire": expires.astimezone(CHINA).isoformat(timespec="seconds"),
            "notify_url": self._notify_url,
            "amount": {"total": fen, "currency": "CNY"},
            "payer": {"openid": openid},
        }
        response = await self._post(JSAPI_PATH, order)
        return self._for_phone(app_id, self._prepay_id(response))

    async def _post(self, path: str, content: Mapping[str, Any]) -> Response:
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        # Signed without the base URL's own path: behind a gateway that adds one, WeChat Pay
        # sees and signs only its own.
        authorization = sign_request(
            self._key,
            self._mchid,
            self._serial_no,
            "POST",
            path,
            body,
            now=int(self._now()),
            nonce=secrets.token_hex(16),
        )
        headers = {
            "Authorization": authorization,
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
        for serial in self._keys:
            if serial.startswith("PUB_KEY_ID_"):
                headers["Wechatpay-Serial"] = serial  # asks for answers signed with this one
        # The same order with the same content gets the same answer again.
        return await self._outside.post(path, {}, body.encode(), headers, safe_to_repeat=True)

    def _prepay_id(self, response: Response) -> str:
        answer = _object(response.body)
        if response.status == 429:
            raise TooMany()
        prepay_id = answer.get("prepay_id")
        why = ""
        if response.status != 200 or not isinstance(prepay_id, str) or not prepay_id:
            why = f"HTTP {response.status} {answer.get('code', '')}"
        else:
            try:
                verify(response.headers, response.body, self._keys, self._now())
            except NotGenuine as doubt:
                why = f"not verified: {doubt}"
        if why:
            log.error("no prepay_id", why=why)
            raise ServiceAway(self._outside.name)
        return str(prepay_id)

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
