"""Deputies of a host: named and taken back, resigning, and listed."""

from typing import Annotated

from pydantic import Field, RootModel

from handlers.base import ActiveUserHandler, endpoint
from handlers.models import FaceView, Number, UserRequest
from rooms.errors import NotHost, NotInRoom, RoomNotFound, TooManyDeputies
from services.errors import Blocked
from storage.errors import UserNotFound


class DeputyRequest(UserRequest):
    """`live_id`: by default the caller's own room, and for a deputy who resigns all rooms."""

    on: Annotated[bool, Field(examples=[True])]
    live_id: Number | None = None


class DeputyView(FaceView):
    gender: int


class DeputiesResponse(RootModel[list[DeputyView]]):
    pass


class DeputyHandler(ActiveUserHandler):
    """Make a member of the live, or a follower, a deputy as the host; take it back, or resign.

    A room has three deputies at most, for all its lives. They may take applicants out of the queue,
    mute users, and remove those who are neither host, guest nor deputy.
    """

    @endpoint(
        limit="room_change",
        errors=[NotHost, RoomNotFound, UserNotFound, NotInRoom, TooManyDeputies, Blocked],
    )
    async def post(self, params: DeputyRequest) -> None:
        deputies = self.context.services.rooms.deputies
        change = deputies.name if params.on else deputies.end
        await change(self.user, params.user_id, params.live_id)


class DeputiesHandler(ActiveUserHandler):
    """The deputies of the caller's room."""

    read_only = True

    @endpoint(limit="read")
    async def get(self) -> DeputiesResponse:
        stores = self.context.stores
        room = await stores.rooms.of_host(self.user_id)
        users = await stores.users.find_many([*room.deputies] if room else [])
        return DeputiesResponse.model_validate(users)
