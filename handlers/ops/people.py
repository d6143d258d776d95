"""Operators and people: find, promote, ban, grant."""

from typing import Any

from handlers.base import call
from handlers.evictions import evict
from handlers.ops import answers, asks
from handlers.ops.base import PAGE, Operator
from handlers.parts import Parts
from realtime.bus import ShownOut
from realtime.codes import Code
from storage.users import User


class Users(Operator):
    """People by user_id or nickname."""

    @call
    async def get(self, ask: asks.PeopleSearch) -> answers.People:
        found = await self.parts.users.search(ask.q, ask.after, PAGE, owing=ask.owing)
        more = found[-1].user_id if len(found) == PAGE else None
        return answers.People(items=[_person(user) for user in found], next=more)


class OneUser(Operator):
    """One person."""

    @call
    async def get(self, user_id: str) -> answers.Person:
        return _person(await self.parts.users.get(user_id))

    @call
    async def patch(self, user_id: str, ask: asks.UserChange) -> answers.Person:
        changes: dict[str, Any] = ask.model_dump(exclude_none=True)
        if changes.get("banned") is False:
            changes["ban_reason"] = ""
        user = await self.parts.users.get(user_id)
        if changes:
            user = await self.parts.users.update(user_id, **changes)
        if changes.get("is_matchmaker") is False:
            await retire(self.parts, user_id)
        if changes.get("banned"):
            await self._shut_out(user_id)
        return _person(user)

    async def _shut_out(self, user_id: str) -> None:
        """Out of the room, off the mic, off the socket, at once."""
        await evict(self.parts, ShownOut(user_id, None, Code.PUT_OUT))
        await self.parts.keeper.take_out(user_id, "banned")


class GrantGold(Operator):
    """Gold from the house, once per request_id."""

    @call
    async def post(self, user_id: str, ask: asks.Grant) -> answers.Granted:
        await self.parts.users.get(user_id)
        answer = await self.parts.teller.grant(
            user_id, ask.gold, ask.reason, ask.request_id, by="ops"
        )
        return answers.Granted.model_validate(answer)


class SettleDebt(Operator):
    """Gold that is owed is paid, once per request_id."""

    @call
    async def post(self, user_id: str, ask: asks.Settle) -> answers.Granted:
        await self.parts.users.get(user_id)
        answer = await self.parts.teller.settle(
            user_id,
            ask.gold,
            ask.reason,
            ask.request_id,
            by="ops",
            by_house=ask.paid_by == "house",
        )
        return answers.Granted.model_validate(answer)


async def retire(parts: Parts, user_id: str) -> None:
    """No matchmaker any more: the live ends, the room's chat group is dissolved."""
    place = await parts.members.get(user_id)
    if place and place.role == "host":
        await parts.keeper.take_out(user_id, "operator")
    if group_id := await parts.rooms.drop_group(user_id):
        await parts.errand_store.add("destroy_group", {"group_id": group_id})
        parts.errands.nudge()


def _person(user: User) -> answers.Person:
    return answers.Person.model_validate(
        {"id": user.user_id}
        | {name: getattr(user, name) for name in answers.Person.model_fields if name != "id"}
    )
