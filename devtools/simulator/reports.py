"""Simulated notifications, signed and encrypted correctly or deliberately faulty."""

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
from Crypto.Util.Padding import pad, unpad
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from core.clock import CHINA_TZ

HOUR = 3600
UNVERIFIABLE = ("forged", "unsigned", "probe", "stale")
MISMATCHED = ("wrong_amount", "wrong_payer", "wrong_app")
"""Authentic notifications that do not match the order."""


@dataclass(frozen=True, slots=True)
class SimulatedNotification:
    address: str
    body: bytes
    headers: Mapping[str, str]


class SimulatedNotifications:
    """WeChat Pay v3 notifications; `sign` builds the headers for a body and Unix seconds."""

    def __init__(
        self,
        apiv3_key: str,
        sign: Callable[[bytes, float], dict[str, str]],
        now: Callable[[], float],
    ) -> None:
        self._apiv3_key = apiv3_key
        self._sign = sign
        self._now = now

    def report(
        self,
        address: str,
        event: str,
        content: Mapping[str, Any],
        mode: str,
        *,
        original: str = "transaction",
    ) -> SimulatedNotification:
        """Build a notification; `event` is e.g. "TRANSACTION.SUCCESS", `original` the content's
        type. Only a transaction is altered as the mode says."""
        altered = _alter_notification(content, mode) if original == "transaction" else content
        created = datetime.fromtimestamp(self._now(), CHINA_TZ).isoformat(timespec="seconds")
        envelope = {
            "id": f"EV-{secrets.token_hex(10)}",
            "create_time": created,
            "resource_type": "encrypt-resource",
            "event_type": event,
            "summary": event,
            "resource": self._encrypt(original, altered),
        }
        body = json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()
        headers = self._sign(body, self._now() - (HOUR if mode == "stale" else 0))
        if mode == "unsigned":
            headers["Wechatpay-Signature"] = ""
        elif mode == "probe":
            headers["Wechatpay-Signature"] = f"WECHATPAY/SIGNTEST/{secrets.token_hex(16)}"
        elif mode == "forged":
            body = body.replace(b'"EV-', b'"EV_')
        return SimulatedNotification(address, body, {**headers, "Content-Type": "application/json"})

    def _encrypt(self, original: str, content: Mapping[str, Any]) -> dict[str, str]:
        nonce = secrets.token_hex(6)
        cipher = AES.new(self._apiv3_key.encode(), AES.MODE_GCM, nonce=nonce.encode())
        cipher.update(original.encode())
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        ciphertext, tag = cipher.encrypt_and_digest(text)
        return {
            "original_type": original,
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": base64.b64encode(ciphertext + tag).decode(),
            "associated_data": original,
            "nonce": nonce,
        }


class SimulatedImCallbacks:
    """Callbacks of Tencent IM; `address` receives them."""

    def __init__(self, address: str, token: str, sdk_app_id: int, now: Callable[[], float]) -> None:
        self._address = address
        self._token = token
        self._sdk_app_id = sdk_app_id
        self._now = now

    def group_destroyed(self, group_id: str, group: Mapping[str, Any]) -> SimulatedNotification:
        """`group` is the create_group request."""
        command = "Group.CallbackAfterGroupDestroyed"
        content = {
            "CallbackCommand": command,
            "GroupId": group_id,
            "Type": group.get("Type", ""),
            "Owner_Account": group.get("Owner_Account", ""),
            "Name": group.get("Name", ""),
            "MemberList": [],
            "EventTime": int(self._now() * 1000),
        }
        timestamp = str(int(self._now()))
        query = {
            "SdkAppid": str(self._sdk_app_id),
            "CallbackCommand": command,
            "contenttype": "json",
            "OptPlatform": "RESTAPI",
            "RequestTime": timestamp,
            "Sign": hashlib.sha256(f"{self._token}{timestamp}".encode()).hexdigest(),
        }
        headers = {"Content-Type": "application/json"}
        body = json.dumps(content, ensure_ascii=False).encode()
        return SimulatedNotification(f"{self._address}?{urlencode(query)}", body, headers)


