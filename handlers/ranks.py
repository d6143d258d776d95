"""Rankings: who gave and who took the most, in a live or on a day."""

from datetime import UTC, datetime

from handlers import answers, asks
from handlers.admission import Welcome
from handlers.base import call
from handlers.parts import Parts
from money.rank import day_of, day_scope, live_scope
from storage.users import User


class Rank(Welcome):
    """Of this live; also when it is over, until the next one."""

    only_reads = True

    @call
    async def get(self, ask: asks.Live) -> answers.Rank:
        room = await self.parts.keeper.look(ask.live_id)
        return await _ranking(self.parts, live_scope(room.live_id, room.epoch))


class DayRank(Welcome):
    """Of all gifts of a day in China, today's when none is named."""

    only_reads = True

    @call
    async def get(self, ask: asks.Day) -> answers.Rank:
        return await _ranking(self.parts, day_scope(ask.day or day_of(datetime.now(UTC))))


async def _ranking(parts: Parts, scope: str) -> answers.Rank:
    gave, took = await parts.ranks.top(scope, "gold"), await parts.ranks.top(scope, "income")
    names = dict.fromkeys(who for who, _ in [*gave, *took])
    people = await parts.users.many([*names])
    faces = {user.user_id: _face(user) for user in people}
    return answers.Rank(
        senders=[answers.Sender(**faces[who], gold=amount) for who, amount in gave],
        takings=[answers.Taking(**faces[who], income=amount) for who, amount in took],
    )


def _face(user: User) -> dict[str, str]:
    return {"user_id": user.user_id, "nickname": user.nickname, "face_url": user.face_url}
