"""Message push: verifies and decrypts the events WeChat sends, and encrypts answers to them.

In plain mode the signature covers token, timestamp and nonce but not the body: a client that knows
one URL can send another body to it. In safe mode it covers the encrypted body. Format: JSON.
"""

import base64
import hashlib
import hmac
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from Crypto.Cipher import AES
from Crypto.Util.Padding import pad, unpad

from tencent.callbacks import RECORDING_FAILURES
from tencent.errors import NotVerified, Reason, Unreadable
from tencent.json_reader import digits, read_object

MAX_AGE_SECONDS = 300
PAD_BLOCK = 32
RANDOM_BYTES, LENGTH_BYTES = 16, 4

# Events that move no gold: questions, complaints, punishments, consent. Sources: WeChat,
# "virtual payment on iOS", "virtual payment callbacks", "penalty for violation", "user information:
# withdrawn authorization". The fields of MERCHANT_STATE are known from samples only.
REFUND_QUESTION = "xpay_subscribe_ios_refund_query_notify"
"""Apple asks through WeChat whether to refund an order, up to three times, for 3 s each. Despite
its name, it comes for ordinary orders, too."""
COIN_PAYMENT = "xpay_coin_pay_notify"
COMPLAINT = "xpay_complaint_notify"
MERCHANT_STATE = "xpay_wxpay_callback_notify"
PUNISHMENT = "wxa_punish_event"
CONSENT_REVOKED = "user_authorization_revoke"
ACCOUNT_CLOSED = "user_authorization_cancellation"
MEDIA_CHECKED = "wxa_media_check"
"""The result of a check of a picture; none of PLATFORM_EVENTS, as it concerns neither money nor a
duty."""
NOTICE_SENT = "subscribe_msg_sent_event"
NOTICE_EVENTS = ("subscribe_msg_popup_event", "subscribe_msg_change_event", NOTICE_SENT)
"""A user's choice in the app or in its settings, and the end of a message."""

PLATFORM_EVENT_IDENTITIES: Mapping[str, tuple[str, ...]] = {
    REFUND_QUESTION: ("Event", "pay_order_id", "refund_time"),
    COIN_PAYMENT: ("Event", "OutTradeNo"),
    COMPLAINT: ("Event", "ComplaintId"),
    MERCHANT_STATE: ("Event", "MerchantCode", "BusinessCode", "BusinessTime"),
    PUNISHMENT: ("Event", "punish_id"),
    CONSENT_REVOKED: ("Event", "CreateTime"),
    ACCOUNT_CLOSED: ("Event", "CreateTime"),
}
"""By event, the fields that are equal in every delivery of it; never the OpenID, since the ids of
messages outlive their users."""
DELETION_EVENTS = (CONSENT_REVOKED, ACCOUNT_CLOSED)
UNSTORED_INFO = frozenset({"1", "2", "3", "4", "5", "7", "8", "12", "13", "15", "16", "18"})
"""RevokeInfo of revocations for data that QLive does not store, such as 5, the microphone.
Source: WeChat, "changes of authorized user information"."""
PLATFORM_EVENTS = frozenset(PLATFORM_EVENT_IDENTITIES)
ATTENTION = PLATFORM_EVENTS - {REFUND_QUESTION, *DELETION_EVENTS} | {*RECORDING_FAILURES}
"""Events of WeChat and of CSS on which a person has to act."""


@dataclass(frozen=True, slots=True)
class MessagePush:
    """A push: its content, signed if it was `encrypted`, or why it is `refused`."""

    content: Mapping[str, Any] = field(default_factory=dict)
    encrypted: bool = False
    refused: str = ""


