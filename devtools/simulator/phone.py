"""Simulated phone: the results of wx.login, of the profile button, and of a payment."""

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from Crypto.Cipher import AES
from Crypto.Util.Padding import pad

from devtools.simulator.notifications import (
    DELIVERIES,
    MISMATCHED,
    UNVERIFIABLE,
    SimulatedDelivery,
)
from devtools.simulator.pay import SimulatedPay
from devtools.simulator.wechat import LoginCode, SimulatedWechat
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, bad_request, json_reply
from devtools.simulator.xpay import SimulatedXpay

MAX_NAME_LENGTH = 64
GREY_FACE = "https://thirdwx.qlogo.cn/mmopen/vi_32/x/132"
NOTIFICATION_MODES = (*DELIVERIES, *UNVERIFIABLE, *MISMATCHED)


class SimulatedPhone:
    """Logs in any user, who needs only a name, and pays orders."""

    def __init__(
        self,
        wechat: SimulatedWechat,
        pay: SimulatedPay,
        xpay: SimulatedXpay,
        delivery: SimulatedDelivery,
        now: Callable[[], float],
    ) -> None:
        self._wechat = wechat
        self._pay = pay
        self._xpay = xpay
        self._delivery = delivery
        self._now = now

    def login(self, request: SimulatorRequest) -> SimulatorReply:
        """`{name, gender?, face_url?, errcode?, modern?, appId?}` -> `{appId, code, ...}`."""
        params = request.json_object()
        if params is None:
            return bad_request("a JSON object is needed")
        if error := self._params_error(params):
            return bad_request(error)
        app_id = params.get("appId") or next(iter(self._wechat.apps))
        code = self._wechat.issue(app_id, params["name"].strip(), params.get("errcode", 0))
        data, iv = _encrypt(self._profile(params, code), code.session_key)
        return json_reply({"appId": app_id, "code": code.text, "encryptedData": data, "iv": iv})

    def pay(self, request: SimulatorRequest) -> SimulatorReply:
        """`{content, outcome?, report?}` -> `{outcome, order}`.

        `outcome` is success or cancel, `report` one of NOTIFICATION_MODES.
        """
        params = request.json_object() or {}
        mode = params.get("report", "once")
        try:
            call = json.loads(str(params.get("content")))
        except ValueError:
            call = None
        if not isinstance(call, dict) or mode not in NOTIFICATION_MODES:
            return bad_request(
                f"content: of POST qlive_pay; report: one of {', '.join(NOTIFICATION_MODES)}"
            )
        if params.get("outcome", "success") == "cancel":
            return json_reply({"outcome": "cancel", "order": None})
        settled = self._xpay.settle(call) if "signData" in call else self._pay.settle(call)
        if isinstance(settled, str):
            return json_reply({"outcome": "failed", "why": settled, "order": None})
        number, build = settled
        self._delivery.start(build, mode)
        return json_reply({"outcome": "success", "order": number})

    def _params_error(self, params: Mapping[str, Any]) -> str:
        name, url = params.get("name"), params.get("face_url", "")
        if not isinstance(name, str) or not 0 < len(name.strip()) <= MAX_NAME_LENGTH:
            return f"name: a text of 1 to {MAX_NAME_LENGTH} characters"
        if params.get("gender", 0) not in (0, 1, 2):
            return "gender: 0, 1 or 2"
        if not isinstance(url, str) or (url and not url.startswith(("http://", "https://"))):
            return "face_url: an http(s) address"
        if any("\ud800" <= char <= "\udfff" for char in name + url):
            return "half a character"
        if type(params.get("errcode", 0)) is not int:
            return "errcode: a number"
        if params.get("appId") and params["appId"] not in self._wechat.apps:
            return "appId: not one of ours"
        return ""

    def _profile(self, params: Mapping[str, Any], code: LoginCode) -> dict[str, Any]:
        watermark = {"timestamp": int(self._now()), "appid": code.app_id}
        location = {"language": "", "city": "", "province": "", "country": ""}
        if params.get("modern"):
            # WeChat since 2022-11: no openId, no gender, a grey avatar.
            user = {"nickName": "微信用户", "gender": 0, "avatarUrl": GREY_FACE}
        else:
            user = {
                "openId": code.openid,
                "nickName": params["name"].strip(),
                "gender": int(params.get("gender", 0)),
                "avatarUrl": params.get("face_url", ""),
            }
        return {**user, **location, "watermark": watermark}


def _encrypt(content: Mapping[str, Any], session_key: str) -> tuple[str, str]:
    iv = secrets.token_bytes(16)
    cipher = AES.new(base64.b64decode(session_key), AES.MODE_CBC, iv)
    plaintext = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    ciphertext = cipher.encrypt(pad(plaintext, 16))
    return base64.b64encode(ciphertext).decode(), base64.b64encode(iv).decode()
