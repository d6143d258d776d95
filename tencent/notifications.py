"""Notifications of WeChat Pay (payments, refunds, transfers) and its answers, verified and read."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from typing import Any, Generic

from Crypto.PublicKey.RSA import RsaKey

from ledger.recharge import Payment, Refund
from ledger.transfers import FINAL_STATES, Transfer, TransferState
from tencent.errors import NotVerified, Reason, Unreadable
from tencent.json_reader import Event, ParsedCallback, child, number, read_object, text
from tencent.merchant import decrypt_resource, verify

JSAPI, TRANSFER = "jsapi", "transfer"
"""Sources of notifications; the first is also the provider of its payments."""
FINISHED = "MCHTRANSFER.BILL.FINISHED"
PAID = "SUCCESS"
EVER_PAID = (PAID, "REFUND")
"""The state is REFUND from the first fen returned; the amount is in the refund's notification."""
INT64 = 2**63
PACKAGE_LENGTH, FAIL_REASON_LENGTH = 1024, 256


class MerchantNotifications(Generic[Event]):
    """Notifications for one merchant. The caller checks that number and amount are ours."""

    def __init__(
        self,
        mchid: str,
        keys: Mapping[str, RsaKey],
        apiv3_key: str,
        readers: Mapping[str, Callable[[Mapping[str, Any]], Event]],
    ) -> None:
        """Create a reader of notifications.

        `keys`: WeChat Pay's, by serial and PUB_KEY_ID, side by side during its migration.
        `readers`: those of the decrypted content, by event type; other types are ignored.
        """
        self._mchid = mchid
        self._keys = keys
        self._apiv3_key = apiv3_key
        self._readers = readers

    def read(self, headers: Mapping[str, str], body: bytes, now: float) -> ParsedCallback[Event]:
        """Verify and parse the raw `body`; `now` in unix seconds.

        Source: WeChat Pay v3, "payment notification", "refund notification" and "merchant transfer
        notification".
        """
        digest = hashlib.sha256(body).hexdigest()
        try:
            verify(headers, body, self._keys, now)
            notification_id, event = text(read_object(body), "id"), self.read_verified(body)
        except NotVerified as error:
            return ParsedCallback(digest, refused=str(error.reason))
        ignored = "" if event else "unknown_event"
        return ParsedCallback(notification_id, event, ignored=ignored)

    def read_verified(self, body: bytes) -> Event | None:
        """Parse a notification that was verified on arrival; return None if it has no effect.

        Raises NotVerified if it cannot be decrypted or read, is for another merchant or not final.
        """
        envelope = read_object(body)
        read = self._readers.get(text(envelope, "event_type"))
        if read is None:
            return None
        resource = envelope.get("resource")
        encrypted = resource if isinstance(resource, dict) else {}
        content = decrypt_resource(self._apiv3_key, encrypted)
        check_merchant(content, self._mchid)
        return read(content)


def check_merchant(content: Mapping[str, Any], mchid: str) -> None:
    """Check the merchant, which the documentation names both `mch_id` and `mchid`.

    Raises NotVerified for another merchant.
    """
    if content.get("mch_id", content.get("mchid")) != mchid:
        raise NotVerified(Reason.MERCHANT)


def payment_of(content: Mapping[str, Any], states: Collection[str] = (PAID,)) -> Payment | None:
    """Return the payment of a transaction, or None in other states than `states`.

    Raises Unreadable if a field is missing or malformed.
    """
    if content.get("trade_state") not in states:
        return None
    amount, payer = child(content, "amount"), child(content, "payer")
    return Payment(
        JSAPI,
        text(content, "out_trade_no"),
        text(content, "transaction_id"),
        number(amount, "total", INT64),  # payer_total is less when a coupon paid the rest
        openid=text(payer, "openid"),
        app_id=text(content, "appid"),
        currency=text(amount, "currency"),
    )


def _paid(content: Mapping[str, Any]) -> Payment:
    if payment := payment_of(content):
        return payment
    raise NotVerified(Reason.NOT_PAID)


def _refunded(content: Mapping[str, Any]) -> Refund:
    """Return a refund that has arrived. Raises NotVerified if it has not."""
    if content.get("refund_status") != PAID:
        raise NotVerified(Reason.NOT_PAID)
    amount = child(content, "amount")
    order, refund = text(content, "out_trade_no"), text(content, "refund_id")
    own = str(content.get("out_refund_no") or "")
    return Refund(JSAPI, order, refund, number(amount, "refund", INT64), own=own)


def transfer_of(content: Mapping[str, Any]) -> Transfer:
    """Return the transfer in an answer or notification.

    Raises Unreadable, also for an unknown state.
    """
    try:
        state = TransferState(text(content, "state"))
    except ValueError:
        raise Unreadable from None
    has_amount, has_user = "transfer_amount" in content, bool(content.get("openid"))
    package = _optional(content, "package_info")
    if len(package) > PACKAGE_LENGTH:
        raise Unreadable  # it is of no use if it is cut
    return Transfer(
        text(content, "out_bill_no"),
        state,
        text(content, "transfer_bill_no"),
        number(content, "transfer_amount", INT64) if has_amount else None,
        text(content, "openid") if has_user else None,
        package,
        _optional(content, "fail_reason")[:FAIL_REASON_LENGTH],  # else the end would be unreadable
        _optional(content, "appid") or None,
    )


def _finished(content: Mapping[str, Any]) -> Transfer:
    number(content, "transfer_amount", INT64)
    transfer = transfer_of(content)
    if transfer.state not in FINAL_STATES:
        raise NotVerified(Reason.NOT_FINAL)
    return transfer


def _optional(content: Mapping[str, Any], name: str) -> str:
    """Return a text, "" if it is absent. Raises Unreadable for any other value."""
    value = content.get(name) or ""
    if not isinstance(value, str):
        raise Unreadable
    return value


PAYMENTS: Mapping[str, Callable[[Mapping[str, Any]], Payment | Refund]] = {
    "TRANSACTION.SUCCESS": _paid,
    "REFUND.SUCCESS": _refunded,
}
TRANSFERS: Mapping[str, Callable[[Mapping[str, Any]], Transfer]] = {FINISHED: _finished}
