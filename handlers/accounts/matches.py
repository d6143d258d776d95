"""Matches of a user: users who like one another and have had a date."""

from datetime import UTC, datetime

from pydantic import RootModel

from core.errors import InvalidParameter
from handlers.base import ActiveUserHandler, endpoint
from handlers.models import LIST_PAGE_SIZE, FaceView, PageRequest, Time, UserRequest
from storage.errors import UserNotFound


class MatchView(FaceView):
    """The other user of a match, and the live of their date."""

    gender: int
    live_id: int
    at: Time


class MatchesResponse(RootModel[list[MatchView]]):
    pass


class MatchesHandler(ActiveUserHandler):
    """The users with whom the caller is matched, newest first; [] after the last page.

    Banned users are left out, so that a page may have fewer entries than others.
    """

    read_only = True

    @endpoint(limit="read")
    async def get(self, params: PageRequest) -> MatchesResponse:
        stores, skip = self.context.stores, (params.page - 1) * LIST_PAGE_SIZE
        pairs = await stores.matches.matches(self.user_id, skip, LIST_PAGE_SIZE)
        partners = {pair.other(self.user_id): pair for pair in pairs}
        return MatchesResponse(
            [
                MatchView(
                    **user.person().public_profile(),
                    live_id=partners[user.user_id].live_id,
                    at=datetime.fromtimestamp(partners[user.user_id].matched_at / 1000, UTC),
                )
                for user in await stores.users.find_many([*partners])
                if not (user.banned or user.deleted_at)
            ]
        )


class EndMatchHandler(ActiveUserHandler):
    """End the match with a user, for both; later likes do not make it again."""

    @endpoint(limit="like", errors=[UserNotFound])
    async def post(self, params: UserRequest) -> None:
        if params.user_id == self.user_id:
            raise InvalidParameter({"user_id": "this is you"})
        await self.context.stores.users.get(params.user_id)
        await self.context.services.accounts.matches.end(self.user_id, params.user_id)
