"""Ending what somebody pushes to Tencent's live service, whether or not they stop by themselves."""

import asyncio
import logging
from collections.abc import Mapping
from urllib.parse import urlsplit

import requests
import structlog

# The package has no types. Its asynchronous client wants another HTTP library, httpx, which it does
# not even require; a thread does for what happens when somebody is put out or a live ends.
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

from rooms.refusals import ServiceAway
from tencent.live import APP

log = structlog.get_logger("tencent.streams")

SERVICE = "live"
SECONDS = 5.0

# Error codes of CSS's API, version 2018-08-01.
NOT_LIVE = frozenset(
    {
        "FailedOperation.HasNotLivingStream",
        "FailedOperation.StreamNotExist",
        "InternalError.HasNotLivingStream",
        "ResourceNotFound.ChannelNotExist",
        "ResourceUnavailable.StreamNotExist",
    }
)
# What would be said again: wrong domains and words. The rest is worth another try, keys and rights
# that somebody has yet to mend included.
FOR_EVER = (
    "InvalidAction",
    "InvalidParameter",
    "InvalidRequest",
    "MissingParameter",
    "NoSuchVersion",
    "ResourceNotFound",
    "UnknownParameter",
    "UnsupportedOperation",
)


class LiveRefused(Exception):
    """The live service said no and would say so again: our bug, or its domain in the settings."""

    def __init__(self, code: str, info: str) -> None:
        super().__init__(f"{code} {info}")
        self.code = code


class Streams:
    """The streams of one push domain, by their names."""

    def __init__(
        self, api_base: str, secret_id: str, secret_key: str, push_domain: str, app: str = APP
    ) -> None:
        """`api_base` may have a path; what is signed is "/" all the same, as Tencent has it."""
        self._api_base = api_base.rstrip("/")
        self._credential = Credential(secret_id, secret_key)
        self._push_domain = push_domain
        self._app = app
        # At "debug" it writes requests as they are, with their signatures.
        logging.getLogger("tencentcloud_sdk_common").setLevel(logging.WARNING)

    async def drop(self, stream: str) -> None:
        """Ends the push of `stream`; one that is not live is fine. Safe to repeat.

        ServiceAway when repeating later may help, LiveRefused when it will not.
        Source: Tencent CSS, DropLiveStream (success for an inactive stream).
        """
        try:
            # Nothing ends a thread from here; the silence of its socket does, a second earlier.
            async with asyncio.timeout(SECONDS + 1):
                await asyncio.to_thread(self._drop, stream)
        except TimeoutError:
            log.warning("call_failed", service=SERVICE, why="timeout")
            raise ServiceAway(SERVICE) from None
        except TencentCloudSDKException as error:
            if error.code not in NOT_LIVE:
                raise _judged(str(error.code), str(error.message)) from None

    def _drop(self, stream: str) -> None:
        request = DropLiveStreamRequest()
        request.StreamName = stream
        request.DomainName = self._push_domain
        request.AppName = self._app
        base = urlsplit(self._api_base)
        http = HttpProfile(protocol=base.scheme, endpoint=base.netloc)
        # One for each call, since a session is not meant for several threads.
        client = LiveClient(self._credential, "", ClientProfile(httpProfile=http))
        client.request.conn = way = _Way(f"{self._api_base}/")
        try:
            client.DropLiveStream(request)
        finally:
            way.close()


class _Way:
    """How a request of the SDK travels, in place of its own: to the whole of our address, of which
    it leaves the path out, and past the proxies and passwords (.netrc) that the environment names.
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
            method, self._url, data=body, headers=headers, timeout=SECONDS, allow_redirects=False
        )

    def close(self) -> None:
        self._session.close()


def _judged(code: str, info: str) -> Exception:
    """`code` is CSS's, or where there was no answer of it the SDK's word for that."""
    log.warning("live_refused", error_code=code)
    if code.partition(".")[0] in FOR_EVER:
        return LiveRefused(code, info)
    return ServiceAway(SERVICE)
