"""Simulated WeChat access tokens, one per app, shared until renewed."""

import hmac
import secrets
from collections.abc import Callable, Mapping

from devtools.simulator.wire import SimulatorReply, SimulatorRequest, json_reply

TOKEN_TTL_SECONDS = 7200
RENEW_BEFORE_SECONDS = 300


class SimulatedAccessTokens:
    """Issues access tokens; tests revoke all of them with `expire`."""

    def __init__(self, apps: Mapping[str, str], now: Callable[[], float]) -> None:
        self._apps = dict(apps)
        self._now = now
        self._tokens: dict[str, tuple[str, float]] = {}

    def stable_token(self, request: SimulatorRequest) -> SimulatorReply:
        params = request.json_object() or {}
        app_id, secret = str(params.get("appid", "")), str(params.get("secret", ""))
        if app_id not in self._apps:
            return _error(40013, "invalid appid")
        if not hmac.compare_digest(secret.encode(), self._apps[app_id].encode()):
            return _error(40125, "invalid appsecret")
        if params.get("grant_type") != "client_credential":
            return _error(40002, "invalid grant_type")
        token, expires_at = self._tokens.get(app_id, ("", 0.0))
        if self._now() >= expires_at - RENEW_BEFORE_SECONDS:
            token, expires_at = secrets.token_hex(64), self._now() + TOKEN_TTL_SECONDS
            self._tokens[app_id] = token, expires_at
        seconds = int(expires_at - self._now())
        return json_reply({"access_token": token, "expires_in": seconds})

    def app_of(self, token: str) -> str | None:
        """The app that `token` was issued for; None if it is unknown or expired."""
        for app_id, (issued, expires_at) in self._tokens.items():
            if issued == token and self._now() < expires_at:
                return app_id
        return None

    def expire(self) -> None:
        """Invalidate all tokens."""
        self._tokens.clear()


def _error(errcode: int, errmsg: str) -> SimulatorReply:
    return json_reply({"errcode": errcode, "errmsg": errmsg})
