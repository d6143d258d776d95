"""Gift rankings: top senders and receivers of a live or of a day."""

from datetime import UTC, datetime

from handlers.auth import ActiveUserHandler
from handlers.base import endpoint
from handlers.context import Context
from handlers.schemas import requests, responses
from ledger.ranking import day_of, day_scope, live_scope
from rooms.errors import RoomNotFound
from storage.users import User


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
    senders = await context.stores.rankings.top(scope, "gold")
    receivers = await context.stores.rankings.top(scope, "income")
    user_ids = dict.fromkeys(user_id for user_id, _ in [*senders, *receivers])
    users = await context.stores.users.find_many([*user_ids])
    profiles = {user.user_id: _profile(user) for user in users}
    return responses.RankResponse(
        senders=[
            responses.SenderResponse(**profiles[user_id], gold=amount)
            for user_id, amount in senders
        ],
        takings=[
            responses.ReceiverResponse(**profiles[user_id], income=amount)
            for user_id, amount in receivers
        ],
    )


def _profile(user: User) -> dict[str, str]:
    return {"user_id": user.user_id, "nickname": user.nickname, "face_url": user.face_url}
