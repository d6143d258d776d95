"""Who may call: people with a token, and of those the ones that are welcome in rooms."""

from typing import ClassVar

import structlog
from tornado.httputil import HTTPServerRequest

from handlers.base import Handler
from rooms.refusals import Banned, NotSignedIn
from storage.users import User


class SignedIn(Handler):
    """A call for people with a token."""

    only_reads: ClassVar[bool] = False
    """Whether it changes nothing: then whose the token is may be known already."""

    async def admit(self) -> None:
        self.token = token_in(self.request)
        owners = self.parts.owners if self.only_reads else self.parts.tokens
        user_id = await owners.owner(self.token) if self.token else None
        user = await self.parts.users.find(user_id) if user_id else None
        if user is None:
            raise NotSignedIn
        self.user: User = user
        structlog.contextvars.bind_contextvars(user_id=user.user_id)


class Welcome(SignedIn):
    """A call of rooms or gifts: not for the banned."""

    async def still_welcome(self) -> User:
        """The user as they are now; whoever was banned or logged out while they were let in is
        taken out again. Banned, NotSignedIn."""
        user_id = self.user.user_id
        user = await self.parts.users.get(user_id)
        if user.banned:
            await self.parts.keeper.take_out(user_id, "banned")
            raise Banned
        if await self.parts.tokens.owner(self.token) is None:
            await self.parts.keeper.take_out(user_id)
            raise NotSignedIn
        return user

    async def admit(self) -> None:
        await super().admit()
        if self.user.banned:
            raise Banned


def token_in(request: HTTPServerRequest) -> str:
    """The token of `Authorization: QLiveToken <40 hex>`, or ""."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "qlivetoken" else ""
