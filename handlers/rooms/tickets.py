"""Tickets into lives: issue, list, withdraw."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field, RootModel, StringConstraints

from core.clock import now_ms
from handlers.base import ActiveUserHandler, endpoint
from handlers.context import Context
from handlers.models import LiveRequest, RequestId, Response, Time, UserId, Whole
from handlers.rooms.mic import HOST_ERRORS
from ledger.errors import RequestIdReused
from rooms.errors import NotHost, RoomNotFound, TooManyInvitations
from rooms.tickets import Ticket, TicketKind
from services.errors import Blocked
from storage.errors import UserNotFound

TicketId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64),
    Field(examples=["5b1c08e4f2a94d77"]),
]
OptionalPart = Annotated[str, Field(exclude_if=lambda value: not value)]


class InvitationRequest(LiveRequest):
    """`user_id`: the user whom a ticket by `app` invites. Its `uses` are 1."""

    by: Annotated[TicketKind, Field(examples=["link"])]
    user_id: UserId | None = None
    minutes: Annotated[Whole, Field(ge=1, le=1440)] = 60
    uses: Annotated[Whole, Field(ge=1, le=100)] = 1
    request_id: RequestId | None = None


class WithdrawInvitationRequest(LiveRequest):
    ticket: TicketId


class InvitationIssuedResponse(Response):
    """`path`: the page of the mini-program, with the ticket."""

    ticket: str
    expires_at: Time
    path: str
    activity_id: OptionalPart = ""
    """Of a ticket by `friend`: the activity for wx.updateShareMenu."""
    link: OptionalPart = ""
    picture: OptionalPart = ""
    """Of a ticket by `code`: the address of the code's picture."""
    unavailable: OptionalPart = ""
    """`wechat`: WeChat did not give its part, and the ticket works by its path."""


class OpenInvitationResponse(Response):
    """`inviter`: a user id. `user_id`: the invited user, "" if the ticket names none."""

    ticket: str
    by: TicketKind
    inviter: str
    user_id: str
    uses: int
    taken: int
    expires_at: Time
    path: str


class OpenInvitationsResponse(RootModel[list[OpenInvitationResponse]]):
    pass


class TicketHandler(ActiveUserHandler):
    """Invitations into a live."""

    @endpoint(
        limit="ticket",
        errors=[*HOST_ERRORS, UserNotFound, Blocked, RequestIdReused, TooManyInvitations],
    )
    async def post(self, params: InvitationRequest) -> InvitationIssuedResponse:
        """Invite users into the live by a ticket, as its host or a deputy."""
        ticket, part = await self.context.services.rooms.tickets.issue(
            params.live_id,
            self.user,
            params.by,
            params.minutes,
            uses=params.uses,
            user_id=params.user_id,
            request_id=params.request_id,
        )
        is_whole = ticket.by == "app" or part or ticket.activity_id
        return InvitationIssuedResponse(
            ticket=ticket.id,
            expires_at=_time(ticket.expires_at),
            path=_path(self.context, ticket),
            activity_id=ticket.activity_id,
            link=part if ticket.by == "link" else "",
            picture=part if ticket.by == "code" else "",
            unavailable="" if is_whole else "wechat",
        )

    @endpoint(limit="read", errors=[NotHost, RoomNotFound])
    async def get(self, params: LiveRequest) -> OpenInvitationsResponse:
        """List the open invitations into the live, for its host, or those of a deputy."""
        room = await self.context.room_changes.load(params.live_id, self.user_id)
        room.expire(now_ms())
        return OpenInvitationsResponse(
            [
                OpenInvitationResponse(
                    ticket=ticket.id,
                    by=ticket.by,
                    inviter=ticket.inviter,
                    user_id=ticket.user_id,
                    uses=ticket.uses,
                    taken=len(ticket.takers),
                    expires_at=_time(ticket.expires_at),
                    path=_path(self.context, ticket),
                )
                for ticket in room.tickets_of(self.user_id)
            ]
        )


class WithdrawTicketHandler(ActiveUserHandler):
    """Withdraw an invitation, as the host or its deputy, or refuse one, as the user it names."""

    @endpoint(limit="room_change", errors=[NotHost, RoomNotFound])
    async def post(self, params: WithdrawInvitationRequest) -> None:
        user_id = self.user_id
        await self.context.room_changes.change(
            params.live_id, lambda room: room.withdraw_ticket(user_id, params.ticket), user_id
        )


def _path(context: Context, ticket: Ticket) -> str:
    return f"{context.settings.links.page}?t={ticket.id}"


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
