"""Likes between users."""

from core.errors import InvalidParameter
from handlers.auth import ActiveUserHandler
from handlers.base import endpoint
from handlers.schemas import requests, responses
from storage.errors import UserNotFound


class LikeHandler(ActiveUserHandler):
    """Like a user, remove the like, or read it."""

    @endpoint(limit="like", errors=[UserNotFound])
    async def post(self, params: requests.LikeRequest) -> responses.OkResponse:
        await self._check_target(params.user_id)
        change = (
            self.context.stores.likes.put if params.like_state else self.context.stores.likes.drop
        )
        await change(self.user.user_id, params.user_id)
        return responses.OkResponse(detail="ok")

    @endpoint(limit="read", errors=[UserNotFound])
    async def get(self, params: requests.UserRequest) -> responses.LikeStateResponse:
        await self._check_target(params.user_id)
        liked = await self.context.stores.likes.has(self.user.user_id, params.user_id)
        return responses.LikeStateResponse(like_state=1 if liked else 0)

    async def _check_target(self, user_id: str) -> None:
        if user_id == self.user.user_id:
            raise InvalidParameter({"user_id": "you cannot like yourself"})
        await self.context.stores.users.get(user_id)
