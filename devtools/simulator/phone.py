"""Simulated phone: the results of wx.login and of the profile button."""

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from Crypto.Cipher import AES
from Crypto.Util.Padding import pad

from devtools.simulator.codes import LoginCode, LoginCodes
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, bad_request, json_reply

MAX_NAME_LENGTH = 64
GREY_FACE = "https://thirdwx.qlogo.cn/mmopen/vi_32/x/132"


class SimulatedPhone:
    """Logs in any user; a login needs only a name."""

    def __init__(
        self, apps: Mapping[str, str], codes: LoginCodes, now: Callable[[], float]
    ) -> None:
        self._apps = list(apps)
        self._codes = codes
        self._now = now

    def login(self, request: SimulatorRequest) -> SimulatorReply:
        """`{name, gender?, face_url?, errcode?, modern?, appId?}` -> `{appId, code, ...}`."""
        params = request.json_object()
        if params is None:
            return bad_request("a JSON object is needed")
        if error := self._params_error(params):
            return bad_request(error)
        app_id = params.get("appId") or self._apps[0]
        code = self._codes.issue(app_id, params["name"].strip(), params.get("errcode", 0))
        data, iv = _encrypt(self._profile(params, code), code.session_key)
        return json_reply({"appId": app_id, "code": code.text, "encryptedData": data, "iv": iv})

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
        if not self._apps or params.get("appId", self._apps[0]) not in self._apps:
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
