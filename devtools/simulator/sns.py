"""Simulated WeChat code2Session, as strict as the real one."""

import hmac
from collections.abc import Mapping

from devtools.simulator.codes import LoginCode, LoginCodes
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, json_reply

ERROR_MESSAGES = {
    -1: "system error",
    40002: "invalid grant_type",
    40013: "invalid appid",
    40029: "invalid code",
    40125: "invalid appsecret",
    40163: "code been used",
    40226: "code blocked",
    41002: "appid missing",
    41004: "appsecret missing",
    41008: "missing code",
    45011: "api minute-quota reach limit  mustslower  retry next minute",
}


class SimulatedSns:
    """Redeems login codes for session keys."""

    def __init__(self, apps: Mapping[str, str], codes: LoginCodes) -> None:
        self._apps = dict(apps)
        self._codes = codes

    def jscode2session(self, request: SimulatorRequest) -> SimulatorReply:
        """HTTP 200 and text/plain for success and failure alike, as in WeChat."""
        errcode = self._request_error(request)
        if not errcode:
            code = self._codes.find(request.query["js_code"], request.query["appid"])
            errcode = _code_error(code)
            if code is not None and not errcode:
                code.used = True
                return _text({"session_key": code.session_key, "openid": code.openid})
        rid = "rid: 00000000-00000000-00000000"  # WeChat ends every errmsg with one
        return _text(
            {"errcode": errcode, "errmsg": f"{ERROR_MESSAGES.get(errcode, 'error')}, {rid}"}
        )

    def _request_error(self, request: SimulatorRequest) -> int:
        query = request.query
        app_id, secret = query.get("appid", ""), query.get("secret", "")
        if request.method != "GET" or not app_id:
            return 41002
        if app_id not in self._apps:
            return 40013
        if not secret:
            return 41004
        if not hmac.compare_digest(secret.encode(), self._apps[app_id].encode()):
            return 40125
        if query.get("grant_type") != "authorization_code":
            return 40002
        return 0 if query.get("js_code") else 41008


def _code_error(code: LoginCode | None) -> int:
    if code is None:
        return 40029
    return 40163 if code.used else code.errcode


def _text(content: Mapping[str, object]) -> SimulatorReply:
    return json_reply(content, content_type="text/plain")
