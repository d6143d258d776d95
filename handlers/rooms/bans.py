"""Users whom a host or a deputy keeps away: banned from the room, or muted in its chat."""

from typing import Annotated

from pydantic import Field, RootModel

from core.clock import now_ms
from handlers.base import ActiveUserHandler, endpoint
from handlers.context import Context
from handlers.models import BanMinutes, FaceView, LiveRequest, MuteMinutes
from handlers.rooms.mic import HOST_ERRORS, InviteMicroRequest
from rooms.errors import BannedByOperator, NotHost, NotInRoom, RoomNotFound, TooManyMutes
from rooms.room import Room
from storage.errors import UserNotFound


class RemoveUserRequest(InviteMicroRequest):
    """`minutes`: how long the user is banned from the room."""

    minutes: BanMinutes = 60


class MuteRequest(InviteMicroRequest):
    minutes: MuteMinutes


class MuteAllRequest(LiveRequest):
    on: Annotated[bool, Field(examples=[True])]


class RoomBanView(FaceView):
    """A user banned from the room until `until` (ms); `by_operator`: the host cannot lift it."""

    until: int
    by_operator: bool


class RoomBansResponse(RootModel[list[RoomBanView]]):
    pass


class RemoveUserHandler(ActiveUserHandler):
    """Remove a user from the room, as its host or a deputy, and ban them from it for `minutes`.

    A deputy may remove neither a guest nor a deputy.
    """

    @endpoint(limit="room_change", errors=[*HOST_ERRORS, UserNotFound])
    async def post(self, params: RemoveUserRequest) -> None:
        await self.context.services.rooms.removals.ban_from_room(
            params.live_id, params.user_id, params.minutes, self.user.person()
        )


class RoomBansHandler(ActiveUserHandler):
    """The users who are banned from the room, for its host."""

    read_only = True

    @endpoint(limit="read", errors=[NotHost, RoomNotFound])
    async def get(self, params: LiveRequest) -> RoomBansResponse:
        room = await self.context.room_changes.load(params.live_id)
        if room.host_id != self.user_id:
            raise NotHost
        return RoomBansResponse(await room_bans(self.context, room))


class LetInHandler(ActiveUserHandler):
    """Lift a user's ban from the room, as its host."""

    @endpoint(limit="room_change", errors=[NotHost, BannedByOperator, RoomNotFound])
    async def post(self, params: InviteMicroRequest) -> None:
        await self.context.services.rooms.removals.change(
            params.live_id, lambda room: room.lift_ban(params.user_id, now_ms(), self.user_id)
        )


class MuteHandler(ActiveUserHandler):
    """Mute a user in the room's chat, as its host or a deputy, until the live ends at latest.

    The user is, or was, in this live. A deputy may mute no deputy.
    """

    @endpoint(limit="room_change", errors=[*HOST_ERRORS, UserNotFound, NotInRoom, TooManyMutes])
    async def post(self, params: MuteRequest) -> None:
        target_id = (await self.context.stores.users.get(params.user_id)).user_id
        until = now_ms() + params.minutes * 60_000 if params.minutes else 0
        removals = self.context.services.rooms.removals
        await removals.mute(params.live_id, self.user.person(), target_id, until)


class MuteAllHandler(ActiveUserHandler):
    """Close the room's chat for everyone but its host until the live ends, or open it."""

    @endpoint(limit="room_change", errors=HOST_ERRORS)
    async def post(self, params: MuteAllRequest) -> None:
        await self.context.services.rooms.removals.change(
            params.live_id, lambda room: room.set_mute_all(self.user_id, on=params.on)
        )


async def room_bans(context: Context, room: Room) -> list[RoomBanView]:
    """Return the bans of a room that are in force, with the users' profiles."""
    now = now_ms()
    bans = room.active_bans(now)
    users = await context.stores.users.find_many([*bans])
    return [
        RoomBanView.model_validate(
            {
                **user.person().public_profile(),
                "until": bans[user.user_id],
                "by_operator": room.operator_bans.get(user.user_id, 0) > now,
            }
        )
        for user in users
    ]
