"""Tencent's live streaming service (CSS): signed stream URLs, and a client that stops streams."""

import hashlib
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from time import time

import structlog

from config.sections import LiveStreamingSettings
from tencent.cloud_api import CloudApiClient
from tencent.errors import LiveStreamingRejected, ServiceUnavailable
from tencent.service_client import ServiceClient

log = structlog.get_logger("tencent.live_streaming")

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

    def __init__(self, settings: LiveStreamingSettings) -> None:
        self._settings = settings

    def new_stream(self, user_id: str) -> str:
        """Return an unguessable stream name (96 random bits) for a seat occupancy by `user_id`."""
        return f"{user_id}_{secrets.token_hex(12)}"

    def push(self, stream: str, now: int) -> str:
        """Return a push URL, valid for URL_SECONDS from `now`. A running push is not cut off."""
        settings = self._settings
        return _url(settings.push_domain, settings.push_key, stream, f"{now + URL_SECONDS:X}")

    def play(self, stream: str, now: int) -> str:
        """Return a play URL; Tencent adds to its txTime `now` the validity set in its console."""
        settings = self._settings
        return _url(settings.play_domain, settings.play_key, stream, f"{now:x}")


class LiveStreamingClient(CloudApiClient):
    """Drops and forbids streams of one push domain by stream name.

    Both are idempotent, and raise ServiceUnavailable if a retry may help, LiveStreamingRejected if
    not.
    """

    service, version = "live", "2018-08-01"

    def __init__(
        self,
        client: ServiceClient,
        settings: LiveStreamingSettings,
        now: Callable[[], float] = time,
    ) -> None:
        super().__init__(client, settings, now)
        self._push_domain = settings.push_domain

    async def drop(self, stream: str) -> None:
        """Terminate the push of `stream`, if it is live. Source: Tencent CSS, DropLiveStream."""
        await self._call("DropLiveStream", stream)

    async def forbid(self, stream: str, until: datetime) -> None:
        """Terminate a push and refuse further ones until then. Source: CSS, ForbidLiveStream."""
        resume = f"{until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        await self._call("ForbidLiveStream", stream, ResumeTime=resume, Reason="moderation")

    async def _call(self, action: str, stream: str, **more: str) -> None:
        content = {"StreamName": stream, "DomainName": self._push_domain, "AppName": APP_NAME}
        code, info, _ = await self.call(action, {**content, **more})
        if not code or code in STREAM_NOT_LIVE_CODES:
            return
        log.warning("live_streaming_request_rejected", error_code=code)
        if code.partition(".")[0] in PERMANENT_ERROR_CODES:
            raise LiveStreamingRejected(code, info)
        raise ServiceUnavailable(self.service)


def _url(domain: str, key: str, stream: str, tx_time: str) -> str:
    url = f"rtmp://{domain}/{APP_NAME}/{stream}"
    if not key:
        return url
    # Tencent prescribes MD5 over a secret prefix; nothing else depends on its strength.
    secret = hashlib.md5(f"{key}{stream}{tx_time}".encode(), usedforsecurity=False).hexdigest()
    return f"{url}?txSecret={secret}&txTime={tx_time}"
