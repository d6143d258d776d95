"""The paths of a gift: whoever gives it asks with the same request_id until they are answered."""

from typing import Any

from chaos.actors import GIFT_ID
from chaos.crash.town import Person, Town
from chaos.phones import Answer
from money.gift import gift_key
from storage.rooms import LOG

TWICE = 2


class Gifts:
    """One person's, all to the same one; they are not in a room together."""

    def __init__(self, town: Town, name: str, giver: Person, to: Person) -> None:
        self.town, self.name, self.giver = town, name, giver
        self.answers: dict[str, Any] = {}
        """What was said first, by request_id."""
        self.answered_at_once = 0
        """Those that were, though their server died."""
        self._to = to
        self._asked = 0
        self._left = ""

    @property
    def keys(self) -> dict[str, Any]:
        """The answers by the keys that the book has for them."""
        return {gift_key(self.giver.id, name): answer for name, answer in self.answers.items()}

    async def prepare(self) -> str:
        """The request_id of the next one."""
        self._asked += 1
        return f"{self.name}-{self._asked:06}"

    async def repeat(self) -> None:
        """The one before, that may have got lost; and once more, for the same answer."""
        if self._left in self.answers:
            await self._check(self._left)  # or repeating it would hide that it is not there
        for _ in range(TWICE if self._left else 0):
            answer = await self.giver.get("qlive_gift/push_gift/", **self._gift(self._left))
            self._note(self._left, answer)

    async def walk(self, target: str) -> None:
        """A try that costs the server its life."""
        answer = await self.giver.once("qlive_gift/push_gift/", **self._gift(target))
        self._left = target
        if answer.status:
            self.answered_at_once += 1
            self._note(target, answer)

    async def settle(self) -> None:
        await self.repeat()

    async def _check(self, request_id: str) -> None:
        key = gift_key(self.giver.id, request_id)
        if await self.town.database.collection("ledger").find_one({"_id": key}) is None:
            self.town.faults.add("gift_lost", f"{request_id}: {self.answers[request_id]}")

    def _gift(self, request_id: str) -> dict[str, Any]:
        return {"user_id": self._to.id, "gift_id": GIFT_ID, "request_id": request_id}

    def _note(self, request_id: str, answer: Answer) -> None:
        if not answer.ok or answer.json["status"] != "success":
            self.town.faults.add("contradicted", f"{request_id}: {answer}")
        elif self.answers.setdefault(request_id, answer.json) != answer.json:
            words = f"{request_id}: {self.answers[request_id]}, then {answer.json}"
            self.town.faults.add("answered_differently", words)


class RoomGifts(Gifts):
    """Those to the host of the room that both are in, which hears of every one."""

    def __init__(self, town: Town, giver: Person, host: Person, live_id: int) -> None:
        super().__init__(town, "gift", giver, host)
        self.live_id = live_id
        self.events: dict[int, str] = {}
        """Of the room, by number: the request_id, or the type of what is no gift."""
        self._looked_at = 0

    async def prepare(self) -> str:
        if self._asked - self._looked_at > LOG // 2:  # the room forgets its oldest events
            await self._look()
        return await super().prepare()

    async def settle(self) -> None:
        await super().settle()
        await self._look()

    async def _look(self) -> None:
        logs = await self.town.mongod.logs(self.town.settings.mongodb.database)
        for (live_id, _), rows in logs.items():
            for row in rows if live_id == self.live_id else ():
                name = row["data"]["request_id"] if row["type"] == "gift" else row["type"]
                if self.events.setdefault(row["seq"], name) != name:
                    self.town.faults.add("told_differently", f"{row['seq']}: {name}")
        self._looked_at = self._asked
