"""Tickets into lives: issuing them, with what WeChat adds, and entering."""

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from config.sections import UploadsSettings
from core.clock import day_interval, day_of, now_ms
from core.errors import InvalidParameter
from ledger.errors import RequestIdReused
from rooms.errors import InvitationInvalid
from rooms.events import NumberedEvent
from rooms.room import Room
from rooms.tickets import Ticket, TicketKind
from services.errors import SessionKeyMissing
from services.moderation.user_safety import UserSafetyService
from services.room_changes import RoomChanges
from services.rooms.live_rooms import LiveRoomService
from storage.accounts.users import User
from storage.stores import Stores
from storage.write_batch import WriteBatch
from tencent.activity_cards import PNG, ActivityCardClient
from tencent.cos import CosClient
from tencent.errors import InvalidEncryptedData, ServiceUnavailable
from tencent.wechat import decrypt_open_data

LONGEST_TICKET = timedelta(days=1)
CODE_SECONDS = 6.0
"""Longest wait for a code. An attempt at COS may take 5 s, and is then logged."""


async def name_tickets(
    stores: Stores, room: Room, _events: Sequence[NumberedEvent], batch: WriteBatch
) -> None:
    """Add the names and the pictures of new and of ended tickets."""
    before = room.loaded.tickets
    if room.tickets is before:
        return
    for ticket_id in room.tickets.keys() ^ before.keys():
        ended, new = before.get(ticket_id), room.tickets.get(ticket_id)
        if new:
            stores.identities.add_to(batch, "ticket", ticket_id, room.live_id)
        else:
            stores.identities.drop_in(batch, "ticket", ticket_id)
        # Of a new one, before there is a picture, which no failure then leaves behind.
        if new and new.picture:
            stores.outbox.add_deletion_to(batch, new.picture, timedelta(minutes=new.minutes + 1))
        elif ended and ended.picture:
            stores.outbox.add_deletion_to(batch, ended.picture, timedelta())


