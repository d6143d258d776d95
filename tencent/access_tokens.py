"""Cache of the access tokens that most of WeChat's server API requires."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from tencent.errors import ServiceUnavailable
from tencent.json_reader import object_or_none
from tencent.service_client import ServiceClient

log = structlog.get_logger("tencent.access_tokens")

PATH = "/cgi-bin/stable_token"
RENEWAL_MARGIN_SECONDS = 300
"""Tokens are renewed this long before they expire; the old one stays valid meanwhile."""
TIMEOUT_SECONDS = 8.0
INVALID_TOKEN_CODES = frozenset({40001, 40014, 42001})
"""Error codes of other calls for an invalid or expired token."""


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    renew_at: float


class AccessTokenCache:
    """Caches one token per mini-program in `apps` (appId -> secret).

    Processes need no shared cache: WeChat returns the same token to all of them.
    Source: WeChat server API, "stable access token".
    """

    def __init__(
        self,
        client: ServiceClient,
        apps: Mapping[str, str],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now`: clock in seconds."""
        self._client = client
        self._apps = dict(apps)
        self._now = now
        self._tokens: dict[str, _Token] = {}
        self._locks = defaultdict[str, asyncio.Lock](asyncio.Lock)

    async def get(self, app_id: str) -> str:
        """A valid token; ServiceUnavailable on failure or after TIMEOUT_SECONDS."""
        try:
            # One request for all callers.
            async with asyncio.timeout(TIMEOUT_SECONDS), self._locks[app_id]:
                cached = self._tokens.get(app_id)
                if cached is None or self._now() >= cached.renew_at:
                    cached = self._tokens[app_id] = await self._fetch(app_id)
                return cached.value
        except TimeoutError:
            raise ServiceUnavailable(self._client.service) from None

    def drop(self, app_id: str, token: str) -> None:
        """Drops a token that WeChat rejected, unless a newer one has replaced it."""
        cached = self._tokens.get(app_id)
        if cached and cached.value == token:
            del self._tokens[app_id]

    async def _fetch(self, app_id: str) -> _Token:
        request = {
            "grant_type": "client_credential",
            "appid": app_id,
            "secret": self._apps.get(app_id, ""),
            "force_refresh": False,
        }
        requested_at, body = self._now(), json.dumps(request).encode()
        response = await self._client.request("POST", PATH, body=body, safe_to_repeat=True)
        answer = object_or_none(response.body) or {}
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token or type(seconds) is not int:
            errcode = answer.get("errcode")
            log.error("access_token_failed", errcode=errcode, status=response.status)
            raise ServiceUnavailable(self._client.service)
        return _Token(token, requested_at + max(0, seconds - RENEWAL_MARGIN_SECONDS))
