"""The signatures of WeChat Pay v3: ours on requests, theirs on answers and notifications."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.PublicKey.RSA import RsaKey
from Crypto.Signature import pkcs1_15

SCHEME = "WECHATPAY2-SHA256-RSA2048"
FRESH_SECONDS = 300
PROBE = "WECHATPAY/SIGNTEST/"
TAG_BYTES = 16


class NotGenuine(Exception):
    """What came is not provably from WeChat Pay, or not for us; `str()` says why, no secrets."""


def read_key(pem: str) -> RsaKey:
    """A private or public key, or the public key of a certificate; ValueError otherwise."""
    try:
        return RSA.import_key(pem)
    except (ValueError, IndexError, TypeError):
        raise ValueError("not the PEM text of an RSA key") from None


def sign(key: RsaKey, *lines: str) -> str:
    """The signature over `lines`, each ended by a newline, as every v3 message is laid out."""
    return sign_text(key, "".join(line + "\n" for line in lines))


def sign_text(key: RsaKey, text: str) -> str:
    """base64 of RSA-PKCS1v15-SHA256; 0.8 ms for a key of 2048 bits, so it may stand in the loop."""
    return base64.b64encode(pkcs1_15.new(key).sign(SHA256.new(text.encode()))).decode()


def sign_request(
    key: RsaKey,
    mchid: str,
    serial_no: str,
    method: str,
    target: str,
    body: str,
    *,
    now: int,
    nonce: str,
) -> str:
    """The Authorization header of one request.

    `target` is path and query, `body` exactly the text that is sent ("" for a GET), `now` unix
    seconds. Source: WeChat Pay v3, "how to sign a request".
    """
    signature = sign(key, method, target, str(now), nonce, body)
    return (
        f'{SCHEME} mchid="{mchid}",nonce_str="{nonce}",signature="{signature}",'
        f'timestamp="{now}",serial_no="{serial_no}"'
    )


def verify(headers: Mapping[str, str], body: bytes, keys: Mapping[str, RsaKey], now: float) -> None:
    """Returns when WeChat Pay signed `body` within 5 minutes of `now`; NotGenuine otherwise.

    `keys` holds public keys (PUB_KEY_ID_...) and certificates (by serial) side by side, since
    WeChat Pay moves from one to the other gradually. `body` must be the raw bytes. A serial that
    we do not have is refused, never looked up: a stranger could make us do so at will.
    Source: WeChat Pay v3, "how to verify a signature".
    """
    given = {name.lower(): value for name, value in headers.items()}
    stamp = given.get("wechatpay-timestamp", "")
    # isdecimal would let other scripts' digits in, and int() more than digits
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise NotGenuine("no timestamp")
    if abs(now - int(stamp)) > FRESH_SECONDS:
        raise NotGenuine("stale timestamp")
    signature = given.get("wechatpay-signature", "")
    if signature.startswith(PROBE):
        raise NotGenuine("a probe of our verification")
    key = keys.get(given.get("wechatpay-serial", ""))
    if key is None:
        raise NotGenuine("unknown serial")
    head = f"{stamp}\n{given.get('wechatpay-nonce', '')}\n".encode()
    try:
        raw = base64.b64decode(signature, validate=True)
        pkcs1_15.new(key).verify(SHA256.new(head + body + b"\n"), raw)
    except ValueError:
        raise NotGenuine("wrong signature") from None


def decrypt(apiv3_key: str, sealed: Mapping[str, Any]) -> bytes:
    """The plain bytes of an AEAD_AES_256_GCM object; NotGenuine when it was not sealed with
    `apiv3_key` (32 ASCII characters).
    """
    try:
        if sealed.get("algorithm") != "AEAD_AES_256_GCM":
            raise ValueError("algorithm")
        raw = base64.b64decode(str(sealed["ciphertext"]), validate=True)
        cipher = AES.new(apiv3_key.encode(), AES.MODE_GCM, nonce=str(sealed["nonce"]).encode())
        cipher.update(str(sealed.get("associated_data") or "").encode())
        return cipher.decrypt_and_verify(raw[:-TAG_BYTES], raw[-TAG_BYTES:])
    except (ValueError, KeyError):
        raise NotGenuine("not sealed with our key") from None


def decrypt_resource(apiv3_key: str, resource: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object in a notification's `resource`; NotGenuine otherwise.

    The caller still has to compare mchid, appid and amount.total with the order.
    """
    try:
        opened = json.loads(decrypt(apiv3_key, resource))
    except ValueError:
        opened = None
    if not isinstance(opened, dict):
        raise NotGenuine("no JSON object inside")
    return opened