@dataclass
class TicketService:
    """Issues tickets, and lets users enter with them."""

    _stores: Stores
    _room_changes: RoomChanges
    _lives: LiveRoomService
    _user_safety: UserSafetyService
    _: KW_ONLY
    wechat: ActivityCardClient
    cos: CosClient
    uploads: UploadsSettings
    page: str
    """Page of the mini-program that a ticket opens."""

    # ---- issuing

    async def issue(
        self,
        live_id: int,
        inviter: User,
        by: TicketKind,
        minutes: int,
        *,
        uses: int = 1,
        user_id: str | None = None,
        request_id: str | None = None,
    ) -> tuple[Ticket, str]:
        """Invite by a ticket of `uses` uses, or into the app the user `user_id`.

        Return the ticket, the same for the same request_id of an inviter, with its link or the
        address of its picture; "" if WeChat or COS is away. Raises UserNotFound, Blocked,
        RequestIdReused, or as Room.issue_ticket.
        """
        id_, until = secrets.token_hex(12), now_ms() + minutes * 60_000
        ticket = Ticket(id_, by, inviter.user_id, until, minutes, uses, request_id=request_id or "")
        if by == "app":
            if not user_id:
                raise InvalidParameter({"user_id": "this is required"})
            ticket = replace(ticket, user_id=user_id, uses=1)
        elif by == "code" and self.uploads.bucket:
            # The ticket cannot be read from the picture's address.
            key = f"pictures/code/{secrets.token_hex(16)}.jpg"
            ticket = replace(ticket, picture=key)
        # On a copy first: neither a refused nor a repeated request costs a call of WeChat.
        room = await self._room_changes.load(live_id, inviter.user_id)
        room.expire(now_ms())
        is_new = room.issue_ticket(ticket) is ticket
        if ticket.user_id:
            user = await self._stores.users.get(ticket.user_id)
            await self._check_pairs(user, room.host_id, inviter.user_id)
        elif is_new and by == "friend":
            with suppress(ServiceUnavailable):
                activity_id = await self.wechat.activity_id(inviter.app_id, inviter.openid)
                ticket = replace(ticket, activity_id=activity_id)
        issued = await self._room_changes.change(
            live_id, lambda room: room.issue_ticket(ticket), inviter.user_id
        )
        if issued.content != ticket.content:
            raise RequestIdReused
        return issued, await self._part_of(issued, inviter.app_id)

    async def _part_of(self, ticket: Ticket, app_id: str) -> str:
        with suppress(ServiceUnavailable, TimeoutError):
            if ticket.by == "link":
                link = await self._link_of_today(app_id)
                return f"{link}?cq={quote(f't={ticket.id}', safe='')}"
            if ticket.picture:
                async with asyncio.timeout(CODE_SECONDS):
                    await self._make_code(ticket, app_id)
                return f"{self.uploads.address}/{ticket.picture}"
        return ""

    async def _link_of_today(self, app_id: str) -> str:
        """Return the link of all tickets of a day in China: one spares the quota of WeChat."""
        name, day = f"ticket_link:{app_id}:{self.page}", day_of(datetime.now(UTC))
        made = await self._stores.job_leases.last_result(name)
        if made.get("at") != str(day):
            expires_at = day_interval(day)[1] + LONGEST_TICKET
            link = await self.wechat.url_link(app_id, self.page, expires_at)
            made = {"at": str(day), "link": link}
            await self._stores.job_leases.store_result(name, made)
        return str(made["link"])

    async def _make_code(self, ticket: Ticket, app_id: str) -> None:
        """Store a code with the ticket as its scene, unless there is one."""
        if await self.cos.head(ticket.picture) is None:
            picture = await self.wechat.code(app_id, self.page, ticket.id)
            content_type = "image/png" if picture.startswith(PNG) else "image/jpeg"
            await self.cos.put(ticket.picture, picture, content_type)

    # ---- entering

    async def enter(
        self,
        live_id: int | None,
        user: User,
        token: str,
        ticket_id: str = "",
        encrypted: str = "",
        iv: str = "",
    ) -> Room:
        """Enter a live, or the one that the ticket opens.

        A friend proves by what WeChat has `encrypted` that the message has reached them. With
        `live_id`, the ticket must be of this room; a member comes back also without a valid one.
        Raises InvitationInvalid, Blocked, SessionKeyMissing, or as LiveRoomService.enter.
        """
        if not ticket_id and live_id is None:
            raise InvalidParameter({"live_id": "this is required"})
        if ticket_id and (room := await self._stores.rooms.of_ticket(ticket_id)):
            member = await self._stores.members.get(user.user_id)
            if not (member and room.role_in(member)):
                await self._check_taker(user, room, room.tickets[ticket_id], encrypted, iv)
            live_id = live_id or room.live_id
        if live_id is None:
            raise InvitationInvalid
        return await self._lives.enter(live_id, user, token, ticket_id)

    async def _check_taker(
        self, user: User, room: Room, ticket: Ticket, encrypted: str, iv: str
    ) -> None:
        await self._check_pairs(user, room.host_id, ticket.inviter)
        if ticket.activity_id and user.user_id not in ticket.takers:
            await self._check_friend(user, ticket.activity_id, encrypted, iv)

    async def _check_pairs(self, user: User, *other_ids: str) -> None:
        """Raise Blocked if one of these users and the user have blocked each other."""
        for other_id in {*other_ids} - {user.user_id}:
            await self._user_safety.check_pair(user, other_id)

    async def _check_friend(self, user: User, activity_id: str, encrypted: str, iv: str) -> None:
        """Check that WeChat's message with this activity has reached the user.

        Raises InvitationInvalid, or SessionKeyMissing if another login may help.
        """
        if not encrypted:
            raise InvitationInvalid
        key = await self._stores.users.session_key(user.user_id)
        if not key:
            raise SessionKeyMissing
        try:
            message = decrypt_open_data(key, encrypted, iv, user.app_id)
        except InvalidEncryptedData:
            raise SessionKeyMissing from None
        if message.get("activityId") != activity_id:
            raise InvitationInvalid
