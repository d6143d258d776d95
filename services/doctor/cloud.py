"""Checks of Tencent Cloud's API 3.0: live streaming (CSS) and FaceID."""

import asyncio
import secrets
import socket
import time
from collections.abc import Awaitable, Callable

from services.doctor.findings import Examination
from services.doctor.servers import NO_SERVER
from tencent.cloud_api import (
    APP_NAME,
    NO_MATCH,
    STREAM_NOT_LIVE_CODES,
    URL_SECONDS,
    CloudAnswer,
    FaceIdClient,
    LiveStreamingClient,
    StreamUrls,
)
from tencent.errors import ServiceUnavailable

LIVE_CHECKS = {
    "live_streaming.state": "state of a stream that does not exist",
    "live_streaming.push_domain": "push domain, at CSS and by its name",
    "live_streaming.play_domain": "name of the play domain",
    "live_streaming.drop": "right to DropLiveStream and ForbidLiveStream",
    "live_streaming.callback": "CSS's event about a push",
}
FACEID_CHECKS = {"faceid.answer": "check of an impossible ID number"}
STREAM_SECONDS = 120.0
"""Time to begin a push, and for its event."""
PUSH_URL_SECONDS = 600
CAM = "console.cloud.tencent.com/cam"
LIVE = "console.cloud.tencent.com/live"
KEY = f"Set %s.secret_id and secret_key to a key: {CAM}, 访问密钥 → API密钥管理."
GRANT = f"Let the key's user call DescribeLiveStreamState: {CAM}, 用户 → 授权 (docs/deploy.md)."
DROP = f"Check that the key's user may call both: {CAM}, 用户 → 授权 (docs/deploy.md)."
PUSH_DOMAIN = f"Set live_streaming.push_domain to a push domain: {LIVE}, 域名管理; set its CNAME."
PLAY_DOMAIN = f"Set live_streaming.play_domain to a play domain: {LIVE}, 域名管理; set its CNAME."
CALLBACK = (
    f"{LIVE}, 事件中心 → 直播回调: a template with https://…/wx/api/qlive/live/callback/ and "
    "live_streaming.callback_key, bound to the push domain."
)
PRODUCT = "Open 人脸核身 (身份信息认证), and see that it is paid: console.cloud.tencent.com/faceid."
NO_NUMBER = "000000000000000000"
DENIED, EXPIRED = "UnauthorizedOperation", "AuthFailure.SignatureExpire"

Resolve = Callable[[str], Awaitable[bool]]


async def resolves(domain: str) -> bool:
    """Return whether the name has an address."""
    try:
        return bool(await asyncio.get_running_loop().getaddrinfo(domain, 443))
    except (socket.gaierror, UnicodeError):
        return False


async def check_live_streaming(
    examination: Examination, resolve: Resolve, show_url: Callable[[str], None] | None
) -> None:
    """Wait STREAM_SECONDS for a push to the URL that `show_url` is called with, if it is given."""
    settings, findings = examination.settings.live_streaming, examination.findings
    live = LiveStreamingClient(examination.client("live", settings.api_base), settings)
    stream, push_domain = f"doctor-{secrets.token_hex(8)}", settings.push_domain
    request = {"AppName": APP_NAME, "DomainName": push_domain, "StreamName": stream}
    code = (answer := await live.call("DescribeLiveStreamState", request)).code
    is_unknown = "Domain" in code
    cause = "" if is_unknown or code in STREAM_NOT_LIVE_CODES else cause_of(answer)
    wrong = {"AuthFailure": KEY % "live_streaming", DENIED: GRANT}
    shown, name = code or "an answer", "live_streaming.state"
    if not findings.judge(name, cause, ("",), wrong, shown=shown, timed=(EXPIRED,)):
        return
    for name, domain, to_do in (
        ("live_streaming.push_domain", push_domain, PUSH_DOMAIN),
        ("live_streaming.play_domain", settings.play_domain, PLAY_DOMAIN),
    ):
        is_right = await resolve(domain) and not (is_unknown and domain == push_domain)
        if domain.endswith(".example.com"):
            findings.not_used("an example", name)
        else:
            findings.tell(name, f"{domain} {code}".strip(), to_do, is_right=is_right)
    findings.cannot_tell("live_streaming.drop", "a call that only reads does not show it", DROP)
    if show_url is None:
        to_do = "Run `server.py doctor --stream`."
        findings.cannot_tell("live_streaming.callback", "no stream was pushed", to_do)
    else:
        await _check_callback(examination, stream, show_url)


async def _check_callback(
    examination: Examination, stream: str, show_url: Callable[[str], None]
) -> None:
    findings, name = examination.findings, "live_streaming.callback"
    if not await examination.servers.serving():
        findings.cannot_tell(name, *NO_SERVER)
        return
    now = time.time() + PUSH_URL_SECONDS - URL_SECONDS
    urls = StreamUrls(examination.settings.live_streaming, lambda: now)
    show_url(urls.push(stream))
    row = await examination.servers.push(stream, STREAM_SECONDS)
    came_back = "it arrived" if row else f"nothing within {STREAM_SECONDS:g} s"
    # The URL ends at a time by this machine's clock.
    findings.tell(name, came_back, CALLBACK, is_right=row is not None, timed=True)


async def check_faceid(examination: Examination) -> None:
    settings, findings = examination.settings.age_verification, examination.findings
    if settings.provider != "faceid":
        findings.not_used(f"age_verification.provider is {settings.provider or 'empty'}")
        return
    faceid = FaceIdClient(examination.client("faceid", settings.api_base), settings)
    answer = await faceid.call("IdCardVerification", {"IdCard": NO_NUMBER, "Name": "测试"})
    result = str(answer.content.get("Result", ""))
    wrong = {"AuthFailure": KEY % "age_verification", DENIED: PRODUCT}
    cause, shown = cause_of(answer) or result, answer.code or f"result {result}"
    findings.judge("faceid.answer", cause, NO_MATCH, wrong, shown=shown, timed=(EXPIRED,))


def cause_of(answer: CloudAnswer) -> str:
    """Return "" without an error, EXPIRED, DENIED, or the first part of another code.

    Raises ServiceUnavailable if the answer is not JSON.
    """
    code = answer.code
    if code.startswith("HTTP "):
        raise ServiceUnavailable("cloud", code)
    if code == f"AuthFailure.{DENIED}":
        return DENIED
    return code if code == EXPIRED else code.partition(".")[0]