class MessagePushReader:
    """Reads the pushes sent to one URL; `aes_key` is "" in plain mode."""

    def __init__(self, token: str, aes_key: str, app_id: str) -> None:
        """Raise ValueError unless `aes_key` is an EncodingAESKey of 43 characters, or ""."""
        self._token = token
        self._app_id = app_id
        self._key = base64.b64decode(aes_key + "=", validate=True) if aes_key else b""
        if self._key and len(self._key) != 32:
            raise ValueError("an EncodingAESKey has 43 characters")

    def verify_url(self, query: Mapping[str, str], now: float) -> str | None:
        """Return the answer to the console's check of our URL, None if the check is not genuine."""
        try:
            self._check(query, "signature", now)
        except NotVerified:
            return None
        return query.get("echostr", "")

    def open(self, query: Mapping[str, str], body: bytes, now: float) -> MessagePush:
        """Verify and decrypt a push; `now` in unix seconds.

        With a key configured, plain pushes are refused.
        Source: WeChat, "message push": SHA-1 over the sorted token, timestamp, nonce (and Encrypt
        in safe mode), AES-256-CBC with padding to blocks of 32.
        """
        try:
            content = read_object(body, storable=True)
            if not self._key:
                self._check(query, "signature", now)
                return MessagePush(content)
            ciphertext = content.get("Encrypt")
            if query.get("encrypt_type") != "aes" or not isinstance(ciphertext, str):
                raise NotVerified(Reason.PLAIN)
            self._check(query, "msg_signature", now, ciphertext)
            content = read_object(self._decrypt(ciphertext), storable=True)
            return MessagePush(content, encrypted=True)
        except NotVerified as error:
            return MessagePush(refused=str(error.reason))

    def encrypt(self, answer: str, now: float) -> dict[str, str | int] | None:
        """Encrypt an answer as WeChat requires it in safe mode; return None in plain mode.

        The signature covers token, timestamp, nonce and ciphertext. Only answers with content have
        to be encrypted, not acknowledgements.
        """
        if not self._key:
            return None
        random, message = secrets.token_bytes(RANDOM_BYTES), answer.encode()
        plain = random + struct.pack(">I", len(message)) + message + self._app_id.encode()
        cipher = AES.new(self._key, AES.MODE_CBC, iv=self._key[:16])
        ciphertext = base64.b64encode(cipher.encrypt(pad(plain, PAD_BLOCK))).decode()
        timestamp, nonce = int(now), secrets.token_hex(8)
        return {
            "Encrypt": ciphertext,
            "MsgSignature": self.sign(str(timestamp), nonce, ciphertext),
            "TimeStamp": timestamp,
            "Nonce": nonce,
        }

    def _check(self, query: Mapping[str, str], name: str, now: float, *ciphertext: str) -> None:
        if not self._token:
            raise NotVerified(Reason.NO_KEY)  # an empty token can be forged
        timestamp = query.get("timestamp", "")
        expected = self.sign(timestamp, query.get("nonce", ""), *ciphertext)
        if not hmac.compare_digest(expected.encode(), query.get(name, "").encode()):
            raise NotVerified(Reason.SIGN)
        if abs(now - digits(timestamp, 12)) > MAX_AGE_SECONDS:
            raise NotVerified(Reason.STALE)

    def sign(self, *parts: str) -> str:
        """Return the signature in hex over token and parts; SHA-1 is prescribed by WeChat."""
        text = "".join(sorted([self._token, *parts]))
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def _decrypt(self, ciphertext: str) -> bytes:
        """Return the message of random(16) | length(4, big-endian) | message | appid."""
        try:
            cipher = AES.new(self._key, AES.MODE_CBC, iv=self._key[:16])
            raw = base64.b64decode(ciphertext, validate=True)
            plain = unpad(cipher.decrypt(raw), PAD_BLOCK)[RANDOM_BYTES:]
            (length,) = struct.unpack_from(">I", plain)
        except (ValueError, struct.error):
            raise Unreadable from None
        end = LENGTH_BYTES + length
        if plain[end:] != self._app_id.encode():
            raise NotVerified(Reason.APP)
        return plain[LENGTH_BYTES:end]


def event_name(content: Mapping[str, Any]) -> str:
    """Return the event if it is one of PLATFORM_EVENTS, or ""."""
    name = str(content.get("Event"))
    return name if name in PLATFORM_EVENTS else ""


def is_deletion(content: Mapping[str, Any]) -> bool:
    """Return whether consent was withdrawn or the account closed: the user's data are deleted."""
    event, info = content.get("Event"), str(content.get("RevokeInfo"))
    return event == ACCOUNT_CLOSED or (event == CONSENT_REVOKED and info not in UNSTORED_INFO)
