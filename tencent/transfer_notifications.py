"""Notifications of WeChat Pay about transfers to users, and its answers, verified and read."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from Crypto.PublicKey.RSA import RsaKey

from ledger.transfers import FINAL_STATES, Transfer, TransferState
from tencent.errors import NotVerified, Reason, Unreadable
from tencent.json_reader import number, read_object, text
from tencent.pay_signatures import decrypt_resource, verify

SOURCE = "transfer"
FINISHED = "MCHTRANSFER.BILL.FINISHED"
INT64 = 2**63
PACKAGE_LENGTH, FAIL_REASON_LENGTH = 1024, 256


@dataclass(frozen=True, slots=True)
class TransferNotification:
    """One notification; `id` is the same for every repetition of it.

    Exactly one is set: the `transfer`, in a final state, the reason why it is `refused`, or why it
    is `ignored` (genuine, but of no effect).
    """

    id: str
    transfer: Transfer | None = None
    refused: str = ""
    ignored: str = ""


class TransferNotifications:
    """Notifications for one merchant. Whether bill and amount are ours, the caller compares."""

    def __init__(self, mchid: str, keys: Mapping[str, RsaKey], apiv3_key: str) -> None:
        """`keys`: WeChat Pay's, by serial and PUB_KEY_ID, side by side during its migration."""
        self._mchid = mchid
        self._keys = keys
        self._apiv3_key = apiv3_key

    def read(self, headers: Mapping[str, str], body: bytes, now: float) -> TransferNotification:
        """Verifies and parses the raw `body`; `now` in unix seconds.

        Source: WeChat Pay v3, "merchant transfer notification".
        """
        digest = hashlib.sha256(body).hexdigest()
        try:
            verify(headers, body, self._keys, now)
            notification_id, transfer = text(read_object(body), "id"), self.read_verified(body)
        except NotVerified as error:
            return TransferNotification(digest, refused=str(error.reason))
        ignored = "" if transfer else "unknown_event"
        return TransferNotification(notification_id, transfer, ignored=ignored)

    def read_verified(self, body: bytes) -> Transfer | None:
        """Parses a notification that was verified on arrival; None when it has no effect.

        NotVerified when it cannot be decrypted or read, is for another merchant or not final.
        """
        envelope = read_object(body)
        if text(envelope, "event_type") != FINISHED:
            return None
        resource = envelope.get("resource")
        encrypted = resource if isinstance(resource, dict) else {}
        content = decrypt_resource(self._apiv3_key, encrypted)
        check_merchant(content, self._mchid)
        number(content, "transfer_amount", INT64)
        transfer = transfer_of(content)
        if transfer.state not in FINAL_STATES:
            raise NotVerified(Reason.NOT_FINAL)
        return transfer


def check_merchant(content: Mapping[str, Any], mchid: str) -> None:
    """NotVerified for another merchant; the documentation names the field in both ways."""
    if content.get("mch_id", content.get("mchid")) != mchid:
        raise NotVerified(Reason.MERCHANT)


def transfer_of(content: Mapping[str, Any]) -> Transfer:
    """The transfer in an answer or notification; Unreadable, also for an unknown state."""
    try:
        state = TransferState(text(content, "state"))
    except ValueError:
        raise Unreadable from None
    has_amount, has_user = "transfer_amount" in content, bool(content.get("openid"))
    return Transfer(
        text(content, "out_bill_no"),
        state,
        text(content, "transfer_bill_no"),
        number(content, "transfer_amount", INT64) if has_amount else None,
        text(content, "openid") if has_user else None,
        _package(content),
        _optional(content, "fail_reason")[:FAIL_REASON_LENGTH],  # else the end would be unreadable
    )


def _package(content: Mapping[str, Any]) -> str:
    """package_info, which is of no use if it is cut; Unreadable if it is too long."""
    package = _optional(content, "package_info")
    if len(package) > PACKAGE_LENGTH:
        raise Unreadable
    return package


def _optional(content: Mapping[str, Any], name: str) -> str:
    """A text, "" if it is absent; Unreadable."""
    value = content.get(name) or ""
    if not isinstance(value, str):
        raise Unreadable
    return value
