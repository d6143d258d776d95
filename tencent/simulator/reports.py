"""How a payment is reported to us: signed and sealed as the real ones, or not quite."""

import base64
import copy
import hashlib
import json
import secrets
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from Crypto.Cipher import AES
from Crypto.Util.Padding import pad

from tencent.simulator.pay import CHINA

HOUR = 3600
UNPROVEN = ("forged", "unsigned", "probe", "stale")
WRONG = ("wrong_amount", "wrong_payer", "wrong_app")
"""Genuine reports of something else than the order says."""


@dataclass(frozen=True, slots=True)
class Report:
    address: str
    body: bytes
    headers: Mapping[str, str]


class Notices:
    """Those of WeChat Pay, API v3; `sign` makes the headers for a body at unix seconds."""

    def __init__(
        self,
        apiv3_key: str,
        sign: Callable[[bytes, float], dict[str, str]],
        now: Callable[[], float],
    ) -> None:
        self._apiv3_key = apiv3_key
        self._sign = sign
        self._now = now

    def report(self, address: str, event: str, content: Mapping[str, Any], habit: str) -> Report:
        """`event` as "TRANSACTION.SUCCESS"."""
        original = event.partition(".")[0].lower()
        created = datetime.fromtimestamp(self._now(), CHINA).isoformat(timespec="seconds")
        envelope = {
            "id": f"EV-{secrets.token_hex(10)}",
            "create_time": created,
            "resource_type": "encrypt-resource",
            "event_type": event,
            "summary": event,
            "resource": self._sealed(original, _changed_notice(content, habit)),
        }
        body = json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()
        headers = self._sign(body, self._now() - (HOUR if habit == "stale" else 0))
        if habit == "unsigned":
            headers["Wechatpay-Signature"] = ""
        elif habit == "probe":
            headers["Wechatpay-Signature"] = f"WECHATPAY/SIGNTEST/{secrets.token_hex(16)}"
        elif habit == "forged":
            body = body.replace(b'"EV-', b'"EV_')
        return Report(address, body, {**headers, "Content-Type": "application/json"})

    def _sealed(self, original: str, content: Mapping[str, Any]) -> dict[str, str]:
        nonce = secrets.token_hex(6)
        cipher = AES.new(self._apiv3_key.encode(), AES.MODE_GCM, nonce=nonce.encode())
        cipher.update(original.encode())
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        sealed, tag = cipher.encrypt_and_digest(text)
        return {
            "original_type": original,
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": base64.b64encode(sealed + tag).decode(),
            "associated_data": original,
            "nonce": nonce,
        }


class Pushes:
    """Those of a mini-program's message push; `aes_key` is "" in plain mode."""

    def __init__(self, token: str, aes_key: str, app_id: str, now: Callable[[], float]) -> None:
        self._token = token
        self._key = base64.b64decode(aes_key + "=") if aes_key else b""
        self._app_id = app_id
        self._now = now

    def report(self, address: str, content: Mapping[str, Any], habit: str) -> Report:
        text = json.dumps(_changed_push(content, habit), ensure_ascii=False)
        stamp = str(int(self._now()) - (HOUR if habit == "stale" else 0))
        nonce = str(secrets.randbelow(10**9))
        query = {"timestamp": stamp, "nonce": nonce, "signature": self._signed(stamp, nonce)}
        if self._key:
            sealed = self._sealed(text)
            query |= {"encrypt_type": "aes", "msg_signature": self._signed(stamp, nonce, sealed)}
            text = json.dumps({"ToUserName": content.get("ToUserName"), "Encrypt": sealed})
        if habit in UNPROVEN and habit != "stale":
            query |= {name: "" for name in query if "signature" in name}
        headers = {"Content-Type": "application/json"}
        return Report(f"{address}?{urlencode(query)}", text.encode(), headers)

    def _signed(self, *parts: str) -> str:
        text = "".join(sorted([self._token, *parts]))
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def _sealed(self, text: str) -> str:
        message = text.encode()
        plain = secrets.token_bytes(16) + struct.pack(">I", len(message)) + message
        cipher = AES.new(self._key, AES.MODE_CBC, iv=self._key[:16])
        return base64.b64encode(cipher.encrypt(pad(plain + self._app_id.encode(), 32))).decode()


def _changed_notice(content: Mapping[str, Any], habit: str) -> dict[str, Any]:
    changed: dict[str, Any] = copy.deepcopy(dict(content))
    match habit:
        case "wrong_amount":
            changed["amount"]["total"] += 1
        case "wrong_payer":
            changed["payer"]["openid"] = "oSomebodyElse"
        case "wrong_app":
            changed["appid"] = "wx0000000000000000"
    return changed


def _changed_push(content: Mapping[str, Any], habit: str) -> dict[str, Any]:
    changed: dict[str, Any] = copy.deepcopy(dict(content))
    match habit:
        case "wrong_amount":
            changed["GoodsInfo"]["OrigPrice"] += 1
        case "wrong_payer":
            changed["OpenId"] = "oSomebodyElse"
        case "wrong_app":
            changed["GoodsInfo"]["ProductId"] = "somebody_elses"
    return changed
