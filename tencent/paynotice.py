"""What WeChat Pay tells by itself: a payment, a refund; and what it answers to a query."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from Crypto.PublicKey.RSA import RsaKey

from money.recharge import Payment, Refund
from tencent.paysign import NotGenuine, decrypt_resource, verify

PROVIDER = "jsapi"
PAID = "SUCCESS"
EVER_PAID = (PAID, "REFUND")
"""REFUND from the first fen on that was given back, of which the refund's own report tells."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One notification; `id` is the same for every repetition of it.

    It has either news, or a word why it is `refused` or `ignored` (genuine, but it moves nothing).
    """

    id: str
    news: Payment | Refund | None = None
    refused: str = ""
    ignored: str = ""


class Notices:
    """Those for one merchant."""

    def __init__(self, mchid: str, keys: Mapping[str, RsaKey], apiv3_key: str) -> None:
        """`keys`: WeChat Pay's, by serial and PUB_KEY_ID, side by side while it moves over."""
        self._mchid = mchid
        self._keys = keys
        self._apiv3_key = apiv3_key

    def read(self, headers: Mapping[str, str], body: bytes, now: float) -> Heard:
        """`body` is the raw one, `now` unix seconds.

        Source: WeChat Pay v3, "payment notification" and "refund notification".
        """
        digest = hashlib.sha256(body).hexdigest()
        try:
            verify(headers, body, self._keys, now)
            number, news = _text(_object(body), "id"), self.again(body)
            return Heard(number, news, ignored="" if news else "unknown_event")
        except NotGenuine as doubt:
            return Heard(digest, refused=WORDS.get(str(doubt), "unreadable"))

    def again(self, body: bytes) -> Payment | Refund | None:
        """What one says that was proven when it came; None when it moves nothing. NotGenuine."""
        envelope = _object(body)
        kind, _, outcome = _text(envelope, "event_type").partition(".")
        if kind not in ("TRANSACTION", "REFUND") or outcome != "SUCCESS":
            return None
        resource = envelope.get("resource")
        sealed = resource if isinstance(resource, dict) else {}
        return self._news(kind, decrypt_resource(self._apiv3_key, sealed))

    def _news(self, kind: str, content: Mapping[str, Any]) -> Payment | Refund:
        if content.get("mchid") != self._mchid:
            raise NotGenuine("mchid")
        news = refund_of(content) if kind == "REFUND" else payment_of(content)
        if news is None:
            raise NotGenuine("not paid")
        return news


WORDS = {
    "no timestamp": "unreadable",
    "stale timestamp": "stale",
    "a probe of our verification": "probe",
    "unknown serial": "serial",
    "wrong signature": "sign",
    "not sealed with our key": "seal",
    "mchid": "merchant",
    "not paid": "not_paid",
}
"""The reasons of paysign.py as they stand in the inbox and on /metrics."""


def payment_of(content: Mapping[str, Any], states: Collection[str] = (PAID,)) -> Payment | None:
    """A transaction in one of these states; None when it is not. NotGenuine: unreadable."""
    if content.get("trade_state") not in states:
        return None
    amount, payer = content.get("amount"), content.get("payer")
    if not (isinstance(amount, dict) and isinstance(payer, dict)):
        raise NotGenuine("unreadable")
    return Payment(
        PROVIDER,
        _text(content, "out_trade_no"),
        _text(content, "transaction_id"),
        _number(amount, "total"),  # payer_total is less where a coupon has paid the rest
        openid=_text(payer, "openid"),
        app_id=_text(content, "appid"),
        currency=_text(amount, "currency"),
    )


def refund_of(content: Mapping[str, Any]) -> Refund | None:
    """A refund that has arrived; None otherwise. NotGenuine: unreadable."""
    if content.get("refund_status") != PAID:
        return None
    amount = content.get("amount")
    if not isinstance(amount, dict):
        raise NotGenuine("unreadable")
    order, refund = _text(content, "out_trade_no"), _text(content, "refund_id")
    return Refund(PROVIDER, order, refund, _number(amount, "refund"))


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise NotGenuine("unreadable") from None
    if not isinstance(content, dict):
        raise NotGenuine("unreadable")
    return content


def _text(content: Mapping[str, Any], name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 256:
        raise NotGenuine("unreadable")
    return value


def _number(content: Mapping[str, Any], name: str) -> int:
    value = content.get(name)
    if type(value) is not int or value < 0:
        raise NotGenuine("unreadable")
    return value
