"""Gifts that are carried out together, each accepted or refused on its own."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from money.book import Answer, Entry, Heard, Purse, people_in
from money.gift import Present, gift_lines, price
from money.rank import Mark, marks_of
from money.refusals import InsufficientGold, Refusal, RequestIdReused


class Stored(NamedTuple):
    """An entry that stands in the book: what was asked for, and what the answer was."""

    content: Answer
    answer: Answer


class Move(NamedTuple):
    """What becomes of somebody's purse; it is not to be done when it is not what it was."""

    user_id: str
    was: Purse
    becomes: Purse


@dataclass(slots=True)
class Tray:
    """Decides on one gift after the other, by what the ones before have done.

    `purses` of all senders and receivers, `written` by the keys of the gifts, and `same` by their
    likeness, are what the book said; nothing is decided on the rest of it.
    """

    at: datetime
    purses: dict[str, Purse]
    written: dict[str, Stored] = field(default_factory=dict)
    same: dict[tuple[str, str, int, int], Answer] = field(default_factory=dict)
    entries: list[tuple[Entry, Heard | None]] = field(default_factory=list)
    """What is to be written, in this order."""
    _were: Mapping[str, Purse] = field(init=False)

    def __post_init__(self) -> None:
        self._were = dict(self.purses)

    def given(self, present: Present) -> Answer | Refusal | None:
        """The answer to a gift that was given before; RequestIdReused when it was another one."""
        if present.may_be_a_retry:
            return self.same.get(present.likeness)
        stored = self.written.get(present.key)
        if stored and dict(stored.content) != dict(present.content):
            return RequestIdReused()
        return stored.answer if stored else None

    def give(self, present: Present, heard: Heard | None) -> Answer | Refusal:
        """{"status", "gold", "income"} of the sender, or InsufficientGold, which leaves all as it
        was. Only for what was not `given` before."""
        sender, receiver = present.sender, present.receiver
        purse = self.purses[sender]
        paid = price(present.cost, purse)
        if paid is None:
            return InsufficientGold()
        self.purses[sender] = Purse(purse.gold - paid.gold, purse.income - paid.income)
        theirs = self.purses[receiver]
        self.purses[receiver] = theirs._replace(income=theirs.income + present.earned)
        answer = {"status": "success", **self.purses[sender]._asdict()}
        lines = gift_lines(sender, receiver, paid, present.earned)
        entry = Entry(present.key, "gift", sender, lines, present.content, answer)
        self.entries.append((entry, heard))
        self.written[present.key] = Stored(present.content, answer)
        self.same[present.likeness] = answer
        return answer

    @property
    def moves(self) -> list[Move]:
        """One for everybody whose purse a gift went by or changed, also when it ends as it was."""
        touched = {who for entry, _ in self.entries for who in people_in(entry.lines)}
        return [Move(who, self._were[who], self.purses[who]) for who in sorted(touched)]

    @property
    def marks(self) -> list[Mark]:
        """What it adds to the rankings, one for everybody in each."""
        gold: Counter[tuple[str, str]] = Counter()
        income: Counter[tuple[str, str]] = Counter()
        for entry, heard in self.entries:
            for mark in marks_of(entry, self.at, heard):
                gold[mark.scope, mark.user_id] += mark.gold
                income[mark.scope, mark.user_id] += mark.income
        return [Mark(*name, gold[name], income[name]) for name in sorted(gold)]
