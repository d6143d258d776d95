"""Tencent's live streaming service (CSS): signed stream URLs, and a client that stops streams."""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import time

import structlog
from yarl import URL

from config.sections import LiveSettings
from tencent.errors import CssRejected, ServiceUnavailable, Unreadable
from tencent.json_reader import child, json_text, read_object
from tencent.service_client import ServiceClient, ServiceResponse

log = structlog.get_logger("tencent.css")

SERVICE, API_VERSION = "live", "2018-08-01"
APP_NAME = "live"  # default AppName of a CSS domain; configurable in Tencent's console
URL_SECONDS = 86_400
"""Validity of a push URL."""

# Error codes of CSS's API.
STREAM_NOT_LIVE_CODES = frozenset(
    {
        "FailedOperation.HasNotLivingStream",
        "FailedOperation.StreamNotExist",
        "InternalError.HasNotLivingStream",
        "ResourceNotFound.ChannelNotExist",
        "ResourceUnavailable.StreamNotExist",
    }
)
# Permanent errors (wrong domain or parameter), which a retry would repeat. All others are retried,
# including wrong keys and permissions, which an operator can correct.
PERMANENT_ERROR_CODES = (
    "InvalidAction",
    "InvalidParameter",
    "InvalidRequest",
    "MissingParameter",
    "NoSuchVersion",
    "ResourceNotFound",
    "UnknownParameter",
    "UnsupportedOperation",
)


class StreamUrls:
    """RTMP URLs of the push and the play domain; an empty key means unsigned URLs.

    Source: Tencent CSS, txSecret = md5(key + stream + txTime) where txTime is the same hex text as
    in the URL (Tencent's samples use upper case for push, lower case for play).
    """

    def __init__(self, live: LiveSettings) -> None:
        self._live = live

    def new_stream(self, user_id: str) -> str:
        """Unguessable stream name (96 random bits) for one seat occupancy by `user_id`."""
        return f"{user_id}_{secrets.token_hex(12)}"

    def push(self, stream: str, now: int) -> str:
        """Push URL valid for URL_SECONDS from `now` (Unix time); a running push is not cut off."""
        live = self._live
        return _url(live.push_domain, live.push_key, stream, f"{now + URL_SECONDS:X}")

    def play(self, stream: str, now: int) -> str:
        """Play URL; txTime is `now`, to which Tencent adds the validity set in its console."""
        return _url(self._live.play_domain, self._live.play_key, stream, f"{now:x}")


class CssClient:
    """Drops and forbids streams of one push domain by stream name."""

    def __init__(
        self, client: ServiceClient, live: LiveSettings, now: Callable[[], float] = time
    ) -> None:
        self._client = client
        self._live = live
        self._now = now
        self._host = URL(live.api_base).authority

    async def drop(self, stream: str) -> None:
        """Terminate the push of `stream`; idempotent, succeeds if it is not live.

        Raises as `_call`. Source: Tencent CSS, DropLiveStream (success for an inactive stream).
        """
        await self._call("DropLiveStream", stream)

    async def forbid(self, stream: str, until: datetime, reason: str) -> None:
        """Terminate the push of `stream` and refuse further ones until then; idempotent.

        Raises as `_call`. Source: Tencent CSS, ForbidLiveStream.
        """
        resume = f"{until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        await self._call("ForbidLiveStream", stream, ResumeTime=resume, Reason=reason)

    async def _call(self, action: str, stream: str, **more: str) -> None:
        """ServiceUnavailable when a retry may help, CssRejected when it will not."""
        domain = self._live.push_domain
        content = {"StreamName": stream, "DomainName": domain, "AppName": APP_NAME, **more}
        body = json_text(content).encode()
        headers = self._signed(action, body)
        response = await self._client.request("POST", "/", {}, body, headers, safe_to_repeat=True)
        code, info = _error_of(response)
        if not code or code in STREAM_NOT_LIVE_CODES:
            return
        log.warning("css_request_rejected", error_code=code)
        if code.partition(".")[0] in PERMANENT_ERROR_CODES:
            raise CssRejected(code, info)
        raise ServiceUnavailable(SERVICE)

    def _signed(self, action: str, body: bytes) -> dict[str, str]:
        """The headers of a call of the API, which sign its body."""
        timestamp = int(self._now())
        covered = {"content-type": "application/json", "host": self._host}
        signature = tc3_signature(self._live.secret_key, SERVICE, timestamp, covered, body)
        scope = f"{_date(timestamp)}/{SERVICE}/tc3_request"
        return {
            **covered,
            "Authorization": f"TC3-HMAC-SHA256 Credential={self._live.secret_id}/{scope}, "
            f"SignedHeaders={';'.join(covered)}, Signature={signature}",
            "X-TC-Action": action,
            "X-TC-Version": API_VERSION,
            "X-TC-Timestamp": str(timestamp),
        }


def _error_of(response: ServiceResponse) -> tuple[str, str]:
    """Code and message of a failure, "" for a success."""
    try:
        result = child(read_object(response.body), "Response")
        if response.status == 200 and "Error" not in result:
            return "", ""
        error = child(result, "Error")
    except Unreadable:
        return f"HTTP {response.status}", ""
    return str(error.get("Code")), str(error.get("Message"))


def tc3_signature(
    secret_key: str, service: str, timestamp: int, headers: Mapping[str, str], body: bytes
) -> str:
    """Signature in hex of a POST to "/" with these headers, in lower case, and this body.

    Source: Tencent Cloud API 3.0, "signature v3" (TC3-HMAC-SHA256). A path of the base URL is not
    signed.
    """
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    payload = hashlib.sha256(body).hexdigest()
    request = f"POST\n/\n\n{lines}\n{';'.join(headers)}\n{payload}"
    scope = f"{_date(timestamp)}/{service}/tc3_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"TC3{secret_key}".encode()
    for part in (*scope.split("/"), f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{digest}"):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    return key.hex()


def _date(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).date().isoformat()


def _url(domain: str, key: str, stream: str, tx_time: str) -> str:
    url = f"rtmp://{domain}/{APP_NAME}/{stream}"
    if not key:
        return url
    # Tencent prescribes MD5 over a secret prefix; nothing else depends on its strength.
    secret = hashlib.md5(f"{key}{stream}{tx_time}".encode(), usedforsecurity=False).hexdigest()
    return f"{url}?txSecret={secret}&txTime={tx_time}"
