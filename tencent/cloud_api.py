"""Clients of Tencent Cloud's API 3.0: FaceID and live streaming (CSS), with stream URLs."""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import time
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import structlog
from yarl import URL

from config.sections import AgeVerificationSettings, LiveStreamingSettings
from tencent.errors import CommandRejected, ServiceUnavailable, Unreadable
from tencent.json_reader import child, json_text
from tencent.service_client import ServiceClient

log = structlog.get_logger("tencent.cloud_api")
MATCH = "0"
# They do not belong together, one of them is malformed, or there is no such number. Other results
# say that the check is not available, or was made too often today.
NO_MATCH = frozenset({"-1", "-2", "-3", "-5"})


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


class CloudAnswer(NamedTuple):
    """`code` and `info` of a failure are "" for a success."""

    code: str
    info: str
    content: Mapping[str, Any]


Section = TypeVar("Section", LiveStreamingSettings, AgeVerificationSettings)


class CloudApiClient(Generic[Section]):
    """Base of the clients of one service, whose actions are all safe to repeat."""

    service: ClassVar[str]
    version: ClassVar[str]

    def __init__(
        self, client: ServiceClient, settings: Section, now: Callable[[], float] = time
    ) -> None:
        self._client = client
        self._settings: Section = settings
        self._now = now
        self._host = URL(settings.api_base).authority

    async def call(self, action: str, content: Mapping[str, Any]) -> CloudAnswer:
        """Call an action. Raises ServiceUnavailable if there is no answer."""
        settings, timestamp, body = self._settings, int(self._now()), json_text(content)
        covered = {"content-type": "application/json", "host": self._host}
        signature = tc3_signature(
            settings.secret_key, self.service, timestamp, covered, body.encode()
        )
        scope = _scope(self.service, timestamp)
        headers = {
            **covered,
            "Authorization": f"TC3-HMAC-SHA256 Credential={settings.secret_id}/{scope}, "
            f"SignedHeaders={';'.join(covered)}, Signature={signature}",
            "X-TC-Action": action,
            "X-TC-Version": self.version,
            "X-TC-Timestamp": str(timestamp),
        }
        response = await self._client.request("POST", "/", {}, body, headers, safe_to_repeat=True)
        try:
            result = child(response.content, "Response")
            if response.status == 200 and "Error" not in result:
                return CloudAnswer("", "", result)
            error = child(result, "Error")
        except Unreadable:
            return CloudAnswer(f"HTTP {response.status}", "", {})
        return CloudAnswer(str(error.get("Code")), str(error.get("Message")), {})


class FaceIdClient(CloudApiClient[AgeVerificationSettings]):
    """Compares names and ID numbers, neither of which is logged."""

    service, version = "faceid", "2018-03-01"

    async def is_match(self, name: str, id_number: str) -> bool:
        """Return whether a name and an ID number belong together. Raises ServiceUnavailable.

        Source: Tencent Cloud FaceID, IdCardVerification.
        """
        answer = await self.call("IdCardVerification", {"IdCard": id_number, "Name": name})
        result = str(answer.content.get("Result"))
        if answer.code or result not in NO_MATCH | {MATCH}:
            log.warning("identity_not_checked", error_code=answer.code, result=result)
            raise ServiceUnavailable(self.service)
        return result == MATCH


class LiveStreamingClient(CloudApiClient[LiveStreamingSettings]):
    """Drops and forbids streams of one push domain by stream name.

    Both are idempotent, and raise ServiceUnavailable if a retry may help, CommandRejected if
    not.
    """

    service, version = "live", "2018-08-01"

    async def drop(self, stream: str) -> None:
        """Terminate the push of `stream`, if it is live. Source: Tencent CSS, DropLiveStream."""
        await self._call("DropLiveStream", stream)

    async def forbid(self, stream: str, until: datetime) -> None:
        """Terminate a push and refuse further ones until then. Source: CSS, ForbidLiveStream."""
        resume = f"{until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        await self._call("ForbidLiveStream", stream, ResumeTime=resume, Reason="moderation")

    async def _call(self, action: str, stream: str, **more: str) -> None:
        content = {"StreamName": stream, "DomainName": self._settings.push_domain}
        code, info, _ = await self.call(action, {**content, "AppName": APP_NAME, **more})
        if not code or code in STREAM_NOT_LIVE_CODES:
            return
        log.warning("live_streaming_request_rejected", error_code=code)
        if code.partition(".")[0] in PERMANENT_ERROR_CODES:
            raise CommandRejected(code, info)
        raise ServiceUnavailable(self.service)


class StreamUrls:
    """RTMP URLs of the push and the play domain; an empty key means unsigned URLs.

    Source: Tencent CSS, txSecret = md5(key + stream + txTime) where txTime is the same hex text as
    in the URL (Tencent's samples use upper case for push, lower case for play).
    """

    def __init__(self, settings: LiveStreamingSettings, now: Callable[[], float] = time) -> None:
        self._settings = settings
        self._now = now

    def new_stream(self, user_id: str) -> str:
        """Return an unguessable stream name (96 random bits) for a seat occupancy by `user_id`."""
        return f"{user_id}_{secrets.token_hex(12)}"

    def push(self, stream: str) -> str:
        """Return a push URL, valid for URL_SECONDS from now. A running push is not cut off."""
        settings, ends_at = self._settings, int(self._now()) + URL_SECONDS
        return _url(settings.push_domain, settings.push_key, stream, f"{ends_at:X}")

    def play(self, stream: str) -> str:
        """Return a play URL; Tencent adds to its txTime, now, the validity set in its console."""
        settings, now = self._settings, int(self._now())
        return _url(settings.play_domain, settings.play_key, stream, f"{now:x}")


def tc3_signature(
    secret_key: str, service: str, timestamp: int, headers: Mapping[str, str], body: bytes
) -> str:
    """Return the signature in hex of a POST to "/" with this body and headers in lower case.

    Source: Tencent Cloud API 3.0, "signature v3" (TC3-HMAC-SHA256).
    """
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    payload = hashlib.sha256(body).hexdigest()
    request = f"POST\n/\n\n{lines}\n{';'.join(headers)}\n{payload}"
    scope = _scope(service, timestamp)
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"TC3{secret_key}".encode()
    for part in (*scope.split("/"), f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{digest}"):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    return key.hex()


def _scope(service: str, timestamp: int) -> str:
    return f"{datetime.fromtimestamp(timestamp, UTC).date()}/{service}/tc3_request"


def _url(domain: str, key: str, stream: str, tx_time: str) -> str:
    url = f"rtmp://{domain}/{APP_NAME}/{stream}"
    if not key:
        return url
    # Tencent prescribes MD5 over a secret prefix; nothing else depends on its strength.
    secret = hashlib.md5(f"{key}{stream}{tx_time}".encode(), usedforsecurity=False).hexdigest()
    return f"{url}?txSecret={secret}&txTime={tx_time}"
