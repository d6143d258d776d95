"""Simulated phone: the results of wx.login, of the profile button, and of a payment."""

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from Crypto.Cipher import AES
from Crypto.Util.Padding import pad

from devtools.simulator.notifications import SimulatedDelivery
from devtools.simulator.pay import SimulatedPay
from devtools.simulator.requests import PhoneLoginRequest, PhonePayRequest
from devtools.simulator.wechat import LoginCode, SimulatedWechat
from devtools.simulator.xpay import SimulatedXpay

GREY_FACE = "https://thirdwx.qlogo.cn/mmopen/vi_32/x/132"


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

    def login(self, request: PhoneLoginRequest) -> dict[str, Any]:
        """Return the results of wx.login and of the profile button.

        Raises ValueError for an unknown app.
        """
        app_id = request.appId or next(iter(self._wechat.apps))
        if app_id not in self._wechat.apps:
            raise ValueError("appId: not one of ours")
        code = self._wechat.issue(app_id, request.name)
        data, iv = _encrypt(self._profile(request, code), code.session_key)
        return {"appId": app_id, "code": code.text, "encryptedData": data, "iv": iv}

    def pay(self, request: PhonePayRequest) -> dict[str, Any]:
        if request.outcome == "cancel":
            return {"outcome": "cancel", "order": None, "why": ""}
        provider = self._xpay if "signData" in request.content else self._pay
        settled = provider.settle(request.content, request.report)
        if isinstance(settled, str):
            return {"outcome": "failed", "order": None, "why": settled}
        number, notification = settled
        self._delivery.start(notification, request.report)
        return {"outcome": "success", "order": number, "why": ""}

    def _profile(self, request: PhoneLoginRequest, code: LoginCode) -> dict[str, Any]:
        watermark = {"timestamp": int(self._now()), "appid": code.app_id}
        location = {"language": "", "city": "", "province": "", "country": ""}
        if request.modern:
            # WeChat since 2022-11: no openId, no gender, a grey avatar.
            user = {"nickName": "微信用户", "gender": 0, "avatarUrl": GREY_FACE}
        else:
            user = {
                "openId": code.openid,
                "nickName": request.name,
                "gender": request.gender,
                "avatarUrl": request.face_url,
            }
        return {**user, **location, "watermark": watermark}


def _encrypt(content: Mapping[str, Any], session_key: str) -> tuple[str, str]:
    iv = secrets.token_bytes(16)
    cipher = AES.new(base64.b64decode(session_key), AES.MODE_CBC, iv)
    plaintext = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    ciphertext = cipher.encrypt(pad(plaintext, 16))
    return base64.b64encode(ciphertext).decode(), base64.b64encode(iv).decode()
