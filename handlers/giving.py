"""Gifts given: those that queue up behind a room's lock go in one transaction, each accepted or
refused on its own; the room hears of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from handlers.joining import Joining
from money.book import Answer, Heard
from money.gift import Present
from money.refusals import Refusal
from money.teller import Hold
from rooms.events import Gift
from rooms.keeper import Keeper
from rooms.people import Face
from rooms.refusals import NoSuchUser
from rooms.room import Room
from storage.members import Members
from storage.trays import Known, Trays

MOST = 32
"""Gifts in one transaction."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A present, and the gift as rooms show it: id, name, image, effect."""

    present: Present
    gift: Mapping[str, Any]

    @property
    def people(self) -> tuple[str, str]:
        return self.present.sender, self.present.receiver


Outcome = Answer | Refusal | None
"""None: no room hears of it, and it is not given."""


class Giving:
    """The same request_id is carried out once and answered the same for ever."""

    def __init__(
        self, trays: Trays, members: Members, keeper: Keeper, hold: Hold, most: int = MOST
    ) -> None:
        self._trays = trays
        self._members = members
        self._keeper = keeper
        self._hold = hold
        self._rooms: Joining[Asked, Outcome] = Joining(self._tell, most)

    async def given(self, present: Present) -> Answer | None:
        """The answer to a gift that was given before; RequestIdReused."""
        if not present.request_id:
            return None
        known = await self._trays.look([present])
        return _answer_of(known.tray.given(present))

    async def give(self, asked: Asked) -> Answer:
        """{"status", "gold", "income"} of the sender; InsufficientGold, RequestIdReused,
        NoSuchUser."""
        live_id = await self._members.shared(*asked.people)
        answer = None
        if live_id is not None:
            answer = _answer_of(await self._rooms.join(live_id, asked))
        return answer or await self._give_unheard(asked)

    async def _tell(self, live_id: int, together: Sequence[Asked]) -> list[Outcome]:
        """All that happens to these goes with one write of the room."""
        people = dict.fromkeys(who for asked in together for who in asked.people)
        known: list[Known] = []

        async def learn() -> None:
            known[:] = [await self._trays.look([asked.present for asked in together])]

        async def write(tx: Any, _room: Room) -> None:
            await self._trays.write(tx, known[0].tray)

        return await self._keeper.change(
            live_id,
            lambda room: [_hear(room, known[0], asked) for asked in together],
            *people,
            learn=learn,
            also=write,
        )

    async def _give_unheard(self, asked: Asked) -> Answer:
        """As a gift outside of rooms, without an event."""
        present = asked.present

        async def work(tx: Any) -> Answer:
            known = await self._trays.look([present])
            if not known.faces.keys() >= set(asked.people):
                raise NoSuchUser
            tray = known.tray
            answer = _answer_of(tray.given(present) or tray.give(present, None))
            assert answer is not None
            if tray.entries:
                await self._trays.write(tx, tray)
            return answer

        async with self._hold(*asked.people):
            return await self._trays.alone(work)


def _hear(room: Room, known: Known, asked: Asked) -> Outcome:
    """What becomes of one of several; the room hears of what is given now."""
    if before := known.tray.given(asked.present):
        return before
    if not room.has(*asked.people):
        return None
    heard = Heard(room.live_id, room.epoch, room.version + len(room.events) + 1)
    outcome = known.tray.give(asked.present, heard)
    if not isinstance(outcome, Refusal):
        room.hear_gift(_event(asked, known.faces))
    return outcome


def _event(asked: Asked, faces: Mapping[str, Face]) -> Gift:
    present, gift = asked.present, asked.gift
    return {
        "from": faces[present.sender],
        "to": faces[present.receiver],
        "gift": {key: gift[key] for key in ("id", "name", "image", "effect")},  # type: ignore[typeddict-item]
        "num": present.num,
        "gold": present.cost,
        "request_id": present.request_id,
    }


def _answer_of(outcome: Outcome) -> Answer | None:
    if isinstance(outcome, Refusal):
        raise outcome
    return outcome
