"""Likes: one pair of people, liked or not."""

from handlers import answers, asks
from handlers.admission import SignedIn
from handlers.base import call
from rooms.refusals import BadParameter


class Like(SignedIn):
    """Like somebody, take it back, or ask."""

    @call
    async def post(self, ask: asks.Like) -> answers.Ok:
        await self._target(ask.user_id)
        change = self.parts.likes.put if ask.like_state else self.parts.likes.drop
        await change(self.user.user_id, ask.user_id)
        return answers.Ok(detail="ok")

    @call
    async def get(self, ask: asks.TheUser) -> answers.LikeState:
        await self._target(ask.user_id)
        liked = await self.parts.likes.has(self.user.user_id, ask.user_id)
        return answers.LikeState(like_state=1 if liked else 0)

    async def _target(self, user_id: str) -> None:
        if user_id == self.user.user_id:
            raise BadParameter({"user_id": "nobody likes oneself here"})
        await self.parts.users.get(user_id)
