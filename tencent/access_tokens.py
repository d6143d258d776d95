"""Access tokens of WeChat's server API, one for each mini-program."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from tencent.errors import ServiceUnavailable
from tencent.json_reader import json_text, object_or_none
from tencent.service_client import ServiceClient

log = structlog.get_logger("tencent.access_tokens")

RENEWAL_MARGIN_SECONDS = 300
"""Tokens are renewed this long before they expire; the old one stays valid meanwhile."""
TOKEN_TIMEOUT_SECONDS = 8.0
INVALID_TOKEN_CODES = frozenset({40001, 40014, 42001})
"""Error codes of other calls for an invalid or expired token."""


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
        self._tokens: dict[str, tuple[str, float]] = {}
        """Token, and when to renew it, by appId."""
        self._locks = defaultdict[str, asyncio.Lock](asyncio.Lock)

    async def get(self, app_id: str) -> str:
        """A valid token; ServiceUnavailable on failure or after TOKEN_TIMEOUT_SECONDS."""
        try:
            # One request for all callers.
            async with asyncio.timeout(TOKEN_TIMEOUT_SECONDS), self._locks[app_id]:
                token, renew_at = self._tokens.get(app_id, ("", 0.0))
                if not token or self._now() >= renew_at:
                    token, _ = self._tokens[app_id] = await self._fetch(app_id)
                return token
        except TimeoutError:
            raise ServiceUnavailable(self._client.service) from None

    def drop(self, app_id: str, token: str) -> None:
        """Drops a token that WeChat rejected, unless a newer one has replaced it."""
        if self._tokens.get(app_id, ("",))[0] == token:
            del self._tokens[app_id]

    async def call(
        self, app_id: str, send: Callable[[str], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any]:
        """WeChat's answer to a call with a token, which is renewed once if WeChat rejects it."""
        token = await self.get(app_id)
        answer = await send(token)
        if answer.get("errcode") in INVALID_TOKEN_CODES:
            self.drop(app_id, token)
            answer = await send(await self.get(app_id))
        return answer

    async def _fetch(self, app_id: str) -> tuple[str, float]:
        request = {
            "grant_type": "client_credential",
            "appid": app_id,
            "secret": self._apps.get(app_id, ""),
            "force_refresh": False,
        }
        requested_at, body = self._now(), json_text(request).encode()
        response = await self._client.request(
            "POST", "/cgi-bin/stable_token", body=body, safe_to_repeat=True
        )
        answer = object_or_none(response.body) or {}
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token or type(seconds) is not int:
            errcode = answer.get("errcode")
            log.error("access_token_failed", errcode=errcode, status=response.status)
            raise ServiceUnavailable(self._client.service)
        return token, requested_at + max(0, seconds - RENEWAL_MARGIN_SECONDS)
