"""WeChat Pay v3 cryptography: signs requests, verifies responses and notifications."""

import base64
from collections.abc import Mapping
from typing import Any

from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.PublicKey.RSA import RsaKey
from Crypto.Signature import pkcs1_15

from tencent.errors import NotVerified, Reason
from tencent.json_reader import digits, read_object

SCHEME = "WECHATPAY2-SHA256-RSA2048"
MAX_AGE_SECONDS = 300
PROBE_SIGNATURE_PREFIX = "WECHATPAY/SIGNTEST/"
TAG_BYTES = 16


def read_key(pem: str) -> RsaKey:
    """Parse a private key, a public key or a certificate's public key; ValueError otherwise."""
    try:
        return RSA.import_key(pem)
    except (ValueError, IndexError, TypeError):
        raise ValueError("not the PEM text of an RSA key") from None


def sign(key: RsaKey, *lines: str) -> str:
    """RSA-PKCS1v15-SHA256 in base64 of `lines`, each terminated by a newline.

    Takes 0.8 ms with a 2048-bit key, so the event loop may run it. Source: WeChat Pay v3, "how to
    sign a request".
    """
    text = "".join(line + "\n" for line in lines)
    return base64.b64encode(pkcs1_15.new(key).sign(SHA256.new(text.encode()))).decode()


def is_signed(headers: Mapping[str, str]) -> bool:
    """Whether a message has a signature, right or wrong."""
    return any(name.lower() == "wechatpay-signature" for name in headers)


def verify(headers: Mapping[str, str], body: bytes, keys: Mapping[str, RsaKey], now: float) -> None:
    """Verify that WeChat Pay signed `body` within 5 minutes of `now`; NotVerified otherwise.

    `keys` holds public keys (PUB_KEY_ID_...) and certificates (by serial) side by side, since
    WeChat Pay migrates from one to the other gradually. `body` must be the raw bytes. An unknown
    serial is rejected, never fetched: otherwise any sender could trigger requests at will.
    Source: WeChat Pay v3, "how to verify a signature".
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
    try:
        raw = base64.b64decode(signature, validate=True)
        pkcs1_15.new(key).verify(SHA256.new(prefix + body + b"\n"), raw)
    except ValueError:
        raise NotVerified(Reason.SIGN, "wrong signature") from None


def decrypt_resource(apiv3_key: str, resource: Mapping[str, Any]) -> dict[str, Any]:
    """Decrypt a notification's `resource` (AEAD_AES_256_GCM) to its JSON object.

    `apiv3_key`: 32 ASCII characters. NotVerified when it was not encrypted with that key. The
    caller must still compare mchid, appid and amount.total with the order.
    """
    try:
        if resource.get("algorithm") != "AEAD_AES_256_GCM":
            raise ValueError("algorithm")
        raw = base64.b64decode(str(resource["ciphertext"]), validate=True)
        cipher = AES.new(apiv3_key.encode(), AES.MODE_GCM, nonce=str(resource["nonce"]).encode())
        cipher.update(str(resource.get("associated_data") or "").encode())
        text = cipher.decrypt_and_verify(raw[:-TAG_BYTES], raw[-TAG_BYTES:])
    except (ValueError, KeyError):
        raise NotVerified(Reason.DECRYPTION, "not encrypted with our key") from None
    return read_object(text)
