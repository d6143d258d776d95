"""Invitations into lives: tickets, with what WeChat adds to them, and entering with one."""

import secrets
from dataclasses import dataclass, replace

from core.clock import now_ms
from core.errors import InvalidParameter
from ledger.errors import RequestIdReused
from rooms.errors import InvitationInvalid
from rooms.room import Room
from rooms.tickets import Ticket, TicketKind
from services.errors import SessionKeyMissing
from services.moderation.user_safety import UserSafetyService
from services.room_changes import RoomChanges
from services.rooms.invitation_parts import InvitationParts
from services.rooms.live_rooms import LiveRoomService
from storage.accounts.users import User
from storage.stores import Stores
from tencent.errors import InvalidEncryptedData
from tencent.wechat import decrypt_activity_id


@dataclass(frozen=True, slots=True)
class IssuedTicket:
    """A ticket and where it leads; `part` is the link or the address of the picture."""

    ticket: Ticket
    path: str
    part: str = ""

    @property
    def lacks_wechat(self) -> bool:
        return self.ticket.by != "app" and not (self.part or self.ticket.activity_id)


@dataclass
class InvitationService:
    """Issues tickets, and lets users enter with them."""

    _stores: Stores
    _room_changes: RoomChanges
    _lives: LiveRoomService
    _user_safety: UserSafetyService
    _parts: InvitationParts

    async def issue(
        self,
        live_id: int,
        inviter: User,
        by: TicketKind,
        minutes: int,
        *,
        uses: int = 1,
        user_id: str = "",
        request_id: str = "",
    ) -> IssuedTicket:
        """Invite by a ticket of `uses` uses, or into the app the user `user_id`.

        The same request_id of an inviter returns the same ticket. Raises UserNotFound, Blocked,
        RequestIdReused, or as Room.issue_ticket.
        """
        if by == "app":
            if not user_id:
                raise InvalidParameter({"user_id": "this is required"})
            uses = 1
            user = await self._stores.users.get(user_id)
            await self._check_pairs(user, inviter.user_id)
        id_ = secrets.token_hex(12)
        ticket = Ticket(
            id_,
            by,
            inviter.user_id,
            now_ms() + minutes * 60_000,
            minutes,
            uses,
            user_id if by == "app" else "",
            request_id,
            picture=self._parts.picture_key(id_) if by == "code" else "",
        )
        # On a copy first: neither a refused nor a repeated request costs a call of WeChat.
        room = await self._room_changes.load(live_id, inviter.user_id)
        if by == "friend" and room.issue_ticket(ticket) is ticket:
            ticket = replace(ticket, activity_id=await self._parts.friend(inviter))
        if by == "app":
            await self._check_pairs(user, room.host_id)
        issued = await self._room_changes.change(
            live_id, lambda room: room.issue_ticket(ticket), inviter.user_id
        )
        if issued.content != ticket.content:
            raise RequestIdReused
        part = ""
        if by == "link":
            part = await self._parts.link(inviter.app_id, issued.id)
        elif by == "code":
            part = await self._parts.code(inviter.app_id, issued.id)
        return IssuedTicket(issued, self._parts.path(issued.id), part)

    async def open_tickets(self, live_id: int, user_id: str) -> list[IssuedTicket]:
        """Return the open tickets that a user may see. Raises as Room.tickets_of."""
        room = await self._room_changes.load(live_id, user_id)
        room.expire(now_ms())
        return [IssuedTicket(row, self._parts.path(row.id)) for row in room.tickets_of(user_id)]

    async def withdraw(self, live_id: int, user_id: str, ticket_id: str) -> None:
        """End a ticket, also as the user whom it names. Raises as Room.withdraw_ticket."""
        await self._room_changes.change(
            live_id, lambda room: room.withdraw_ticket(user_id, ticket_id), user_id
        )

    async def enter(
        self,
        live_id: int | None,
        user: User,
        token: str,
        ticket_id: str,
        encrypted: str = "",
        iv: str = "",
    ) -> Room:
        """Enter the live that the ticket opens.

        A friend proves by what WeChat has `encrypted` that the message has reached them. With
        `live_id`, the ticket must be of this room; a member comes back also without a valid one.
        Raises InvitationInvalid, Blocked, SessionKeyMissing, or as LiveRoomService.enter.
        """
        room = await self._stores.rooms.of_ticket(ticket_id)
        member = await self._stores.members.get(user.user_id)
        if room and not (member and room.role_in(member)):
            ticket = room.tickets[ticket_id]
            await self._check_pairs(user, room.host_id, ticket.inviter)
            if ticket.activity_id and user.user_id not in ticket.takers:
                await self._check_friend(user, ticket.activity_id, encrypted, iv)
        if room and live_id in (None, room.live_id):
            return await self._lives.enter(room.live_id, user, token, ticket_id)
        if live_id is None:
            raise InvitationInvalid
        return await self._lives.enter(live_id, user, token, ticket_id)

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
            received = decrypt_activity_id(key, encrypted, iv, user.app_id)
        except InvalidEncryptedData:
            raise SessionKeyMissing from None
        if received != activity_id:
            raise InvitationInvalid
