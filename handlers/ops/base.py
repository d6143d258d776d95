"""Operators' API: bearer-token authentication, an audit entry per change, a count of reads."""

import hmac
from collections.abc import Mapping
from typing import Any

import structlog

from core.errors import RateLimited
from handlers.base import Handler
from handlers.errors import InvalidOperatorToken
from handlers.remote import limit_key

PAGE_SIZE = 50
OPERATOR = "ops"
"""Name of everybody who has the token."""
log = structlog.get_logger("qlive.http")


class OperatorHandler(Handler):
    """Authenticates the operator, and writes an audit entry before a change is processed.

    After a change that succeeded, its outcome is written: what `target_state` returns that differs
    from before. Without an outcome the change was refused or interrupted. Reads are counted: the
    console alone sends several a second, and their entries would hide the changes. Requests with a
    wrong token are logged and not audited.
    """

    created: Mapping[str, Any] | None = None
    """What a POST has created, for its outcome; it had no state before."""
    admission_errors = (InvalidOperatorToken, RateLimited)
    keep_blank_values = True

    async def admit(self) -> None:
        self._authenticate()
        self._entry: Any = None
        if self.request.method == "GET":
            self.context.metrics.operator_reads.labels(self.label).inc()
            return
        parameters = self.parameters()
        self._entry = await self.context.stores.audit.begin(
            who=OPERATOR,
            what=f"{self.request.method} {self.label}",
            on="/".join(str(part) for part in self.path_args),
            reason=_reason(parameters),
            asked=parameters,
            role="",
            address=self.remote_ip[:64],
        )
        self._before = await self.target_state()

    async def done(self) -> None:
        if self._entry is not None:
            after = self.created or await self.target_state()
            await self.context.stores.audit.done(self._entry, self._before, after)

    async def target_state(self) -> Mapping[str, Any]:
        """State that the change may alter, as JSON and without secrets; {} if nothing exists."""
        return {}

    def _authenticate(self) -> None:
        """Compare the token; an address that has guessed too often is refused before that."""
        limits, address = self.context.request_limits, limit_key(self.remote_ip)
        self.admission.raise_if_limited(limits.seconds_until_token("ops_login", address))
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        expected = self.context.settings.ops.token.encode()
        matches = hmac.compare_digest(token.strip().encode(), expected)
        if scheme.lower() != "bearer" or not expected or not matches:
            limits.take_from_address("ops_login", address)
            self.context.metrics.operator_tokens_refused.inc()
            log.warning("operator_token_refused", address=address)
            raise InvalidOperatorToken


def _reason(parameters: dict[str, Any]) -> str:
    """Text of at most 500 characters; lone surrogates, which BSON rejects, become `?`."""
    reason = parameters.get("reason") or parameters.get("ban_reason") or ""
    return str(reason)[:500].encode("utf-8", "replace").decode()
