"""Users who are reported to the operators, or blocked."""

from typing import Annotated

from pydantic import Field, RootModel, StringConstraints

from core.errors import InvalidParameter
from handlers.base import ActiveUserHandler, endpoint
from handlers.models import FaceView, Number, Request, UserId, UserRequest
from rooms.errors import RoomNotFound
from services.moderation.user_safety import ReportReason
from storage.errors import TooManyBlocks, UserNotFound


class ReportRequest(UserRequest):
    """`live_id`: the room in which it happened, whose last chat lines become evidence."""

    live_id: Number | None = None
    reason: Annotated[ReportReason, Field(examples=["abuse"])]
    text: Annotated[str, StringConstraints(max_length=500)] = ""


class BlockRequest(Request):
    user_id: UserId
    blocked: Annotated[bool, Field(examples=[False])]


class BlocksResponse(RootModel[list[FaceView]]):
    pass


class ReportHandler(ActiveUserHandler):
    """Report a user to the operators, once a day."""

    @endpoint(limit="report", errors=[UserNotFound, RoomNotFound])
    async def post(self, params: ReportRequest) -> None:
        _check_other(self, params.user_id)
        await self.context.services.moderation.user_safety.report(
            self.user, params.user_id, params.live_id, params.reason, params.text
        )


class BlockHandler(ActiveUserHandler):
    """Block a user, or lift the block.

    Neither of the two can then invite the other, give them gifts, write to them or see their
    profile.
    """

    @endpoint(limit="like", errors=[UserNotFound, TooManyBlocks])
    async def post(self, params: BlockRequest) -> None:
        _check_other(self, params.user_id)
        stores = self.context.stores
        await stores.users.get(params.user_id)
        change = stores.user_blocks.put if params.blocked else stores.user_blocks.drop
        await change(self.user_id, params.user_id)


class BlocksHandler(ActiveUserHandler):
    """The users whom the caller has blocked, newest first."""

    read_only = True

    @endpoint(limit="read")
    async def get(self) -> BlocksResponse:
        stores = self.context.stores
        user_ids = await stores.user_blocks.blocked_by(self.user_id)
        return BlocksResponse.model_validate(
            [user.person().public_profile() for user in await stores.users.find_many(user_ids)]
        )


def _check_other(handler: ActiveUserHandler, user_id: str) -> None:
    if user_id == handler.user.user_id:
        raise InvalidParameter({"user_id": "this is you"})
