"""The encrypted profile that a phone hands us, opened with the session key of its login."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from Crypto.Cipher import AES
from Crypto.Util.Padding import unpad

from rooms.refusals import BadEncryptedData

BLOCK = 16  # bytes: AES-128-CBC
FACE_LIMIT = 512  # characters
# Since 2022-11 WeChat answers with this name, gender 0 and a grey face.
ANONYMOUS = "微信用户"


@dataclass(frozen=True, slots=True)
class Profile:
    """What the phone says about its owner; "" and 0 stand for "not set"."""

    openid: str | None
    nickname: str
    gender: int
    face_url: str


def decrypt(session_key: str, encrypted_data: str, iv: str, app_id: str) -> dict[str, Any]:
    """The JSON object inside `encrypted_data`; all texts are base64.

    BadEncryptedData for whatever is wrong, since the phone's next step is always a new wx.login.
    CBC proves nothing: only the watermark's appid and the secrecy of the key do.
    Source: WeChat, signature and encryption of open data (AES-128-CBC, PKCS#7, UTF-8 JSON).
    """
    try:
        return _opened(_bytes(session_key), _bytes(encrypted_data), _bytes(iv), app_id)
    except (ValueError, RecursionError):
        raise BadEncryptedData() from None


def profile(data: Mapping[str, Any]) -> Profile:
    """Reads decrypted data leniently: what is missing or a placeholder is not set."""
    openid, gender = data.get("openId"), data.get("gender")
    nickname, face_url = _text(data.get("nickName")), _text(data.get("avatarUrl"))
    if nickname == ANONYMOUS:
        nickname = face_url = ""
    return Profile(
        openid=openid if isinstance(openid, str) and openid else None,
        nickname=nickname,
        gender=gender if type(gender) is int and gender in (1, 2) else 0,
        face_url=face_url if _is_face(face_url) else "",
    )


def _opened(key: bytes, sealed: bytes, iv: bytes, app_id: str) -> dict[str, Any]:
    if len(key) != BLOCK or len(iv) != BLOCK or not sealed or len(sealed) % BLOCK:
        raise ValueError("lengths")
    plain = unpad(AES.new(key, AES.MODE_CBC, iv).decrypt(sealed), BLOCK)
    data = json.loads(plain.decode("utf-8", "strict"))
    watermark = data.get("watermark") if isinstance(data, dict) else None
    if not isinstance(watermark, dict) or watermark.get("appid") != app_id:
        raise ValueError("watermark")
    return dict(data)


def _bytes(text: str) -> bytes:
    return base64.b64decode(_repaired(text), validate=True)


def _repaired(text: str) -> str:
    """Undoes what transports do to base64: wrapped lines, and "+" turned into a space."""
    if "\n" in text or "\r" in text:
        return "".join(text.split())
    filled = text.replace("\t", "").replace(" ", "+")
    # A space at an end may have been a "+" or mere layout: the length tells which.
    return filled if len(filled) % 4 == 0 else text.strip().replace("\t", "").replace(" ", "+")


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _is_face(url: str) -> bool:
    return url.startswith(("http://", "https://")) and len(url) <= FACE_LIMIT
