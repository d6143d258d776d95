"""HTTP client of one external service, with timeouts and a bounded queue."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import Any, Literal
from urllib.parse import urlencode

import aiohttp
import structlog
from yarl import URL

from core.retry import jittered
from tencent.errors import ServiceUnavailable, Unreadable
from tencent.json_reader import read_object

log = structlog.get_logger("tencent.service_client")

MAX_CLIENTS = 100
# aiohttp limits how long a request may queue, but not how many queue. Requests beyond this many
# would only time out one after the other, so they fail at once.
MAX_QUEUED = 400
MAX_RESPONSE_BYTES = 1024 * 1024
"""Bytes of a response to a call; expected ones are below 10 kB."""
IDLE_SECONDS = 10.0
"""A connection that was idle for longer is closed: the service is about to do so by itself."""
PAUSE_SECONDS = 0.2
"""Time before a retry, on average."""
HEADERS = {"User-Agent": "qlive", "Content-Type": "application/json"}

FRESH_SECONDS = 240.0
"""How long a state shows whether the service answers; less than an alert waits, so that a single
failure fires none."""

State = Literal["unknown", "ok", "down"]
Method = Literal["GET", "POST", "PUT", "DELETE"]
EMPTY: Mapping[str, str] = {}
OnResponse = Callable[[Mapping[str, str]], None]
"""Called with the headers of every response, also of HTTP 5xx."""
Send = Callable[[], AbstractAsyncContextManager[aiohttp.ClientResponse]]


class ConnectionLost(aiohttp.ClientError):
    """The service may or may not have carried out the request."""


@dataclass(frozen=True, slots=True)
class ServiceResponse:
    """A response below HTTP 500; `headers` are case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content(self) -> dict[str, Any]:
        """The JSON object in the body, whatever its Content-Type; {} if there is none."""
        try:
            return read_object(self.body)
        except Unreadable:
            return {}


class ServiceClient:
    """Client of the service `name` ("wechat", "im", "pay", "xpay", ...) at a base URL.

    Each has its own connections and queue, also where several call the same `service`, which is
    named in errors. Only requests that are safe to repeat share connections: one that is sent while
    the service closes its connection fails, perhaps after it was carried out.

    Create it inside the running event loop. Queries and bodies carry secrets and are never logged.
    /readyz reports `state`, `since` and `latency_ms`.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        service: str = "",
        timeout: float = 5.0,
        max_bytes: int = MAX_RESPONSE_BYTES,
        on_response: OnResponse = lambda _headers: None,
    ) -> None:
        """Create a client; `timeout` of each attempt, in seconds; `max_bytes` of a response."""
        self.name = name
        self.service = service or name
        self.state: State = "unknown"
        self.since = datetime.now(UTC)
        self.latency_ms: float | None = None
        self._last_ended: float | None = None
        """`monotonic()` at the end of the last request."""
        self._base_url = base_url.rstrip("/")
        self.timeout = timeout
        self._max_bytes = max_bytes
        self._on_response = on_response
        self._failure = ""
        self._in_flight = 0
        self._kept = _open_session(keepalive_timeout=IDLE_SECONDS)
        self._single = _open_session(force_close=True)

    @property
    def is_fresh(self) -> bool:
        """Whether `state` is from the last FRESH_SECONDS."""
        return self._last_ended is not None and monotonic() - self._last_ended < FRESH_SECONDS

    async def close(self) -> None:
        try:
            await self._kept.close()
        finally:  # also if a cancellation has ended that
            await self._single.close()

    async def request(
        self,
        method: Method,
        path: str,
        query: Mapping[str, str] = EMPTY,
        body: str | bytes = "",
        headers: Mapping[str, str] = EMPTY,
        *,
        safe_to_repeat: bool = False,
    ) -> ServiceResponse:
        """Return any response below HTTP 500.

        `body` is sent as it is, because signatures cover it. With `safe_to_repeat` a failed
        request is retried once. This is off by default for GET too, because some GETs (the exchange
        of a login code) have side effects. Raises ServiceUnavailable if there is no such response.
        """
        # Encoded by us: signatures cover the query.
        suffix = "?" + urlencode(query) if query else ""
        url = URL(self._base_url + path + suffix, encoded=True)
        session = self._kept if safe_to_repeat else self._single
        send = partial(
            session.request,
            method,
            url,
            data=(body.encode() if isinstance(body, str) else body) or None,
            headers=headers,
            allow_redirects=False,
        )
        path = path.partition("?")[0]  # for the log: a whole address may have a secret query
        response = await self._attempt(send, path, is_kept=safe_to_repeat)
        if response is None and safe_to_repeat:
            await asyncio.sleep(jittered(PAUSE_SECONDS))
            response = await self._attempt(send, path, is_kept=True)
        if response is None:
            raise ServiceUnavailable(self.service, self._failure)
        return response

    async def _attempt(self, send: Send, path: str, *, is_kept: bool) -> ServiceResponse | None:
        if self._in_flight >= MAX_CLIENTS + MAX_QUEUED:
            # Caused by our own load: it shows nothing about the service, whose state stays.
            log.warning("service_queue_full", service=self.name, path=path)
            return None
        self._in_flight += 1
        started = monotonic()
        try:
            async with asyncio.timeout(self.timeout):
                try:
                    response = await self._read(send)
                except ConnectionLost:
                    if not is_kept:
                        raise
                    # The service was closing the idle connection, which shows no failure.
                    response = await self._read(send)
        except (aiohttp.ClientError, OSError) as error:
            self._record(started, path, type(error).__name__)
            return None
        finally:
            self._in_flight -= 1
        failure = f"HTTP {response.status}" if response.status >= 500 else ""
        self._record(started, path, failure)
        return None if failure else response

    async def _read(self, send: Send) -> ServiceResponse:
        async with send() as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > self._max_bytes:
                    raise aiohttp.ClientPayloadError("too long")
            self._on_response(response.headers)
            return ServiceResponse(response.status, response.headers, bytes(body))

    def _record(self, started: float, path: str, failure: str) -> None:
        state: State = "down" if failure else "ok"
        self._last_ended = monotonic()
        self.latency_ms = round((self._last_ended - started) * 1000, 1)
        if failure:
            self._failure = failure
            log.warning("service_request_failed", service=self.name, path=path, why=failure)
        if state != self.state:
            log.info("service_state_changed", service=self.name, before=self.state, now=state)
            self.state = state
            self.since = datetime.now(UTC)


async def _once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request once, as middleware.

    aiohttp would send a GET again whose connection was lost, also one that must not be repeated.
    """
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise ConnectionLost(str(error)) from error


def _open_session(**connections: Any) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=MAX_CLIENTS, **connections),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=HEADERS,
        timeout=aiohttp.ClientTimeout(total=None),  # an attempt has one, with its waits
        middlewares=(_once,),
    )
