"""One service outside, asked over HTTP, never waited for without end."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Literal
from urllib.parse import urlencode

import structlog
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from rooms.refusals import ServiceAway

log = structlog.get_logger("tencent.outside")

MAX_CLIENTS = 100
# Tornado bounds how long a request may queue, not how many queue: beyond this many they would
# only time out one after the other, so they are refused at once.
MAX_WAITING = 400
MAX_BODY = 1024 * 1024  # bytes; the answers we ask for are below 10 kB

State = Literal["unknown", "ok", "down"]


@dataclass(frozen=True, slots=True)
class Response:
    """An answer below HTTP 500; `headers` find their names in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Outside:
    """A service by `name` ("wechat", "im", "pay") at a base URL without a trailing slash.

    Build it inside the running loop. Queries and bodies carry secrets: they are never logged.
    `state`, `since` and `latency_ms` (of the last call) are for /readyz.
    """

    def __init__(
        self, name: str, base_url: str, *, timeout: float = 5.0, pause: float = 0.2
    ) -> None:
        """`timeout` and `pause` (before a repetition) in seconds."""
        self.name = name
        self.state: State = "unknown"
        self.since = datetime.now(UTC)
        self.latency_ms: float | None = None
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout
        self._pause = pause
        self._under_way = 0
        self._client = AsyncHTTPClient(
            force_instance=True, max_clients=MAX_CLIENTS, max_body_size=MAX_BODY
        )

    def close(self) -> None:
        self._client.close()

    async def get(
        self,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        *,
        safe_to_repeat: bool = False,
    ) -> Response:
        """The answer, whatever it is below HTTP 500; otherwise ServiceAway.

        With `safe_to_repeat` a failure is tried once more: a GET is not safe by itself, since
        some (the exchange of a login code) change things.
        """
        return await self._ask(
            "GET", path, query, None, headers or {}, safe_to_repeat=safe_to_repeat
        )

    async def post(
        self,
        path: str,
        query: Mapping[str, str],
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        safe_to_repeat: bool = False,
    ) -> Response:
        """As `get`; `body` is sent byte for byte (signatures cover it)."""
        return await self._ask(
            "POST", path, query, body, headers or {}, safe_to_repeat=safe_to_repeat
        )

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        safe_to_repeat: bool,
    ) -> Response:
        request = HTTPRequest(
            self._base_url + path + ("?" + urlencode(query) if query else ""),
            method=method,
            body=body,
            headers=dict(headers),
            connect_timeout=self._timeout,
            request_timeout=self._timeout,
            follow_redirects=False,
            user_agent="qlive",
        )
        answer = await self._try(request, path)
        if answer is None and safe_to_repeat:
            jitter = random.uniform(0.5, 1.5)
            await asyncio.sleep(self._pause * jitter)
            answer = await self._try(request, path)
        if answer is None:
            raise ServiceAway(self.name)
        return answer

    async def _try(self, request: HTTPRequest, path: str) -> Response | None:
        if self._under_way >= MAX_CLIENTS + MAX_WAITING:
            # Our own crowd, no news about the service: its state stays.
            log.warning("too_many_calls_under_way", service=self.name, path=path)
            return None
        self._under_way += 1
        began = monotonic()
        try:
            answer = await self._client.fetch(request, raise_error=False)
        except (HTTPClientError, OSError) as error:
            self._note("down", began, path, type(error).__name__)
            return None
        finally:
            self._under_way -= 1
        if answer.code >= 500:
            self._note("down", began, path, f"HTTP {answer.code}")
            return None
        self._note("ok", began, path, "")
        return Response(answer.code, answer.headers, answer.body)

    def _note(self, state: State, began: float, path: str, why: str) -> None:
        self.latency_ms = round((monotonic() - began) * 1000, 1)
        if why:
            log.warning("call_failed", service=self.name, path=path, why=why)
        if state != self.state:
            log.info("service_state", service=self.name, before=self.state, now=state)
            self.state = state
            self.since = datetime.now(UTC)
