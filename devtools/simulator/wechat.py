"""Simulated accounts of WeChat: logins, session keys and access tokens."""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from Crypto.Cipher import AES
from Crypto.Util.Padding import pad

from devtools.simulator.requests import PhoneLoginRequest
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, json_reply
from tencent.xpay import user_signature

CODE_SECONDS = 300
TOKEN_TTL_SECONDS = 7200
RENEW_BEFORE_SECONDS = 300
GREY_FACE = "https://thirdwx.qlogo.cn/mmopen/vi_32/x/132"


@dataclass(slots=True)
class LoginCode:
    text: str
    app_id: str
    openid: str
    session_key: str
    until: float
    used: bool = False


def openid_of(name: str) -> str:
    """Return the openid of the user `name`, the same on every run and for every app."""
    digest = hashlib.sha256(f"qlive simulator:{name}".encode()).digest()
    return "o" + base64.urlsafe_b64encode(digest).decode()[:27]


class SimulatedWechat:
    """Issues login codes, session keys and access tokens; `apps` maps appId to secret.

    A code is valid once, for five minutes. A user has one session key, the latest. An app has one
    access token, which is shared until it is renewed.
    """

    def __init__(
        self, apps: Mapping[str, str], now: Callable[[], float], template_id: str = ""
    ) -> None:
        self.apps = dict(apps)
        self._template_ids = [template_id] if template_id else []
        self._now = now
        self._codes: dict[str, LoginCode] = {}
        self._keys: dict[str, str] = {}
        self.tokens: dict[str, tuple[str, float]] = {}

    # ---- login

    def login(self, request: PhoneLoginRequest) -> dict[str, Any]:
        """Return the results of wx.login and of the profile button, for any name.

        Raises ValueError for an unknown app.
        """
        app_id = request.appId or next(iter(self.apps))
        if app_id not in self.apps:
            raise ValueError("appId: not one of ours")
        code = self.issue(app_id, request.name)
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
        location = {"language": "", "city": "", "province": "", "country": ""}
        sealed = self.encrypt(request.name, {**user, **location}, app_id)
        return {"appId": app_id, "code": code.text, **sealed}

    def encrypt(self, name: str, content: Mapping[str, Any], app_id: str = "") -> dict[str, str]:
        """Return open data for a user's phone. Raises ValueError without a session key."""
        if (session_key := self._keys.get(openid_of(name))) is None:
            raise ValueError("name: has not logged in")
        watermark = {"timestamp": int(self._now()), "appid": app_id or next(iter(self.apps))}
        data = {**content, "watermark": watermark}
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
        iv = secrets.token_bytes(16)
        cipher = AES.new(base64.b64decode(session_key), AES.MODE_CBC, iv)
        encrypted = base64.b64encode(cipher.encrypt(pad(text, 16))).decode()
        return {"encryptedData": encrypted, "iv": base64.b64encode(iv).decode()}

    def issue(self, app_id: str, name: str) -> LoginCode:
        """Issue a code for `name` with a new session key."""
        code = LoginCode(
            text="0" + secrets.token_urlsafe(24)[:31],
            app_id=app_id,
            openid=openid_of(name),
            session_key=base64.b64encode(secrets.token_bytes(16)).decode(),
            until=self._now() + CODE_SECONDS,
        )
        self._codes[code.text] = code
        self._keys[code.openid] = code.session_key
        return code

    def signer(self, text: str, signature: str) -> str | None:
        """Return the openid whose latest session key signed `text`, or None.

        `signature` is a hex HMAC-SHA256; earlier session keys of a user are invalid.
        """
        for openid, key in self._keys.items():
            if hmac.compare_digest(user_signature(key, text).encode(), signature.encode()):
                return openid
        return None

    def jscode2session(self, request: SimulatorRequest) -> SimulatorReply:
        """Answer HTTP 200 and text/plain for success and failure alike, as WeChat does."""
        code = self._exchange(request.query)
        if isinstance(code, LoginCode):
            answer = {"session_key": code.session_key, "openid": code.openid}
            return json_reply(answer, content_type="text/plain")
        rid = "rid: 00000000-00000000-00000000"  # WeChat ends every errmsg with one
        refusal = {"errcode": code, "errmsg": f"error, {rid}"}
        return json_reply(refusal, content_type="text/plain")

    def _exchange(self, query: Mapping[str, str]) -> LoginCode | int:
        """Use the code of a request; return it, or WeChat's error number."""
        app_id, now = query.get("appid", ""), self._now()
        if app_id not in self.apps:
            return 40013
        if not hmac.compare_digest(query.get("secret", "").encode(), self.apps[app_id].encode()):
            return 40125
        if not query.get("js_code"):
            return 41008
        self._codes = {key: code for key, code in self._codes.items() if code.until > now}
        code = self._codes.get(query["js_code"])
        if code is None or code.app_id != app_id:
            return 40029
        if code.used:
            return 40163
        code.used = True
        return code

    # ---- access tokens

    def stable_token(self, request: SimulatorRequest) -> SimulatorReply:
        params = request.json_object() or {}
        app_id, secret = str(params.get("appid")), str(params.get("secret"))
        if app_id not in self.apps:
            return error_reply(40013, "invalid appid")
        if not hmac.compare_digest(secret.encode(), self.apps[app_id].encode()):
            return error_reply(40125, "invalid appsecret")
        token, expires_at = self.tokens.get(app_id, ("", 0.0))
        if self._now() >= expires_at - RENEW_BEFORE_SECONDS:
            token, expires_at = secrets.token_hex(64), self._now() + TOKEN_TTL_SECONDS
            self.tokens[app_id] = token, expires_at
        seconds = int(expires_at - self._now())
        return json_reply({"access_token": token, "expires_in": seconds})

    def templates(self, request: SimulatorRequest) -> SimulatorReply:
        """List the templates of subscription messages."""
        if not self.is_access_token(request.query.get("access_token", "")):
            return error_reply(40001, "invalid credential")
        rows = [{"priTmplId": id_, "title": "开播提醒"} for id_ in self._template_ids]
        return json_reply({"errcode": 0, "errmsg": "ok", "data": rows})

    def is_access_token(self, token: str) -> bool:
        """Return whether `token` was issued and has not expired."""
        now = self._now()
        return any(token == issued and now < until for issued, until in self.tokens.values())


def error_reply(errcode: int, errmsg: str) -> SimulatorReply:
    return json_reply({"errcode": errcode, "errmsg": errmsg})
