"""Client of the stateful simulator of another process."""

from collections.abc import Mapping
from contextlib import closing
from urllib.parse import quote, urlencode

import structlog
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from devtools.simulator.wire import SimulatorReply, SimulatorRequest
from tencent.errors import ServiceUnavailable

log = structlog.get_logger("qlive.simulator")

REQUEST_TIMEOUT_SECONDS = 15.0
"""The server's own calls time out after 5 s; a simulated outage may last longer."""
_NOT_FORWARDED = (
    *("connection", "keep-alive", "upgrade", "expect", "te", "transfer-encoding"),
    *("content-length", "accept-encoding", "server", "date", "etag"),
)


class RemoteSimulator:
    """Same interface as Simulator; forwards requests to the one at `address`."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def answer(self, request: SimulatorRequest) -> SimulatorReply:
        """The simulator's answer; ServiceUnavailable if the connection fails or times out."""
        with closing(AsyncHTTPClient(force_instance=True)) as client:
            try:
                answer = await client.fetch(self._as_http(request), raise_error=False)
            except (HTTPClientError, OSError) as error:
                log.warning("simulator_unreachable", why=type(error).__name__)
                raise ServiceUnavailable("simulator") from error
        return SimulatorReply(answer.code, _forwarded(answer.headers), answer.body)

    def _as_http(self, request: SimulatorRequest) -> HTTPRequest:
        query = "?" + urlencode(request.query) if request.query else ""
        return HTTPRequest(
            f"{self._address}/sim{quote(request.path)}{query}",
            method=request.method,
            # Includes Host, which signatures may cover.
            headers=_forwarded(request.headers),
            body=request.body if request.method == "POST" else None,
            request_timeout=REQUEST_TIMEOUT_SECONDS,
            follow_redirects=False,
            decompress_response=False,
        )


def _forwarded(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _NOT_FORWARDED}
