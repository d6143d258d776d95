"""Wrong set-ups at WeChat and Tencent, each answered as the real service would.

The codes are those of the services' documentation. Unverified: the codes of CSS for an unknown
domain and of FaceID for a product that is not open, and the messages of WeChat Pay.
"""

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from typing import Any

from devtools.simulator.cloud import cloud_reply
from devtools.simulator.im import envelope
from devtools.simulator.requests import SetupRequest
from devtools.simulator.wechat import error_reply
from devtools.simulator.wire import NO_ANSWER, SimulatorReply, SimulatorRequest, json_reply

HTML = SimulatorReply(200, {"Content-Type": "text/html"}, b"<html><body>Welcome</body></html>")
SILENCE = SimulatorReply(NO_ANSWER, {}, b"")
BAD_GATEWAY = SimulatorReply(502, {"Content-Type": "text/html"}, b"<h1>502 Bad Gateway</h1>")
HOUR = 3600.0
OTHER_KEY = {
    "algorithm": "AEAD_AES_256_GCM",
    "nonce": "0123456789ab",
    "associated_data": "certificate",
    "ciphertext": b64encode(b"encrypted with another key").decode(),
}
"""Encrypted with another APIv3 key."""


def _merchant(status: int, code: str, message: str) -> SimulatorReply:
    return json_reply({"code": code, "message": message}, status)


def _cos(status: int, code: str) -> SimulatorReply:
    body = f"<Error><Code>{code}</Code></Error>".encode()
    return SimulatorReply(status, {"Content-Type": "application/xml"}, body)


WECHAT = r"POST /(cgi-bin/stable_token|wxa/|xpay/).*|GET /wxaapi/.*"
TOKEN, IM, PAY, LIVE = r"POST /cgi-bin/stable_token", r"POST /v4/.*", r"\w+ /v3/.*", r"POST /live.*"
SERIAL = "商户证书序列号有误。请使用签名私钥匹配的证书序列号"
ANSWERS: dict[str, tuple[str, SimulatorReply]] = {
    "wechat.app_id": (TOKEN, error_reply(40013, "invalid appid")),
    "wechat.app_secret": (TOKEN, error_reply(40125, "invalid appsecret")),
    "wechat.quota": (TOKEN, error_reply(45009, "reach max api daily quota limit")),
    "wechat.busy": (TOKEN, error_reply(-1, "system error")),
    "wechat.html": (WECHAT, HTML),
    "wechat.502": (WECHAT, BAD_GATEWAY),
    "wechat.silence": (WECHAT, SILENCE),
    "wechat.too_many": (WECHAT, SimulatorReply(429, {}, b"")),
    "wechat.content_check": (r"POST /wxa/msg_sec_check", error_reply(48001, "api unauthorized")),
    "wechat.app_key": (r"POST /xpay/.*", error_reply(268490003, "signature error")),
    "pay.serial_no": (PAY, _merchant(401, "SIGN_ERROR", SERIAL)),
    "pay.private_key": (PAY, _merchant(401, "SIGN_ERROR", "签名错误，请检查后再试")),
    "pay.mchid": (PAY, _merchant(400, "MCH_NOT_EXISTS", "商户号不存在")),
    "pay.unknown_key_id": (PAY, _merchant(400, "PARAM_ERROR", "Wechatpay-Serial 不存在")),
    "pay.orders": (r"GET /v3/pay/.*", _merchant(403, "NO_AUTH", "商户号该产品权限未开通")),
    "pay.bill_date": (r"GET /v3/bill/.*", _merchant(400, "INVALID_REQUEST", "账单日期格式不正确")),
    "pay.transfers": (r"GET /v3/fund-app/.*", _merchant(403, "NO_AUTH", "商户号未开通该产品")),
    "pay.address": (
        r"GET /v3/fund-app/.*",
        _merchant(400, "INVALID_REQUEST", "此IP地址不允许调用接口"),
    ),
    "pay.bills": (r"GET /v3/bill/.*", _merchant(403, "NO_AUTH", "没有权限")),
    "pay.apiv3_key": (
        r"GET /v3/certificates.*",
        json_reply({"data": [{"encrypt_certificate": OTHER_KEY}]}),
    ),
    "pay.502": (PAY, BAD_GATEWAY),
    "im.key": (IM, envelope(70009, {})),
    "im.admin": (IM, envelope(60010, {})),
    "im.sdk_app_id": (IM, envelope(60006, {})),
    "im.edition": (r"POST /v4/group_open_http_svc/create_group", envelope(10007, {})),
    "im.group_quota": (r"POST /v4/group_open_http_svc/create_group", envelope(10036, {})),
    "im.silence": (IM, SILENCE),
    "im.html": (IM, HTML),
    "live_streaming.secret": (LIVE, cloud_reply("AuthFailure.SignatureFailure")),
    "live_streaming.right": (LIVE, cloud_reply("AuthFailure.UnauthorizedOperation")),
    "live_streaming.push_domain": (LIVE, cloud_reply("ResourceNotFound.DomainNotExist")),
    "cos.secret": (r"\w+ /cos/.* signed", _cos(403, "SignatureDoesNotMatch")),
    "cos.bucket": (r"\w+ /cos/.*", _cos(404, "NoSuchBucket")),
    "cos.private": (r"GET /(cos|cdn)/.*(?<! signed)", _cos(403, "AccessDenied")),
    "cos.address": (r"GET /cdn/.*", HTML),
    "cos.delete": (r"DELETE /cos/.*", _cos(403, "AccessDenied")),
    "cos.lifecycle": (r"GET /cos/ signed", _cos(404, "NoSuchLifecycleConfiguration")),
    "faceid.key": (r"POST /faceid.*", cloud_reply("AuthFailure.SecretIdNotFound")),
    "faceid.product": (r"POST /faceid.*", cloud_reply("UnauthorizedOperation.Nonactivated")),
}
"""Answers to the requests that match: method, path, and whether they are signed in a header."""
HEADERS: dict[str, tuple[str, dict[str, str]]] = {
    "pay.key_id": (PAY, {"Wechatpay-Serial": "PUB_KEY_ID_OF_ANOTHER_MERCHANT"}),
    "pay.public_key": (
        PAY,
        {"Wechatpay-Signature": b64encode(b"signed with another key").decode()},
    ),
    "cos.versions": (r"PUT /cos/.*", {"x-cos-version-id": "MTg0NDUx"}),
}
"""Headers in the answers to the requests that match."""
CLOCK = "clock"
"""Our clock is an hour behind that of the services."""