class SimulatedPushes:
    """Message pushes of a mini-program; `aes_key` is "" in plain mode."""

    def __init__(self, token: str, aes_key: str, app_id: str, now: Callable[[], float]) -> None:
        self._token = token
        self._key = base64.b64decode(aes_key + "=") if aes_key else b""
        self._app_id = app_id
        self._now = now

    def report(self, address: str, content: Mapping[str, Any], mode: str) -> SimulatedNotification:
        text = json.dumps(_alter_push(content, mode), ensure_ascii=False)
        timestamp = str(int(self._now()) - (HOUR if mode == "stale" else 0))
        nonce = str(secrets.randbelow(10**9))
        token = "a guess" if mode == "forged" else self._token
        query = {"timestamp": timestamp, "nonce": nonce}
        query["signature"] = _push_signature(token, timestamp, nonce)
        if self._key:
            data = self._encrypt(text)
            query["encrypt_type"] = "aes"
            query["msg_signature"] = _push_signature(token, timestamp, nonce, data)
            text = json.dumps({"ToUserName": content.get("ToUserName"), "Encrypt": data})
        if mode in ("unsigned", "probe"):  # WeChat probes notifications only, not pushes
            query |= {name: "" for name in query if "signature" in name}
        headers = {"Content-Type": "application/json"}
        return SimulatedNotification(f"{address}?{urlencode(query)}", text.encode(), headers)

    def open_reply(self, body: bytes) -> dict[str, Any] | None:
        """The content of a reply, None if it is not encrypted and signed as the mode requires."""
        try:
            reply = json.loads(body)
            if self._key:
                reply = json.loads(self._decrypt_reply(reply))
        except (ValueError, KeyError, TypeError, struct.error):
            return None
        return reply if isinstance(reply, dict) else None

    def _decrypt_reply(self, reply: Mapping[str, Any]) -> bytes:
        """ValueError if the signature or the app is wrong."""
        data = reply["Encrypt"]
        signed = (self._token, str(reply["TimeStamp"]), reply["Nonce"], data)
        if _push_signature(*signed) != reply["MsgSignature"]:
            raise ValueError("MsgSignature")
        cipher = AES.new(self._key, AES.MODE_CBC, iv=self._key[:16])
        plain = unpad(cipher.decrypt(base64.b64decode(data)), 32)
        end = 20 + struct.unpack(">I", plain[16:20])[0]
        if plain[end:] != self._app_id.encode():
            raise ValueError("appid")
        return plain[20:end]

    def _encrypt(self, text: str) -> str:
        message = text.encode()
        plaintext = secrets.token_bytes(16) + struct.pack(">I", len(message)) + message
        cipher = AES.new(self._key, AES.MODE_CBC, iv=self._key[:16])
        return base64.b64encode(cipher.encrypt(pad(plaintext + self._app_id.encode(), 32))).decode()


def _alter_notification(content: Mapping[str, Any], mode: str) -> dict[str, Any]:
    altered: dict[str, Any] = copy.deepcopy(dict(content))
    match mode:
        case "wrong_amount":
            altered["amount"]["total"] += 1
        case "wrong_payer":
            altered["payer"]["openid"] = "oSomebodyElse"
        case "wrong_app":
            altered["appid"] = "wx0000000000000000"
    return altered


def _push_signature(*parts: str) -> str:
    return hashlib.sha1("".join(sorted(parts)).encode(), usedforsecurity=False).hexdigest()


def _alter_push(content: Mapping[str, Any], mode: str) -> dict[str, Any]:
    altered: dict[str, Any] = copy.deepcopy(dict(content))
    match mode:
        case "wrong_amount":
            altered["GoodsInfo"]["OrigPrice"] += 1
        case "wrong_payer":
            altered["OpenId"] = "oSomebodyElse"
        case "wrong_app":
            altered["GoodsInfo"]["ProductId"] = "somebody_elses"
    return altered


async def post_notification(notification: SimulatedNotification) -> int:
    """The HTTP status; 599 if the request failed or timed out."""
    return (await post_for_reply(notification, 5))[0]


async def post_for_reply(notification: SimulatedNotification, seconds: float) -> tuple[int, bytes]:
    """HTTP status and body; 599 without one if the request failed or timed out."""
    request = HTTPRequest(
        notification.address,
        "POST",
        dict(notification.headers),
        notification.body,
        request_timeout=seconds,
    )
    try:
        response = await AsyncHTTPClient().fetch(request, raise_error=False)
    except (HTTPClientError, OSError):
        return 599, b""
    return int(response.code), response.body or b""
