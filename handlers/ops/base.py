"""The operators' door: one bearer token, and a line in the audit for every call."""

import hmac
from typing import Any

from handlers.base import Handler
from rooms.refusals import NotAnOperator

PAGE = 50


class Operator(Handler):
    """A call of the operators' API."""

    keeps_blanks = True

    async def admit(self) -> None:
        kind, _, token = self.request.headers.get("Authorization", "").partition(" ")
        known = self.parts.settings.ops.token.encode()
        right = hmac.compare_digest(token.strip().encode(), known)
        if kind.lower() != "bearer" or not known or not right:
            raise NotAnOperator
        asked = self.parameters()
        self._entry = await self.parts.audit.begin(
            who=f"ops@{self.caller[:64]}",
            what=f"{self.request.method} {type(self).__name__}",
            on="/".join(str(part) for part in self.path_args),
            reason=_reason(asked),
            asked=asked,
            changes=self.request.method != "GET",
        )

    async def done(self) -> None:
        await self.parts.audit.done(self._entry)


def _reason(asked: dict[str, Any]) -> str:
    """Text only, and text that a database can keep."""
    said = asked.get("reason") or asked.get("ban_reason") or ""
    return str(said)[:500].encode("utf-8", "replace").decode()
