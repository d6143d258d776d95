"""A phone that logs in: what wx.login and the profile button hand to the mini-program."""

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from Crypto.Cipher import AES
from Crypto.Util.Padding import pad

from tencent.simulator.codes import Code, Codes
from tencent.simulator.wire import SimReply, SimRequest, bad_request, json_reply

NAME_CHARACTERS = 64
GREY_FACE = "https://thirdwx.qlogo.cn/mmopen/vi_32/x/132"


class Phone:
    """Every phone there is: a login needs only a name."""

    def __init__(self, apps: Mapping[str, str], codes: Codes, now: Callable[[], float]) -> None:
        self._apps = list(apps)
        self._codes = codes
        self._now = now

    def login(self, request: SimRequest) -> SimReply:
        """`{name, gender?, face_url?, errcode?, modern?, appId?}` -> `{appId, code, ...}`."""
        wish = request.json_object()
        if wish is None:
            return bad_request("a JSON object is needed")
        if why := self._wrong(wish):
            return bad_request(why)
        app_id = wish.get("appId") or self._apps[0]
        code = self._codes.issue(app_id, wish["name"].strip(), wish.get("errcode", 0))
        sealed, iv = _seal(self._profile(wish, code), code.session_key)
        return json_reply({"appId": app_id, "code": code.text, "encryptedData": sealed, "iv": iv})

    def _wrong(self, wish: Mapping[str, Any]) -> str:
        name, face = wish.get("name"), wish.get("face_url", "")
        if not isinstance(name, str) or not 0 < len(name.strip()) <= NAME_CHARACTERS:
            return f"name: a text of 1 to {NAME_CHARACTERS} characters"
        if wish.get("gender", 0) not in (0, 1, 2):
            return "gender: 0, 1 or 2"
        if not isinstance(face, str) or (face and not face.startswith(("http://", "https://"))):
            return "face_url: an http(s) address"
        if any("\ud800" <= sign <= "\udfff" for sign in name + face):
            return "half a character"
        if type(wish.get("errcode", 0)) is not int:
            return "errcode: a number"
        if not self._apps or wish.get("appId", self._apps[0]) not in self._apps:
            return "appId: not one of ours"
        return ""

    def _profile(self, wish: Mapping[str, Any], code: Code) -> dict[str, Any]:
        stamp = {"timestamp": int(self._now()), "appid": code.app_id}
        places = {"language": "", "city": "", "province": "", "country": ""}
        if wish.get("modern"):
            # Since 2022-11: no openId, no gender, a grey face.
            person = {"nickName": "微信用户", "gender": 0, "avatarUrl": GREY_FACE}
        else:
            person = {
                "openId": code.openid,
                "nickName": wish["name"].strip(),
                "gender": int(wish.get("gender", 0)),
                "avatarUrl": wish.get("face_url", ""),
            }
        return {**person, **places, "watermark": stamp}


def _seal(content: Mapping[str, Any], session_key: str) -> tuple[str, str]:
    iv = secrets.token_bytes(16)
    cipher = AES.new(base64.b64decode(session_key), AES.MODE_CBC, iv)
    plain = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    sealed = cipher.encrypt(pad(plain, 16))
    return base64.b64encode(sealed).decode(), base64.b64encode(iv).decode()
