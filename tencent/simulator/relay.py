"""The simulator as a worker has it: elsewhere, since there is one for all, which remembers."""

from collections.abc import Mapping
from contextlib import closing
from urllib.parse import quote, urlencode

import structlog
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from rooms.refusals import ServiceAway
from tencent.simulator.wire import SimReply, SimRequest

log = structlog.get_logger("qlive.sim")

RELAY_SECONDS = 15.0
"""The server's own calls wait for 5 s at most; a played outage may last longer."""
_OF_THE_CONNECTION = (
    *("connection", "keep-alive", "upgrade", "expect", "te", "transfer-encoding"),
    *("content-length", "accept-encoding", "server", "date", "etag"),
)


class Relay:
    """Answers like a Simulator, by asking the one at `address`."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def answer(self, request: SimRequest) -> SimReply:
        """Word for word what the simulator answers; ServiceAway when it does not in time."""
        with closing(AsyncHTTPClient(force_instance=True)) as client:
            try:
                answer = await client.fetch(self._as_http(request), raise_error=False)
            except (HTTPClientError, OSError) as failure:
                log.warning("simulator_away", why=type(failure).__name__)
                raise ServiceAway("simulator") from failure
        return SimReply(answer.code, _passed_on(answer.headers), answer.body)

    def _as_http(self, request: SimRequest) -> HTTPRequest:
        query = "?" + urlencode(request.query) if request.query else ""
        return HTTPRequest(
            f"{self._address}/sim{quote(request.path)}{query}",
            method=request.method,
            # With the Host: signatures may cover it.
            headers=_passed_on(request.headers),
            body=request.body if request.method == "POST" else None,
            request_timeout=RELAY_SECONDS,
            follow_redirects=False,
            decompress_response=False,
        )


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value for name, value in headers.items() if name.lower() not in _OF_THE_CONNECTION
    }
