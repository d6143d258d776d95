"""Tencent's live streaming service (CSS): signed stream URLs, and a client that ends streams."""

import asyncio
import hashlib
import logging
import secrets
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
import structlog

# The package has no types. Its async client needs httpx, which it does not even declare as a
# dependency; a thread is enough for calls made only when a user is removed or a live ends.
from tencentcloud.common.credential import Credential  # type: ignore[import-untyped]
from tencentcloud.common.exception import TencentCloudSDKException  # type: ignore[import-untyped]
from tencentcloud.common.profile.client_profile import (  # type: ignore[import-untyped]
    ClientProfile,
)
from tencentcloud.common.profile.http_profile import HttpProfile  # type: ignore[import-untyped]
from tencentcloud.live.v20180801.live_client import LiveClient  # type: ignore[import-untyped]
from tencentcloud.live.v20180801.models import (  # type: ignore[import-untyped]
    DropLiveStreamRequest,
)

from config.sections import LiveSettings
from tencent.errors import CssRejected, ServiceUnavailable

log = structlog.get_logger("tencent.css")

SERVICE = "live"
TIMEOUT_SECONDS = 5.0
APP_NAME = "live"  # default AppName of a CSS domain; configurable in Tencent's console
URL_SECONDS = 86_400
"""Validity of a push URL."""

# Error codes of CSS's API, version 2018-08-01.
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
    """Drops streams of one push domain by stream name."""

    def __init__(self, api_base: str, secret_id: str, secret_key: str, push_domain: str) -> None:
        """`api_base` may have a path, but "/" is signed, as Tencent requires."""
        self._api_base = api_base.rstrip("/")
        self._credential = Credential(secret_id, secret_key)
        self._push_domain = push_domain
        self._of_thread = threading.local()
        # At DEBUG the SDK logs complete requests, signatures included.
        logging.getLogger("tencentcloud_sdk_common").setLevel(logging.WARNING)

    async def drop(self, stream: str) -> None:
        """Terminate the push of `stream`; idempotent, succeeds if it is not live.

        ServiceUnavailable when a retry may help, CssRejected when it will not.
        Source: Tencent CSS, DropLiveStream (success for an inactive stream).
        """
        try:
            # A thread cannot be cancelled; its socket timeout ends it a second earlier.
            async with asyncio.timeout(TIMEOUT_SECONDS + 1):
                await asyncio.to_thread(self._drop, stream)
        except TimeoutError:
            log.warning("service_request_failed", service=SERVICE, why="timeout")
            raise ServiceUnavailable(SERVICE) from None
        except TencentCloudSDKException as error:
            if error.code not in STREAM_NOT_LIVE_CODES:
                raise _to_exception(str(error.code), str(error.message)) from None

    def _drop(self, stream: str) -> None:
        request = DropLiveStreamRequest()
        request.StreamName = stream
        request.DomainName = self._push_domain
        request.AppName = APP_NAME
        self._client().DropLiveStream(request)

    def _client(self) -> Any:
        """The client of this thread, which keeps its connection open: a requests session is not
        thread-safe."""
        if not hasattr(self._of_thread, "client"):
            base = urlsplit(self._api_base)
            http = HttpProfile(protocol=base.scheme, endpoint=base.netloc, keepAlive=True)
            client = LiveClient(self._credential, "", ClientProfile(httpProfile=http))
            client.request.conn = _HttpTransport(f"{self._api_base}/")
            self._of_thread.client = client
        return self._of_thread.client


class _HttpTransport:
    """Replaces the SDK's HTTP transport.

    Sends to the full base URL, whose path the SDK drops, and ignores the proxies and .netrc
    credentials of the environment.
    """

    request_length = 0  # read by the SDK

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def request(
        self, method: str, _url: str, body: str, headers: Mapping[str, str]
    ) -> requests.Response:
        return self._session.request(
            method,
            self._url,
            data=body,
            headers=headers,
            timeout=TIMEOUT_SECONDS,
            allow_redirects=False,
        )


def _to_exception(code: str, info: str) -> Exception:
    """Map an error code of CSS, or of the SDK if CSS did not answer, to an exception."""
    log.warning("css_request_rejected", error_code=code)
    if code.partition(".")[0] in PERMANENT_ERROR_CODES:
        return CssRejected(code, info)
    return ServiceUnavailable(SERVICE)


def _url(domain: str, key: str, stream: str, tx_time: str) -> str:
    url = f"rtmp://{domain}/{APP_NAME}/{stream}"
    if not key:
        return url
    # Tencent prescribes MD5 over a secret prefix; nothing else depends on its strength.
    secret = hashlib.md5(f"{key}{stream}{tx_time}".encode(), usedforsecurity=False).hexdigest()
    return f"{url}?txSecret={secret}&txTime={tx_time}"
