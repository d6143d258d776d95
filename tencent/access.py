"""The access token that most of WeChat's server API wants."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from rooms.refusals import ServiceAway
from tencent.outside import Outside

log = structlog.get_logger("tencent.access")

PATH = "/cgi-bin/stable_token"
MARGIN_SECONDS = 300
"""So long before its end a new one is to be had, and the old one still holds."""
PATIENCE_SECONDS = 8.0
STALE = frozenset({40001, 40014, 42001})
"""Error numbers of other calls that mean: not this token (any more)."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    until: float


class AccessTokens:
    """One per mini-program in `apps` (appId -> secret), kept until it ends.

    Every process may ask for its own: WeChat gives all of them the same one.
    Source: WeChat server API, "stable access token".
    """

    def __init__(
        self,
        outside: Outside,
        apps: Mapping[str, str],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now` in seconds."""
        self._outside = outside
        self._apps = dict(apps)
        self._now = now
        self._tokens: dict[str, _Token] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, app_id: str) -> str:
        """ServiceAway, also when too many wait for one that does not come."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._kept(app_id)
        except TimeoutError:
            raise ServiceAway(self._outside.name) from None

    async def _kept(self, app_id: str) -> str:
        async with self._locks.setdefault(app_id, asyncio.Lock()):  # many ask, one goes
            kept = self._tokens.get(app_id)
            if kept is None or self._now() >= kept.until:
                kept = self._tokens[app_id] = await self._fetch(app_id)
            return kept.text

    def drop(self, app_id: str, token: str) -> None:
        """WeChat says that this one does not hold; a newer one stays."""
        kept = self._tokens.get(app_id)
        if kept and kept.text == token:
            del self._tokens[app_id]

    async def _fetch(self, app_id: str) -> _Token:
        wish = {
            "grant_type": "client_credential",
            "appid": app_id,
            "secret": self._apps.get(app_id, ""),
            "force_refresh": False,
        }
        asked_at, body = self._now(), json.dumps(wish).encode()
        headers = {"Content-Type": "application/json"}
        response = await self._outside.post(PATH, {}, body, headers, safe_to_repeat=True)
        answer = _object(response.body)
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token or type(seconds) is not int:
            errcode = answer.get("errcode")
            log.error("no_access_token", errcode=errcode, status=response.status)
            raise ServiceAway(self._outside.name)
        return _Token(token, asked_at + max(0, seconds - MARGIN_SECONDS))


def _object(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
