"""WeChat Pay (API v3) for one merchant: signed requests, answers and notifications."""

import base64
import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import time
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import urlencode

import structlog
from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.PublicKey.RSA import RsaKey
from Crypto.Signature import pkcs1_15

from config.sections import PaySettings
from core.errors import RateLimited
from tencent.errors import (
    MerchantNotFound,
    MerchantRefused,
    NotVerified,
    Reason,
    ServiceUnavailable,
)
from tencent.json_reader import Event, ParsedCallback, digits, read_object, text
from tencent.service_client import EMPTY, ServiceClient, ServiceResponse

log = structlog.get_logger("tencent.merchant")

PUBLIC_KEY_PREFIX = "PUB_KEY_ID_"
SCHEME = "WECHATPAY2-SHA256-RSA2048"
MAX_AGE_SECONDS = 300
PROBE_SIGNATURE_PREFIX = "WECHATPAY/SIGNTEST/"
TAG_BYTES = 16

Found = TypeVar("Found")


class MerchantClient:
    """Common parts of all WeChat Pay calls of one merchant.

    An unreadable PEM text, or none of WeChat Pay's keys, raises ValueError at startup.
    """

    def __init__(
        self, client: ServiceClient, pay: PaySettings, *, now: Callable[[], float] = time
    ) -> None:
        self.service = client.service
        self.mchid, self.apiv3_key = pay.mchid, pay.apiv3_key
        self._key = read_key(pay.private_key)
        pems = {pay.public_key_id: pay.public_key, **pay.platform_keys}
        self.keys = {serial: read_key(pem) for serial, pem in pems.items() if pem}
        """WeChat Pay's public keys, by PUB_KEY_ID, and its certificates', by serial."""
        if not self.keys:
            raise ValueError("set pay.public_key or pay.platform_keys to WeChat Pay's key")
        public = [serial for serial in self.keys if serial.startswith(PUBLIC_KEY_PREFIX)]
        self.encryption_serial = next(iter(public or self.keys))
        """Serial of the key that encrypts fields for WeChat Pay: the public key if there is one."""
        # It signs the answers to requests that name it.
        self._answer_serial = {"Wechatpay-Serial": public[0]} if public else {}
        self.now = now
        self._client = client
        self._serial_no = pay.serial_no

    def sign(self, *lines: str) -> str:
        """Sign lines with the merchant's key."""
        return sign(self._key, *lines)

    async def request(
        self,
        method: Literal["GET", "POST"],
        path: str,
        query: Mapping[str, str] = EMPTY,
        body: str = "",
        headers: Mapping[str, str] = EMPTY,
        *,
        safe_to_repeat: bool = True,
    ) -> ServiceResponse:
        """Return any answer below HTTP 500, not verified; `body` is sent as it is.

        The path of the base URL is not signed: WeChat Pay sees and verifies only its own path, even
        behind a gateway that adds a prefix. Raises ServiceUnavailable if there is no answer.
        """
        target = path + ("?" + urlencode(query) if query else "")
        timestamp, nonce = str(int(self.now())), secrets.token_hex(16)
        signature = self.sign(method, target, timestamp, nonce, body)
        authorization = (
            f'{SCHEME} mchid="{self.mchid}",nonce_str="{nonce}",signature="{signature}",'
            f'timestamp="{timestamp}",serial_no="{self._serial_no}"'
        )
        signed = {"Authorization": authorization, "Accept": "application/json"}
        headers = {**signed, **self._answer_serial, **headers}
        return await self._client.request(
            method, path, query, body, headers, safe_to_repeat=safe_to_repeat
        )

    async def call(
        self,
        name: str,
        number: str,
        read: Callable[[Mapping[str, Any]], Found],
        method: Literal["GET", "POST"],
        path: str,
        **request: Any,
    ) -> Found:
        """Return what `read` finds in the signed answer about `number`; `name` is for the log.

        Raises MerchantRefused for a refusal with a code, MerchantNotFound if that is HTTP 404,
        RateLimited if the request came too fast, and ServiceUnavailable for anything unclear.
        """
        response = await self.request(method, path, **request)
        with self.reading(name, number):
            self.check_refusal(response)
            return read(self.check(response))

    def check(self, response: ServiceResponse) -> dict[str, Any]:
        """Return the content of an answer that is HTTP 200 and signed, or raise NotVerified."""
        if response.status != 200:
            raise NotVerified(Reason.UNREADABLE, f"HTTP {response.status} {code_of(response)}")
        verify(response.headers, response.body, self.keys, self.now())
        return response.content

    def check_refusal(self, response: ServiceResponse) -> None:
        """Raise MerchantRefused or RateLimited if this is a refusal.

        WeChat Pay promises a signature on successes only, so that a refusal without one counts as
        well: it never says that money was moved. Raises NotVerified if the signature is wrong.
        """
        if response.status == 429:
            raise RateLimited(retry_after=1)
        code = code_of(response) if 400 <= response.status < 500 else ""
        if not code:
            return
        try:
            if any(name.lower() == "wechatpay-signature" for name in response.headers):
                verify(response.headers, response.body, self.keys, self.now())
        except NotVerified as error:
            why = f"HTTP {response.status} {code}, {error}"  # for the log: the code may be true
            raise NotVerified(error.reason, why) from None
        raise (MerchantNotFound if response.status == 404 else MerchantRefused)(code)

    @contextmanager
    def reading(self, call: str, number: str) -> Iterator[None]:
        """Log an answer about `number` that cannot be verified, and raise ServiceUnavailable."""
        try:
            yield
        except NotVerified as error:
            log.error("merchant_answer_unclear", call=call, number=number, why=str(error))
            raise ServiceUnavailable(self.service) from None