class SimulatedSetup:
    """Plays one wrong set-up at a time; `wrong` is its name, "" for none."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.wrong = ""
        self._now = now

    def play(self, request: SetupRequest) -> dict[str, Any]:
        """Play a wrong set-up. Raises ValueError for an unknown one."""
        known = sorted({"", *ANSWERS, *HEADERS, CLOCK})
        if request.wrong not in known:
            raise ValueError(f"wrong: one of {', '.join(known)}")
        self.wrong = request.wrong
        return {"wrong": self.wrong}

    def now(self) -> float:
        """Return the time of the services."""
        return self._now() + (HOUR if self.wrong == CLOCK else 0)

    def answer(self, request: SimulatorRequest) -> SimulatorReply | None:
        """Return the answer of the wrong set-up, if it concerns this request."""
        pattern, reply = ANSWERS.get(self.wrong, ("", SILENCE))
        return reply if re.fullmatch(pattern, _line(request)) else None

    def changed(self, request: SimulatorRequest, reply: SimulatorReply) -> SimulatorReply:
        """Return an answer with the headers of the wrong set-up."""
        pattern, headers = HEADERS.get(self.wrong, ("", {}))
        if self.wrong == CLOCK:
            headers = {"Date": formatdate(self.now(), usegmt=True)}
        elif not re.fullmatch(pattern, _line(request)):
            return reply
        return replace(reply, headers={**reply.headers, **headers})


def _line(request: SimulatorRequest) -> str:
    signed = " signed" if request.header("Authorization") else ""
    return f"{request.method} {request.path}{signed}"
