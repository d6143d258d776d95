"""Gift rankings of a live or of a day: who agreed to be shown, without any sum.

China's rules on live tipping forbid rankings by gifts alone, and the display of a user's spending
without consent. Production shows none unless `ranking.public` says so.
"""

from datetime import UTC, datetime
from typing import Any

from handlers.auth import ActiveUserHandler
from handlers.base import endpoint
from handlers.context import Context
from handlers.schemas import requests, responses
from ledger.ranking import day_of, day_scope, live_scope
from rooms.errors import RoomNotFound
from storage.users import User

LENGTH = 50
"""Longest list that is shown."""
CANDIDATES = 500
"""How many of a ranking are asked for their consent: bounds the two queries."""


class RankHandler(ActiveUserHandler):
    """Gift ranking of the room's current live, or of the last one until the next starts."""

    read_only = True

    @endpoint(limit="read", errors=[RoomNotFound])
    async def get(self, params: requests.LiveRequest) -> responses.RankResponse:
        room = await self.context.keeper.load(params.live_id)
        return await _ranking(self.context, live_scope(room.live_id, room.epoch))


class DayRankHandler(ActiveUserHandler):
    """Ranking of all gifts of one day in China (UTC+8), today by default."""

    read_only = True

    @endpoint(limit="read")
    async def get(self, params: requests.DayRequest) -> responses.RankResponse:
        return await _ranking(self.context, day_scope(params.day or day_of(datetime.now(UTC))))


async def _ranking(context: Context, scope: str) -> responses.RankResponse:
    if not context.settings.rankings_are_public:
        return responses.RankResponse(senders=[], takings=[])
    senders, receivers = (
        await _shown(context, scope, "gold"),
        await _shown(context, scope, "income"),
    )
    return responses.RankResponse(
        senders=[responses.SenderResponse(**_profile(user)) for user in senders],
        takings=[responses.ReceiverResponse(**_profile(user)) for user in receivers],
    )


async def _shown(context: Context, scope: str, unit: str) -> list[User]:
    """Those who agreed among the first of the ranking, highest first."""
    ranked = await context.stores.rankings.top(scope, unit, CANDIDATES)
    shown = await context.stores.users.shown_in_rankings([user_id for user_id, _ in ranked])
    return shown[:LENGTH]


def _profile(user: User) -> dict[str, Any]:
    return {"user_id": user.user_id, "nickname": user.nickname, "face_url": user.face_url}