@dataclass
class MerchantNotifications(Generic[Event]):
    """Notifications for one merchant. The caller checks that number and amount are ours."""

    _merchant: MerchantClient
    _readers: Mapping[str, Callable[[Mapping[str, Any]], Event]]
    """Readers of the decrypted content by event type; other types are ignored."""

    def read(self, headers: Mapping[str, str], body: bytes, now: float) -> ParsedCallback[Event]:
        """Verify and parse the raw `body`; `now` in unix seconds.

        Source: WeChat Pay v3, "payment", "refund" and "merchant transfer notification".
        """
        digest, kind = hashlib.sha256(body).hexdigest(), None
        try:
            verify(headers, body, self._merchant.keys, now)
            kind = ""
            envelope = read_object(body)
            kind = str(envelope.get("event_type"))
            notification_id, event = text(envelope, "id"), self.read_verified(body)
        except NotVerified as error:
            return ParsedCallback(digest, refused=str(error.reason), kind=kind)
        ignored = "" if event else "unknown_event"
        return ParsedCallback(notification_id, event, ignored=ignored, kind=kind)

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
        content = decrypt_resource(self._merchant.apiv3_key, encrypted)
        check_merchant(content, self._merchant.mchid)
        return read(content)


def check_merchant(content: Mapping[str, Any], mchid: str) -> None:
    """Raise NotVerified for another merchant, documented both as `mch_id` and as `mchid`."""
    if content.get("mch_id", content.get("mchid")) != mchid:
        raise NotVerified(Reason.MERCHANT)


def code_of(response: ServiceResponse) -> str:
    """Return the error code in an answer, "" if it has none."""
    return str(response.content.get("code", ""))


def read_key(pem: str) -> RsaKey:
    """Parse a private key, a public key or a certificate's. Raises ValueError for other texts."""
    try:
        return RSA.import_key(pem)
    except (ValueError, IndexError, TypeError):
        raise ValueError("not the PEM text of an RSA key") from None


def sign(key: RsaKey, *lines: str) -> str:
    """Sign `lines`, each terminated by a newline, with RSA-PKCS1v15-SHA256 in base64.

    Takes 0.8 ms with a 2048-bit key, so the event loop may run it. Source: WeChat Pay v3, "how to
    sign a request".
    """
    signed = "".join(line + "\n" for line in lines).encode()
    return base64.b64encode(pkcs1_15.new(key).sign(SHA256.new(signed))).decode()


def verify(headers: Mapping[str, str], body: bytes, keys: Mapping[str, RsaKey], now: float) -> None:
    """Verify that WeChat Pay signed `body` within 5 minutes of `now`.

    `keys` holds public keys (PUB_KEY_ID_...) and certificates (by serial) side by side, since
    WeChat Pay migrates from one to the other gradually. `body` must be the raw bytes. An unknown
    serial is rejected, never fetched: otherwise any sender could trigger requests at will.
    Source: WeChat Pay v3, "how to verify a signature". Raises NotVerified if that fails.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    timestamp = lowered.get("wechatpay-timestamp", "")
    if abs(now - digits(timestamp, 12)) > MAX_AGE_SECONDS:
        raise NotVerified(Reason.STALE)
    signature = lowered.get("wechatpay-signature", "")
    if signature.startswith(PROBE_SIGNATURE_PREFIX):
        raise NotVerified(Reason.PROBE)
    key = keys.get(lowered.get("wechatpay-serial", ""))
    if key is None:
        raise NotVerified(Reason.SERIAL, "unknown serial")
    prefix = f"{timestamp}\n{lowered.get('wechatpay-nonce', '')}\n".encode()
    if not is_signed(key, prefix + body + b"\n", signature):
        raise NotVerified(Reason.SIGN, "wrong signature")


def is_signed(key: RsaKey, content: bytes, signature: str) -> bool:
    """Return whether `signature` is that of `content` by this key or its private one."""
    try:
        raw = base64.b64decode(signature, validate=True)
        pkcs1_15.new(key).verify(SHA256.new(content), raw)
    except ValueError:
        return False
    return True


def decrypt_resource(apiv3_key: str, resource: Mapping[str, Any]) -> dict[str, Any]:
    """Decrypt a notification's `resource` (AEAD_AES_256_GCM) to its JSON object.

    `apiv3_key`: 32 ASCII characters. The caller must still compare mchid, appid and amount.total
    with the order. Raises NotVerified if it was not encrypted with that key.
    """
    return read_object(decrypt(apiv3_key, resource))


def decrypt(apiv3_key: str, resource: Mapping[str, Any]) -> bytes:
    """Decrypt a `resource`, or the `encrypt_certificate` of a platform certificate.

    Raises NotVerified if it was not encrypted with that key.
    """
    try:
        if resource.get("algorithm") != "AEAD_AES_256_GCM":
            raise ValueError("algorithm")
        raw = base64.b64decode(str(resource["ciphertext"]), validate=True)
        cipher = AES.new(apiv3_key.encode(), AES.MODE_GCM, nonce=str(resource["nonce"]).encode())
        cipher.update(str(resource.get("associated_data") or "").encode())
        return cipher.decrypt_and_verify(raw[:-TAG_BYTES], raw[-TAG_BYTES:])
    except (ValueError, KeyError):
        raise NotVerified(Reason.DECRYPTION, "not encrypted with our key") from None
