"""Decrypts a WeChat user profile with the session key of its login."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from Crypto.Cipher import AES
from Crypto.Util.Padding import unpad

from tencent.errors import InvalidEncryptedData

BLOCK_BYTES = 16  # bytes: AES-128-CBC
MAX_AVATAR_URL_LENGTH = 512  # characters
# Since 2022-11 WeChat returns this placeholder name with gender 0 and a grey avatar.
PLACEHOLDER_NICKNAME = "微信用户"


@dataclass(frozen=True, slots=True)
class WechatProfile:
    """User profile as sent by the phone; "" and 0 mean "not set"."""

    openid: str | None
    nickname: str
    gender: int
    face_url: str


def decrypt(session_key: str, encrypted_data: str, iv: str, app_id: str) -> dict[str, Any]:
    """Decrypt `encrypted_data` to its JSON object; key, data and `iv` are base64.

    InvalidEncryptedData for every failure, since the phone's remedy is always a new wx.login.
    CBC does not authenticate: only the watermark's appid and the secrecy of the key do.
    Source: WeChat, signature and encryption of open data (AES-128-CBC, PKCS#7, UTF-8 JSON).
    """
    try:
        return _decrypt_json(_base64(session_key), _base64(encrypted_data), _base64(iv), app_id)
    except (ValueError, RecursionError):
        raise InvalidEncryptedData() from None


def parse_profile(data: Mapping[str, Any]) -> WechatProfile:
    """Parse decrypted data leniently: missing values and placeholders count as not set."""
    openid, gender = data.get("openId"), data.get("gender")
    nickname, face_url = _text(data.get("nickName")), _text(data.get("avatarUrl"))
    if nickname == PLACEHOLDER_NICKNAME:
        nickname = face_url = ""
    return WechatProfile(
        openid=openid if isinstance(openid, str) and openid else None,
        nickname=nickname,
        gender=gender if type(gender) is int and gender in (1, 2) else 0,
        face_url=face_url if _is_face_url(face_url) else "",
    )


def _decrypt_json(key: bytes, ciphertext: bytes, iv: bytes, app_id: str) -> dict[str, Any]:
    if (
        len(key) != BLOCK_BYTES
        or len(iv) != BLOCK_BYTES
        or not ciphertext
        or len(ciphertext) % BLOCK_BYTES
    ):
        raise ValueError("lengths")
    plaintext = unpad(AES.new(key, AES.MODE_CBC, iv).decrypt(ciphertext), BLOCK_BYTES)
    data = json.loads(plaintext.decode("utf-8", "strict"))
    watermark = data.get("watermark") if isinstance(data, dict) else None
    if not isinstance(watermark, dict) or watermark.get("appid") != app_id:
        raise ValueError("watermark")
    return dict(data)


def _base64(text: str) -> bytes:
    return base64.b64decode(_restored(text), validate=True)


def _restored(text: str) -> str:
    """Undo transport damage to base64: wrapped lines, and "+" turned into a space."""
    if "\n" in text or "\r" in text:
        return "".join(text.split())
    fixed = text.replace("\t", "").replace(" ", "+")
    # A leading or trailing space may be a former "+" or layout: the length decides.
    return fixed if len(fixed) % 4 == 0 else text.strip().replace("\t", "").replace(" ", "+")


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _is_face_url(url: str) -> bool:
    return url.startswith(("http://", "https://")) and len(url) <= MAX_AVATAR_URL_LENGTH
