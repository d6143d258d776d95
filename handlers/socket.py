"""The handshake: who may open a socket, and from where; then the connection is a caller's."""

import asyncio
import base64
import re
from dataclasses import dataclass

from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest

from handlers.admission import token_in
from handlers.base import Handler
from handlers.caller import Caller, Wish
from handlers.parts import Parts
from handlers.requests import address_of, id_of
from realtime import wire
from realtime.opening import Since
from rooms.refusals import Away, BadRequest, NotAllowed, Refusal, TooMany

ONLY_SOCKETS = "This path speaks WebSocket only."
_LIVE_ID = re.compile(r"[0-9]{1,15}")


class RoomSocket(Handler):
    """One member's socket in one room."""

    def initialize(self, parts: Parts, why: Refusal | None = None) -> None:
        """`why` there is no socket."""
        super().initialize(parts)
        self._why = why or BadRequest(ONLY_SOCKETS)

    async def get(self) -> None:
        """A handshake; anything else gets the envelope."""
        raise self._why


class Takeover(HTTPMessageDelegate):
    """Takes the connection away from HTTP as soon as the headers are there.

    Tornado makes a handler of every other request, which is a fifth of what a handshake costs:
    when a server is renewed, all its people come in at once.
    """

    def __init__(self, handshake: "Handshake") -> None:
        self._handshake = handshake

    def headers_received(self, *_: object) -> None:
        self._handshake.accept()


@dataclass(frozen=True, slots=True)
class Handshake:
    """A request for a socket."""

    parts: Parts
    request: HTTPServerRequest

    def refusal(self) -> Refusal | None:
        """What speaks against it. To be asked once: it counts."""
        if not is_handshake(self.request):
            return BadRequest(ONLY_SOCKETS)
        if self.parts.draining:
            return Away()
        if not self._origin_is_ours():
            return NotAllowed("This page may not open sockets here.")
        trusted = self.parts.settings.server.trusted_proxies
        if self.parts.handshakes.too_many(address_of(self.request, trusted)):
            refusal = TooMany("Too many sockets at once from this address; try again.")
            refusal.retry_after = 1
            return refusal
        return None

    def accept(self) -> None:
        """101; from here on the connection is a caller's."""
        connection = self.request.connection
        assert isinstance(connection, HTTP1Connection)
        stream = connection.detach()
        if stream.closed():  # they have hung up since
            return
        stream.set_nodelay(True)
        self.parts.metrics.handshakes.inc()
        wish = Wish(self._live_id(), self._since(), token_in(self.request), id_of(self.request))
        caller = Caller(self.parts, stream)
        caller.outbox.send(wire.upgrade(self.request.headers["Sec-WebSocket-Key"].strip()))
        call = asyncio.get_running_loop().create_task(caller.run(wish))
        self.parts.calls.add(call)
        call.add_done_callback(self.parts.calls.discard)

    def _live_id(self) -> int:
        """0, which no room has, for what is none."""
        said = self._said("live_id")
        return int(said) if _LIVE_ID.fullmatch(said) else 0

    def _since(self) -> Since | None:
        seq = self._said("since")
        if not seq:
            return None
        # A number that is none matches no life: the client gets a snapshot that says so.
        epoch = self._said("epoch") if seq.isdecimal() and len(seq) < 16 else ""
        return Since(epoch, int(seq) if epoch else 0)

    def _said(self, name: str) -> str:
        values = self.request.query_arguments.get(name, [b""])
        return values[-1].decode("utf-8", "replace")

    def _origin_is_ours(self) -> bool:
        """Browsers send an Origin; without one it is a native client."""
        origin = self.request.headers.get("Origin")
        if origin is None:
            return True
        allowed = self.parts.settings.server.allowed_origins
        return origin in allowed or origin.partition("://")[2] == self.request.host


def is_handshake(request: HTTPServerRequest) -> bool:
    """RFC 6455 §4.2.1; what comes behind the headers are frames and no body."""
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
    """16 bytes in base64."""
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except ValueError:
        return False
