"""Authentication by token, and refusal of banned accounts."""

from collections.abc import Sequence
from typing import ClassVar

import structlog
from tornado.httputil import HTTPServerRequest

from core.errors import QLiveError
from handlers.base import Handler
from services.errors import AccountBanned, NotAuthenticated
from storage.users import User


class ActiveUserHandler(Handler):
    """Requires a valid token and refuses banned accounts; sets `self.token` and `self.user`."""

    admission_errors: ClassVar[Sequence[type[QLiveError]]] = (NotAuthenticated, AccountBanned)
    read_only: ClassVar[bool] = False
    """Whether the endpoint has no side effects: its token may be looked up in the cache."""

    async def admit(self) -> None:
        self.token = bearer_token(self.request)
        services, stores = self.context.services, self.context.stores
        tokens = services.token_cache if self.read_only else stores.tokens
        user_id = await tokens.user_id_of(self.token) if self.token else None
        if user_id:
            self.limit_user(user_id)
        user = await stores.users.find(user_id) if user_id else None
        if user is None:
            raise await services.sessions.refusal_of(self.token)
        if user.banned:
            raise AccountBanned
        self.user: User = user
        structlog.contextvars.bind_contextvars(user_id=user.user_id)


def bearer_token(request: HTTPServerRequest) -> str:
    """The token of `Authorization: QLiveToken <40 hex>`, or ""."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "qlivetoken" else ""
