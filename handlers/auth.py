"""Authentication by token, and refusal of banned accounts."""

from collections.abc import Sequence
from typing import ClassVar

import structlog
from tornado.httputil import HTTPServerRequest

from core.errors import QLiveError
from handlers.base import Handler
from services.errors import AccountBanned, NotAuthenticated
from storage.users import User


class SignedInHandler(Handler):
    """Requires a valid token; sets `self.token` and `self.user`."""

    admission_errors: ClassVar[Sequence[type[QLiveError]]] = (NotAuthenticated,)
    read_only: ClassVar[bool] = False
    """Whether the endpoint has no side effects: its token may be looked up in the cache."""

    async def admit(self) -> None:
        self.token = bearer_token(self.request)
        tokens = self.context.services.token_cache if self.read_only else self.context.stores.tokens
        user_id = await tokens.user_id_of(self.token) if self.token else None
        user = await self.context.stores.users.find(user_id) if user_id else None
        if user is None:
            raise NotAuthenticated
        self.user: User = user
        structlog.contextvars.bind_contextvars(user_id=user.user_id)


class ActiveUserHandler(SignedInHandler):
    """Additionally refuses banned accounts; for rooms, gifts and rankings."""

    admission_errors = (NotAuthenticated, AccountBanned)

    async def admit(self) -> None:
        await super().admit()
        if self.user.banned:
            raise AccountBanned


def bearer_token(request: HTTPServerRequest) -> str:
    """The token of `Authorization: QLiveToken <40 hex>`, or ""."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "qlivetoken" else ""
