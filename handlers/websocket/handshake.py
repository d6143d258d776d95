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
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")
"""16 bytes in base64."""


class RoomSocketHandler(Handler):
    """WebSocket of a member of a room, or of a user."""

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

    The handler that Tornado creates for other requests would cost a fifth of a handshake.
    """

    context: Context
    request: HTTPServerRequest

    def error(self) -> QLiveError | None:
        """Return the reason to refuse it. Call once: a valid one counts for its address."""
        server, origin = self.context.settings.server, self.request.headers.get("Origin")
        if self.context.lifecycle.draining:
            return Unavailable()
        if not is_handshake(self.request):
            return BadRequest(WEBSOCKET_ONLY)
        # Browsers send an Origin; a request without one comes from a native client.
        is_own = origin is None or origin.partition("://")[2] == self.request.host
        if not is_own and origin not in server.allowed_origins:
            return PermissionDenied("This page may not open sockets here.")
        address = limit_key(remote_ip(self.request, server.trusted_proxies))
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
        connection = Connection(self.context, stream, connect_request(self.request))
        connection.writer.send(
            wire.upgrade_response(self.request.headers["Sec-WebSocket-Key"].strip())
        )
        task = asyncio.get_running_loop().create_task(connection.run())
        self.context.lifecycle.connections.add(task)
        task.add_done_callback(self.context.lifecycle.connections.discard)


def is_handshake(request: HTTPServerRequest) -> bool:
    """Return whether it is a valid upgrade request (RFC 6455 §4.2.1), without a body."""
    headers = request.headers
    options = [part.strip().lower() for part in headers.get("Connection", "").split(",")]
    return (
        request.version == "HTTP/1.1"
        and headers.get("Upgrade", "").lower() == "websocket"
        and "upgrade" in options
        and headers.get("Sec-WebSocket-Version") == "13"
        and _KEY.fullmatch(headers.get("Sec-WebSocket-Key", "").strip()) is not None
        and headers.get("Content-Length", "0") == "0"
        and "Transfer-Encoding" not in headers
    )


def connect_request(request: HTTPServerRequest) -> ConnectRequest:
    """Return the parameters of a handshake.

    A malformed live_id becomes 0, which no room has. A malformed `since` becomes a position in
    epoch "", which matches none: a snapshot with `reset` follows.
    """
    live_id, own, *positions = (
        request.query_arguments.get(name, [b""])[-1].decode("utf-8", "replace")
        for name in ("live_id", "own", "epoch", "since", "own_epoch", "own_since")
    )
    room = int(live_id) if _LIVE_ID.fullmatch(live_id) else 0
    return ConnectRequest(
        room if "live_id" in request.query_arguments else None,
        _position(*positions[:2]),
        bearer_token(request),
        request_id(request),
        own == "1",
        _position(*positions[2:]),
    )


def _position(epoch: str, seq: str) -> ResumePosition | None:
    if not seq:
        return None
    is_number = epoch and seq.isdecimal() and len(seq) < 16
    return ResumePosition(epoch, int(seq)) if is_number else ResumePosition("", 0)
