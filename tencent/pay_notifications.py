"""Notifications of WeChat Pay (payments, refunds) and its answers to queries, verified and read."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from Crypto.PublicKey.RSA import RsaKey

from ledger.recharge import Payment, Refund
from tencent.errors import NotVerified, Reason
from tencent.json_reader import child, number, read_object, text
from tencent.pay_signatures import decrypt_resource, verify

PROVIDER = "jsapi"
PAID = "SUCCESS"
INT64 = 2**63
EVER_PAID = (PAID, "REFUND")
"""The state is REFUND from the first fen returned; the amount is in the refund's notification."""


@dataclass(frozen=True, slots=True)
class PaymentNotification:
    """One notification; `id` is the same for every repetition of it.

    Exactly one is set: the `event`, the reason why it is `refused`, or why it is `ignored`
    (genuine, but of no effect).
    """

    id: str
    event: Payment | Refund | None = None
    refused: str = ""
    ignored: str = ""


class PaymentNotifications:
    """Notifications for one merchant."""

    def __init__(self, mchid: str, keys: Mapping[str, RsaKey], apiv3_key: str) -> None:
        """`keys`: WeChat Pay's, by serial and PUB_KEY_ID, side by side during its migration."""
        self._mchid = mchid
        self._keys = keys
        self._apiv3_key = apiv3_key

    def read(self, headers: Mapping[str, str], body: bytes, now: float) -> PaymentNotification:
        """Verifies and parses the raw `body`; `now` in unix seconds.

        Source: WeChat Pay v3, "payment notification" and "refund notification".
        """
        digest = hashlib.sha256(body).hexdigest()
        try:
            verify(headers, body, self._keys, now)
            notification_id, event = text(read_object(body), "id"), self.read_verified(body)
        except NotVerified as error:
            return PaymentNotification(digest, refused=str(error.reason))
        return PaymentNotification(notification_id, event, ignored="" if event else "unknown_event")

    def read_verified(self, body: bytes) -> Payment | Refund | None:
        """Parses a notification that was verified on arrival; None when it has no effect.

        NotVerified when it cannot be decrypted or read.
        """
        envelope = read_object(body)
        kind, _, outcome = text(envelope, "event_type").partition(".")
        if kind not in ("TRANSACTION", "REFUND") or outcome != "SUCCESS":
            return None
        resource = envelope.get("resource")
        encrypted = resource if isinstance(resource, dict) else {}
        return self._event(kind, decrypt_resource(self._apiv3_key, encrypted))

    def _event(self, kind: str, content: Mapping[str, Any]) -> Payment | Refund:
        if content.get("mchid") != self._mchid:
            raise NotVerified(Reason.MERCHANT)
        event = refund_of(content) if kind == "REFUND" else payment_of(content)
        if event is None:
            raise NotVerified(Reason.NOT_PAID)
        return event


def payment_of(content: Mapping[str, Any], states: Collection[str] = (PAID,)) -> Payment | None:
    """The payment of a transaction, None in other states than `states`; Unreadable."""
    if content.get("trade_state") not in states:
        return None
    amount, payer = child(content, "amount"), child(content, "payer")
    return Payment(
        PROVIDER,
        text(content, "out_trade_no"),
        text(content, "transaction_id"),
        number(amount, "total", INT64),  # payer_total is less when a coupon paid the rest
        openid=text(payer, "openid"),
        app_id=text(content, "appid"),
        currency=text(amount, "currency"),
    )


def refund_of(content: Mapping[str, Any]) -> Refund | None:
    """A refund that has arrived, None otherwise; Unreadable."""
    if content.get("refund_status") != PAID:
        return None
    amount = child(content, "amount")
    order, refund = text(content, "out_trade_no"), text(content, "refund_id")
    own = str(content.get("out_refund_no") or "")
    return Refund(PROVIDER, order, refund, number(amount, "refund", INT64), own=own)
