"""HTTP connections to one service, kept open from one request to the next."""

import asyncio
import functools
import math
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from urllib.parse import urlsplit

from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters
from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream, StreamClosedError
from tornado.tcpclient import TCPClient

IDLE_SECONDS = 10.0
"""A connection that was idle for longer is closed: the service is about to do so by itself."""


@dataclass(frozen=True, slots=True)
class ServiceResponse:
    """A response; `headers` are case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class KeptConnections:
    """Sends requests that are safe to repeat: one on a connection that turns out to be closed is
    sent again on a new one.

    Tornado's client opens a connection for each request, which takes three times as long (0.67
    instead of 0.20 ms of the process, without TLS).
    """

    def __init__(self, base_url: str, max_connections: int, max_body_bytes: int) -> None:
        """`base_url` has scheme, host and port; further requests wait for a connection."""
        base = urlsplit(base_url)
        self._netloc = base.netloc
        self._host, self._port = base.hostname or "", base.port
        self._is_tls = base.scheme == "https"
        self._slots = asyncio.Semaphore(max_connections)
        self._parameters = HTTP1ConnectionParameters(max_body_size=max_body_bytes)
        self._tcp = TCPClient()
        self._idle: list[tuple[IOStream, float]] = []
        """The latest last, with the time since when it is idle."""

    def close(self) -> None:
        self._close_idle()
        self._tcp.close()

    async def fetch(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> ServiceResponse:
        """`target`: path and query. Raises OSError; cancelled, it closes the connection."""
        sent = {"Host": self._netloc, **headers}
        if body is not None:
            sent["Content-Length"] = str(len(body))
        start_line = RequestStartLine(method, target, "HTTP/1.1")
        async with self._slots:
            idle = self._take_idle()
            if idle and (response := await self._exchange(idle, start_line, sent, body)):
                return response
            response = await self._exchange(await self._connect(), start_line, sent, body)
        if response is None:
            raise StreamClosedError
        return response

    async def _connect(self) -> IOStream:
        tls = _tls_context() if self._is_tls else None
        port = self._port or (443 if tls else 80)
        return await self._tcp.connect(self._host, port, ssl_options=tls)

    def _take_idle(self) -> IOStream | None:
        """The connection that was used last; closes those that were idle for too long."""
        self._close_idle(until=monotonic() - IDLE_SECONDS)
        while self._idle:
            stream, _ = self._idle.pop()
            if not stream.closed():
                return stream
        return None

    def _close_idle(self, until: float = math.inf) -> None:
        while self._idle and self._idle[0][1] < until:
            self._idle.pop(0)[0].close()

    async def _exchange(
        self,
        stream: IOStream,
        start_line: RequestStartLine,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> ServiceResponse | None:
        """The response; None if the connection was closed before it was complete."""
        answer = _Answer()
        connection = HTTP1Connection(stream, is_client=True, params=self._parameters)
        try:
            connection.write_headers(start_line, HTTPHeaders(headers), body)
            connection.finish()
            await connection.read_response(answer)
        except OSError:
            return None
        finally:
            if answer.keeps_connection and not stream.closed():
                self._idle.append((stream, monotonic()))
            else:
                stream.close()
            if answer.response is None:
                self._close_idle()  # the network, or the service, has probably lost them too
        return answer.response


class _Answer(HTTPMessageDelegate):
    """Collects a response."""

    def __init__(self) -> None:
        self.response: ServiceResponse | None = None
        self.keeps_connection = False
        self._status = 0
        self._headers = HTTPHeaders()
        self._body = bytearray()

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> None:
        assert isinstance(start_line, ResponseStartLine)
        self._status, self._headers = start_line.code, headers

    def data_received(self, chunk: bytes) -> None:
        self._body += chunk

    def finish(self) -> None:
        self.response = ServiceResponse(self._status, self._headers, bytes(self._body))
        self.keeps_connection = self._headers.get("Connection", "").lower() != "close"


@functools.cache
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()
