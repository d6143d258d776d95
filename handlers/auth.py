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
    """Requires a valid token and refuses banned accounts; sets `token`, `user_id` and `user`."""

    admission_errors: ClassVar[Sequence[type[QLiveError]]] = (NotAuthenticated, AccountBanned)
    read_only: ClassVar[bool] = False
    """Whether the endpoint has no side effects: its token may be looked up in the cache."""

    token: str
    user_id: str
    user: User

    async def admit(self) -> None:
        if self.read_only:
            await self.admit_cached_token()
            self.user = await self.active(await self.context.stores.users.find(self.user_id))
            return
        self.token = bearer_token(self.request)
        tokens = self.context.stores.tokens
        user = await tokens.user_of(self.token) if self.token else None
        self._admit_user_id(user.user_id if user else None)
        self.user = await self.active(user)

    async def admit_cached_token(self) -> None:
        """Set `token` and `user_id`, not `user`: the caller has to check the ban."""
        self.token = bearer_token(self.request)
        tokens = self.context.services.token_cache
        user_id = await tokens.user_id_of(self.token) if self.token else None
        self._admit_user_id(user_id)
        if user_id is None:
            raise await self.context.services.sessions.refusal_of(self.token)

    async def active(self, user: User | None) -> User:
        """The user of the token; raises AccountBanned, or NotAuthenticated for None."""
        if user is None:
            raise await self.context.services.sessions.refusal_of(self.token)
        if user.banned:
            raise AccountBanned
        return user

    def _admit_user_id(self, user_id: str | None) -> None:
        """Count the request for its user, or for its address if it has no valid token."""
        if user_id is None:
            self.limit_address("anonymous")
            return
        self.limit_user(user_id)
        self.user_id = user_id
        structlog.contextvars.bind_contextvars(user_id=user_id)


def bearer_token(request: HTTPServerRequest) -> str:
    """The token of `Authorization: QLiveToken <40 hex>`, or ""."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    # Not strip(): nginx.conf chooses the process of a user by exactly these forms.
    return token.strip(" \t") if kind.lower() == "qlivetoken" else ""
