"""Simulated API of WeChat Pay for one merchant: signatures, encryption, notifications."""

import base64
import json
import re
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from Crypto.Cipher import AES, PKCS1_OAEP
from Crypto.Hash import SHA1
from Crypto.PublicKey import RSA
from tornado.httpclient import HTTPRequest

from config.sections import PaySettings
from core.clock import CHINA_TZ
from devtools.simulator.notifications import HOUR, JSON_HEADERS
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, json_reply
from tencent.json_reader import json_text
from tencent.merchant import SCHEME, is_signed, sign

AUTHORIZATION = re.compile(
    r'WECHATPAY2-SHA256-RSA2048 mchid="(?P<mchid>[^"]*)",nonce_str="(?P<nonce>[^"]{1,32})",'
    r'signature="(?P<signature>[^"]*)",timestamp="(?P<stamp>\d{1,12})",serial_no="(?P<serial>[^"]*)"'
)
Outcome = tuple[int, dict[str, Any]]
"""HTTP status and content of an answer; an empty content is sent as an empty body."""


class SimulatedMerchantApi:
    """Verifies the requests of one merchant and signs the answers, refusals too."""

    def __init__(
        self,
        app_ids: Collection[str],
        pay: PaySettings,
        platform_key: str,
        now: Callable[[], float],
    ) -> None:
        self.app_ids = frozenset(app_ids)
        self.mchid = pay.mchid
        self.now = now
        self._serial = pay.serial_no
        self._apiv3_key = pay.apiv3_key
        self._merchant = RSA.import_key(pay.private_key)
        self._platform_id = pay.public_key_id
        self._platform = RSA.import_key(platform_key)

    def verified(
        self, outcome: Callable[[SimulatorRequest], Outcome]
    ) -> Callable[[SimulatorRequest], SimulatorReply]:
        """Return a call with signed answers: those of `outcome` if the request is authentic."""

        def answer(request: SimulatorRequest) -> SimulatorReply:
            status, content = self.refusal(request) or outcome(request)
            reply = json_reply(content, status) if content else SimulatorReply(status, {}, b"")
            return replace(reply, headers={**reply.headers, **self.signed(reply.body)})

        return answer

    def refusal(self, request: SimulatorRequest) -> Outcome | None:
        """Return the refusal of a request that is not authentic."""
        if not self._is_authentic(request):
            return refuse(401, "SIGN_ERROR", "the signature does not fit")
        if request.header("Wechatpay-Serial") not in ("", self._platform_id):
            return refuse(400, "PARAM_ERROR", "Wechatpay-Serial")
        return None

    def signed(self, body: bytes, at: float | None = None) -> dict[str, str]:
        """Return headers that sign an answer or notification; `at` is in Unix seconds, or now."""
        timestamp, nonce = str(int(self.now() if at is None else at)), secrets.token_hex(16)
        return {
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": self._platform_id,
            "Wechatpay-Signature-Type": SCHEME,
            "Wechatpay-Signature": sign(self._platform, timestamp, nonce, body.decode()),
        }

    def notification(
        self,
        address: str,
        event: str,
        content: Mapping[str, Any],
        mode: str,
        *,
        original: str = "transaction",
    ) -> HTTPRequest:
        """Build a notification, which is genuine unless `mode` is one of Unverifiable.

        `event` is "TRANSACTION.SUCCESS" or another one, and `original` is the type of the content.
        """
        envelope = {
            "id": f"EV-{secrets.token_hex(10)}",
            "create_time": self.china_time(self.now()),
            "resource_type": "encrypt-resource",
            "event_type": event,
            "summary": event,
            "resource": self._encrypt(original, json_text(content)),
        }
        body = json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()
        headers = self.signed(body, self.now() - (HOUR if mode == "stale" else 0))
        if mode == "unsigned":
            headers["Wechatpay-Signature"] = ""
        elif mode == "probe":
            headers["Wechatpay-Signature"] = f"WECHATPAY/SIGNTEST/{secrets.token_hex(16)}"
        elif mode == "forged":
            body = body.replace(b'"EV-', b'"EV_')
        return HTTPRequest(address, "POST", {**headers, **JSON_HEADERS}, body)

    def certificates(self, _request: SimulatorRequest) -> Outcome:
        """List one platform certificate, whose content is a key only."""
        pem = self._platform.public_key().export_key().decode()
        certificate = {
            "serial_no": self._serial,
            "effective_time": self.china_time(self.now()),
            "expire_time": self.china_time(self.now() + HOUR),
            "encrypt_certificate": self._encrypt("certificate", pem),
        }
        return 200, {"data": [certificate]}

    def _encrypt(self, original: str, text: str) -> dict[str, str]:
        nonce = secrets.token_hex(6)
        cipher = AES.new(self._apiv3_key.encode(), AES.MODE_GCM, nonce=nonce.encode())
        cipher.update(original.encode())
        ciphertext, tag = cipher.encrypt_and_digest(text.encode())
        return {
            "original_type": original,
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": base64.b64encode(ciphertext + tag).decode(),
            "associated_data": original,
            "nonce": nonce,
        }

    def verify(self, text: bytes, signature: str) -> bool:
        """Return whether the merchant signed `text`."""
        return is_signed(self._merchant, text, signature)

    def decrypt(self, request: SimulatorRequest, field: object) -> str | None:
        """Decrypt a field (OAEP with SHA-1 in both places); return None if not encrypted for us."""
        if request.header("Wechatpay-Serial") != self._platform_id:
            return None
        try:
            raw = base64.b64decode(str(field), validate=True)
            return PKCS1_OAEP.new(self._platform, hashAlgo=SHA1).decrypt(raw).decode()
        except ValueError:
            return None

    def china_time(self, at: float) -> str:
        return datetime.fromtimestamp(at, CHINA_TZ).isoformat(timespec="seconds")

    def _is_authentic(self, request: SimulatorRequest) -> bool:
        auth = AUTHORIZATION.fullmatch(request.header("Authorization"))
        if auth is None or (auth["mchid"], auth["serial"]) != (self.mchid, self._serial):
            return False
        if abs(self.now() - int(auth["stamp"])) > 300:
            return False
        query = "&".join(f"{name}={value}" for name, value in request.query.items())
        target = request.path + (f"?{query}" if query else "")
        prefix = f"{request.method}\n{target}\n{auth['stamp']}\n{auth['nonce']}\n"
        return self.verify(prefix.encode() + request.body + b"\n", auth["signature"])


def refuse(status: int, code: str, message: str) -> Outcome:
    return status, {"code": code, "message": message}
