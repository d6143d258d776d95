"""Message push: what a mini-program's WeChat reports by itself, proven and opened.

In plain mode the signature covers a token and a time, and nothing of the body: whoever has seen
one address may send another body to it. In safe mode it covers the sealed body. Formats: JSON.
"""

import base64
import hashlib
import hmac
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from Crypto.Cipher import AES
from Crypto.Util.Padding import unpad

FRESH_SECONDS = 300
PAD_BLOCK = 32
RANDOM_BYTES, LENGTH_BYTES = 16, 4


class NotProven(Exception):
    """Not from WeChat, or not for us; `str()` is the word for it."""


@dataclass(frozen=True, slots=True)
class Push:
    """`sealed`: the content itself is proven, not only that somebody knew a signature."""

    content: Mapping[str, Any]
    sealed: bool


class Pushes:
    """What is sent to one address; `aes_key` is "" in plain mode."""

    def __init__(self, token: str, aes_key: str, app_id: str) -> None:
        """`aes_key` is the EncodingAESKey of the console, 43 characters; ValueError otherwise."""
        self._token = token
        self._app_id = app_id
        self._key = base64.b64decode(aes_key + "=", validate=True) if aes_key else b""
        if self._key and len(self._key) != 32:
            raise ValueError("an EncodingAESKey has 43 characters")

    def echo(self, query: Mapping[str, str], now: float) -> str:
        """What the console's check of our address wants to hear; NotProven."""
        self._check(query, "signature", now)
        return query.get("echostr", "")

    def open(self, query: Mapping[str, str], body: bytes, now: float) -> Push:
        """NotProven. Where a key is set, what comes plain is refused.

        Source: WeChat, "message push": sha1 over the sorted token, timestamp, nonce (and, sealed,
        the Encrypt), AES-256-CBC with padding to blocks of 32.
        """
        content = _object(body)
        if not self._key:
            self._check(query, "signature", now)
            return Push(content, sealed=False)
        sealed = content.get("Encrypt")
        if query.get("encrypt_type") != "aes" or not isinstance(sealed, str):
            raise NotProven("plain")
        self._check(query, "msg_signature", now, sealed)
        return Push(_object(self._unsealed(sealed)), sealed=True)

    def _check(self, query: Mapping[str, str], name: str, now: float, *sealed: str) -> None:
        if not self._token:
            raise NotProven("no_key")  # anybody could sign with an empty one
        stamp = query.get("timestamp", "")
        signed = sorted([self._token, stamp, query.get("nonce", ""), *sealed])
        # sha1 is WeChat's choice.
        right = hashlib.sha1("".join(signed).encode(), usedforsecurity=False).hexdigest()
        if not hmac.compare_digest(right.encode(), query.get(name, "").encode()):
            raise NotProven("sign")
        # isdecimal would let other scripts' digits in, and int() more than digits
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
            raise NotProven("unreadable")
        if abs(now - int(stamp)) > FRESH_SECONDS:
            raise NotProven("stale")

    def _unsealed(self, sealed: str) -> bytes:
        """random(16) | length(4, big end first) | message | appid"""
        try:
            cipher = AES.new(self._key, AES.MODE_CBC, iv=self._key[:16])
            raw = base64.b64decode(sealed, validate=True)
            plain = unpad(cipher.decrypt(raw), PAD_BLOCK)[RANDOM_BYTES:]
            (length,) = struct.unpack_from(">I", plain)
        except (ValueError, struct.error):
            raise NotProven("unreadable") from None
        end = LENGTH_BYTES + length
        if plain[end:] != self._app_id.encode():
            raise NotProven("app")
        return plain[LENGTH_BYTES:end]


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
        # Refuses what no database could keep: halves of characters.
        json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise NotProven("unreadable") from None
    if not isinstance(content, dict):
        raise NotProven("unreadable")
    return content
