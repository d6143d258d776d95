"""WebSocket handshake: checks the request, then takes its connection over from HTTP."""

import asyncio
import re
from dataclasses import dataclass
from typing import NoReturn

from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest

from core.errors import PermissionDenied, QLiveError, RateLimited, Unavailable
from handlers.base import Handler, Route, endpoint
from handlers.context import Context
from handlers.errors import BadRequest
from handlers.request_data import bearer_token, limit_key, remote_ip, request_id
from handlers.websocket.connection import Connection, ConnectRequest
from realtime import wire
from realtime.resume import ResumePosition

WEBSOCKET_ONLY = "This path speaks WebSocket only."
_LIVE_ID = re.compile(r"[0-9]{1,15}")


class RoomSocketHandler(Handler):
    """WebSocket of one member in one room."""

    def initialize(
        self, context: Context, route: Route | None = None, why: QLiveError | None = None
    ) -> None:
        """`why`: the error that prevents the handshake."""
        super().initialize(context, route)
        self._error = why or BadRequest(WEBSOCKET_ONLY)

    @endpoint(errors=[PermissionDenied, RateLimited, Unavailable])
    async def get(self) -> NoReturn:
        """Answer a request that is not a valid handshake."""
        if isinstance(self._error, BadRequest | PermissionDenied):
            self.limit_address("anonymous")
        raise self._error


@dataclass(frozen=True, slots=True)
class Handshake(HTTPMessageDelegate):
    """A WebSocket upgrade request; detaches its connection from HTTP after the headers.

    Skips the handler that Tornado creates for other requests, a fifth of the cost of a handshake:
    after a restart of the server all its clients reconnect at once.
    """

    context: Context
    request: HTTPServerRequest

    def error(self) -> QLiveError | None:
        """Return the reason to refuse the handshake.

        Call once: a valid one counts for its address.
        """
        if self.context.lifecycle.draining:
            return Unavailable()
        if not is_handshake(self.request):
            return BadRequest(WEBSOCKET_ONLY)
        if not self._origin_allowed():
            return PermissionDenied("This page may not open sockets here.")
        trusted = self.context.settings.server.trusted_proxies
        address = limit_key(remote_ip(self.request, trusted))
        if self.context.request_limits.take("handshake", "address", address):
            detail = "Too many sockets at once from this address; try again."
            return RateLimited(detail, retry_after=1)
        return None

    def headers_received(self, *_: object) -> None:
        """Answer 101 and start the task that serves the connection."""
        http_connection = self.request.connection
        assert isinstance(http_connection, HTTP1Connection)
        stream = http_connection.detach()
        if stream.closed():  # the client has disconnected
            return
        stream.set_nodelay(True)
        self.context.metrics.handshakes.inc()
        connect_request = ConnectRequest(
            self._live_id(),
            self._since(),
            bearer_token(self.request),
            request_id(self.request),
        )
        connection = Connection(self.context, stream)
        connection.writer.send(
            wire.upgrade_response(self.request.headers["Sec-WebSocket-Key"].strip())
        )
        task = asyncio.get_running_loop().create_task(connection.run(connect_request))
        self.context.lifecycle.connections.add(task)
        task.add_done_callback(self.context.lifecycle.connections.discard)

    def _live_id(self) -> int:
        """Return the live_id; 0, which no room has, if missing or malformed."""
        value = self._argument("live_id")
        return int(value) if _LIVE_ID.fullmatch(value) else 0

    def _since(self) -> ResumePosition | None:
        seq = self._argument("since")
        if not seq:
            return None
        # A malformed number becomes epoch "", which matches none: a snapshot with `reset` follows.
        epoch = self._argument("epoch") if seq.isdecimal() and len(seq) < 16 else ""
        return ResumePosition(epoch, int(seq) if epoch else 0)

    def _argument(self, name: str) -> str:
        values = self.request.query_arguments.get(name, [b""])
        return values[-1].decode("utf-8", "replace")

    def _origin_allowed(self) -> bool:
        """Return whether the origin of the request is allowed.

        Browsers send an Origin; a request without one comes from a native client.
        """
        origin = self.request.headers.get("Origin")
        if origin is None:
            return True
        allowed = self.context.settings.server.allowed_origins
        return origin in allowed or origin.partition("://")[2] == self.request.host


def is_handshake(request: HTTPServerRequest) -> bool:
    """Return whether it is a valid upgrade request (RFC 6455 §4.2.1).

    It must not have a body.
    """
    headers = request.headers
    options = [part.strip().lower() for part in headers.get("Connection", "").split(",")]
    return (
        request.version == "HTTP/1.1"
        and headers.get("Upgrade", "").lower() == "websocket"
        and "upgrade" in options
        and headers.get("Sec-WebSocket-Version") == "13"
        and _is_key(headers.get("Sec-WebSocket-Key", "").strip())
        and headers.get("Content-Length", "0") == "0"
        and "Transfer-Encoding" not in headers
    )


def _is_key(key: str) -> bool:
    """Return whether the key is 16 bytes in base64."""
    return re.fullmatch(r"[A-Za-z0-9+/]{22}==", key) is not None
