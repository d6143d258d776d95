"""The parts of an invitation that WeChat makes: private messages, links and codes."""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from config.sections import UploadsSettings
from core.clock import day_interval, day_of
from storage.accounts.users import User
from storage.stores import Stores
from tencent.cos import CosClient
from tencent.errors import ServiceUnavailable
from tencent.invitations import PNG, InvitationClient, NotGiven

LONGEST_TICKET = timedelta(days=1)
CODE_SECONDS = 6.0
"""Longest wait for a code. An attempt at COS may take 5 s, and is then logged."""


@dataclass
class InvitationParts:
    """What phones outside the room need besides a ticket; "" is a part that cannot be had now.

    `page`: the page of the mini-program that an invitation opens.
    """

    _client: InvitationClient
    _cos: CosClient
    _stores: Stores
    _uploads: UploadsSettings
    _page: str

    def path(self, ticket: str) -> str:
        """Return the page with the ticket, for a card or a link within the mini-program."""
        return f"{self._page}?t={ticket}"

    async def friend(self, inviter: User) -> str:
        """Return the activity id of a private message, which only the inviter can send."""
        try:
            return await self._client.activity_id(inviter.app_id, inviter.openid)
        except NotGiven:
            return ""

    async def link(self, app_id: str, ticket: str) -> str:
        """Return a link for outside of WeChat, valid as long as any ticket of today.

        All tickets of a day in China share WeChat's link, which spares the quota; `cq` is added to
        the query of the page.
        """
        links, day = self._stores.invitation_links, day_of(datetime.now(UTC))
        key = f"{app_id}:{self._page}:{day}"
        if (link := await links.find(key)) is None:
            expires_at = day_interval(day)[1] + LONGEST_TICKET
            try:
                link = await self._client.url_link(app_id, self._page, expires_at)
            except NotGiven:
                return ""
            await links.keep(key, link, expires_at)
        return f"{link}?cq={quote(f't={ticket}', safe='')}"

    async def code(self, app_id: str, ticket: str) -> str:
        """Return the public address of a code with the ticket as its scene, made once."""
        key = self.picture_key(ticket)
        if not key:
            return ""
        try:
            async with asyncio.timeout(CODE_SECONDS):
                if await self._cos.head(key) is None:
                    picture = await self._client.code(app_id, self._page, ticket)
                    content_type = "image/png" if picture.startswith(PNG) else "image/jpeg"
                    await self._cos.put(key, picture, content_type)
        except (NotGiven, ServiceUnavailable, TimeoutError):
            return ""
        return f"{self._uploads.address}/{key}"

    def picture_key(self, ticket: str) -> str:
        """Return the key of the ticket's code, which does not show it; "" without a bucket."""
        if not self._uploads.bucket:
            return ""
        return f"pictures/code/{hashlib.sha256(ticket.encode()).hexdigest()[:32]}.jpg"
