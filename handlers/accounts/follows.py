"""Follows: following a user, and the users whom the caller follows."""

from typing import Annotated

from pydantic import Field, RootModel

from handlers.base import ActiveUserHandler, endpoint
from handlers.models import LIST_PAGE_SIZE, FaceView, PageRequest, Response, UserRequest
from services.errors import Blocked
from storage.errors import TooManyFollows, UserNotFound


class FollowRequest(UserRequest):
    on: Annotated[bool, Field(examples=[True])]


class FollowedResponse(Response):
    """`followers`: how many users follow this one."""

    followed: bool
    followers: int


class FollowedUserResponse(FaceView):
    """`live_id`: the user's live; null if there is none, or a private one."""

    live_id: int | None


class FollowedUsersResponse(RootModel[list[FollowedUserResponse]]):
    pass


class FollowHandler(ActiveUserHandler):
    @endpoint(limit="like", errors=[UserNotFound, Blocked, TooManyFollows])
    async def post(self, params: FollowRequest) -> FollowedResponse:
        """Follow or unfollow a user."""
        self.check_other(params.user_id, "you cannot follow yourself")
        followers = await self.context.services.accounts.follows.change(
            self.user, params.user_id, on=params.on
        )
        return FollowedResponse(followed=params.on, followers=followers)

    @endpoint(limit="read")
    async def get(self, params: PageRequest) -> FollowedUsersResponse:
        """Read whom the caller follows: those with a live first, then the newest follows."""
        page = await self.context.services.accounts.follows.page(
            self.user_id, (params.page - 1) * LIST_PAGE_SIZE, LIST_PAGE_SIZE
        )
        return FollowedUsersResponse.model_validate(
            [{**user.person().public_profile(), "live_id": live_id} for user, live_id in page]
        )
