"""Checks of Tencent Cloud's API 3.0: live streaming (CSS) and FaceID."""

import asyncio
import secrets
import socket
import time
from collections.abc import Awaitable, Callable

from services.doctor.findings import AGAIN, Examination
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
    "live_streaming.key": "state of a stream that does not exist",
    "live_streaming.right": "right to DescribeLiveStreamState",
    "live_streaming.push_domain": "push domain, at CSS and by its name",
    "live_streaming.play_domain": "name of the play domain",
    "live_streaming.drop": "right to DropLiveStream and ForbidLiveStream",
    "live_streaming.callback": "CSS's event about a push",
}
FACEID_CHECKS = {
    "faceid.key": "check of an impossible ID number",
    "faceid.product": "product 人脸核身",
}
STREAM_SECONDS = 120.0
"""Time to begin a push, and for its event."""
PUSH_URL_SECONDS = 600
CAM = "console.cloud.tencent.com/cam"
LIVE = "console.cloud.tencent.com/live"
EXPIRED = ("AuthFailure.SignatureExpire",)
KEY_ERRORS = (
    *("AuthFailure.SecretIdNotFound", "AuthFailure.SignatureFailure"),
    *("AuthFailure.InvalidSecretId", "AuthFailure.InvalidAuthorization"),
)
GRANT = f"Let the key's user call DescribeLiveStreamState: {CAM}, 用户 → 授权 (docs/deploy.md)."
PUSH_DOMAIN = f"Set live_streaming.push_domain to a push domain: {LIVE}, 域名管理; set its CNAME."
PLAY_DOMAIN = f"Set live_streaming.play_domain to a play domain: {LIVE}, 域名管理; set its CNAME."
CALLBACK = (
    f"{LIVE}, 事件中心 → 直播回调: a template with https://…/wx/api/qlive/live/callback/ and "
    "live_streaming.callback_key, bound to the push domain."
)
PRODUCT = "Open 人脸核身 (身份信息认证): console.cloud.tencent.com/faceid; see that it is paid."
NO_NUMBER = "000000000000000000"

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
    stream, domain = f"doctor-{secrets.token_hex(8)}", settings.push_domain
    request = {"AppName": APP_NAME, "DomainName": domain, "StreamName": stream}
    code = code_of(await live.call("DescribeLiveStreamState", request), "live")
    if not _judge_key(examination, "live_streaming.key", "live_streaming", code):
        return
    if _is_denied(code):
        findings.wrong("live_streaming.right", code, GRANT)
    else:
        findings.right("live_streaming.right", code or "an answer")
    for name, host, to_do in (
        ("live_streaming.push_domain", domain, PUSH_DOMAIN),
        ("live_streaming.play_domain", settings.play_domain, PLAY_DOMAIN),
    ):
        if host.endswith(".example.com"):
            findings.not_used("an example", name)
        elif to_do == PUSH_DOMAIN and "Domain" in code:
            findings.wrong(name, f"{host}: {code}", to_do)
        elif await resolve(host):
            findings.right(name, host)
        else:
            findings.wrong(name, f"{host} has no address", to_do)
    to_do = f"See that the key's user may call both: {CAM} (docs/deploy.md)."
    findings.cannot_tell("live_streaming.drop", "a read does not prove it", to_do)
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
        findings.cannot_tell(name, "no server is running", "Repeat it with a server.")
        return
    ends_at = int(time.time()) + PUSH_URL_SECONDS
    urls = StreamUrls(examination.settings.live_streaming)
    show_url(urls.push(stream, ends_at - URL_SECONDS))
    if await examination.servers.push(stream, STREAM_SECONDS):
        findings.right(name, "it arrived")
    else:
        findings.wrong(name, f"nothing within {STREAM_SECONDS:g} s", CALLBACK)


async def check_faceid(examination: Examination) -> None:
    settings, findings = examination.settings.age_verification, examination.findings
    if settings.provider != "faceid":
        findings.not_used(f"age_verification.provider is {settings.provider or 'empty'}")
        return
    faceid = FaceIdClient(examination.client("faceid", settings.api_base), settings)
    answer = await faceid.call("IdCardVerification", {"IdCard": NO_NUMBER, "Name": "测试"})
    code = code_of(answer, "faceid")
    if not _judge_key(examination, "faceid.key", "age_verification", code):
        return
    result = str(answer.content.get("Result"))
    if not code and result in NO_MATCH:
        findings.right("faceid.product", f"result {result}")
    elif _is_denied(code) or code.startswith("ResourceUnavailable"):
        findings.wrong("faceid.product", code, PRODUCT)
    else:
        findings.cannot_tell("faceid.product", code or f"result {result}", AGAIN)


def code_of(answer: CloudAnswer, service: str) -> str:
    """Return the code of an error, "" without one. Raises ServiceUnavailable if it is not JSON."""
    if answer.code.startswith("HTTP "):
        raise ServiceUnavailable(service, answer.code)
    return "" if answer.code in STREAM_NOT_LIVE_CODES else answer.code


def _judge_key(examination: Examination, name: str, section: str, code: str) -> bool:
    """Add the finding about the key; an error of another sort shows that the key is right."""
    findings = examination.findings
    if code in EXPIRED:
        findings.wrong(name, code, "Set this machine's clock by NTP.", timed=True)
    elif code in KEY_ERRORS:
        to_do = f"Set {section}.secret_id and secret_key to a key: {CAM}, 访问密钥 → API密钥管理."
        findings.wrong(name, code, to_do)
    elif code.startswith(("RequestLimitExceeded", "InternalError")):
        findings.cannot_tell(name, code, AGAIN)
    else:
        findings.right(name, code or "an answer")
        return True
    return False


def _is_denied(code: str) -> bool:
    return code.startswith(("UnauthorizedOperation", "AuthFailure"))
