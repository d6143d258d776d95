"""WeChat's access tokens: the same one for everybody who asks, until it ends."""

import hmac
import secrets
from collections.abc import Callable, Mapping

from tencent.simulator.wire import SimReply, SimRequest, json_reply

SECONDS = 7200
RENEWED_BEFORE = 300


class Access:
    """`expire` is for bad days."""

    def __init__(self, apps: Mapping[str, str], now: Callable[[], float]) -> None:
        self._apps = dict(apps)
        self._now = now
        self._tokens: dict[str, tuple[str, float]] = {}

    def stable_token(self, request: SimRequest) -> SimReply:
        wish = request.json_object() or {}
        app_id, secret = str(wish.get("appid", "")), str(wish.get("secret", ""))
        if app_id not in self._apps:
            return _error(40013, "invalid appid")
        if not hmac.compare_digest(secret.encode(), self._apps[app_id].encode()):
            return _error(40125, "invalid appsecret")
        if wish.get("grant_type") != "client_credential":
            return _error(40002, "invalid grant_type")
        token, until = self._tokens.get(app_id, ("", 0.0))
        if self._now() >= until - RENEWED_BEFORE:
            token, until = secrets.token_hex(64), self._now() + SECONDS
            self._tokens[app_id] = token, until
        seconds = int(until - self._now())
        return json_reply({"access_token": token, "expires_in": seconds})

    def app_of(self, token: str) -> str | None:
        """Whose token it is; None when it is nobody's (any more)."""
        for app_id, (held, until) in self._tokens.items():
            if held == token and self._now() < until:
                return app_id
        return None

    def expire(self) -> None:
        """No token holds any more."""
        self._tokens.clear()


def _error(errcode: int, errmsg: str) -> SimReply:
    return json_reply({"errcode": errcode, "errmsg": errmsg})
