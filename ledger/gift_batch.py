"""A batch of gifts in one transaction, each accepted or refused individually."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from core.errors import QLiveError
from ledger.errors import InsufficientGold, RequestIdReused
from ledger.gifts import GiftTransfer, gift_postings, split_cost
from ledger.journal import Balance, EventReference, JournalEntry, JsonObject, affected_users
from ledger.ranking import RankingChange, ranking_changes


class StoredEntry(NamedTuple):
    """Request and answer of an existing journal entry."""

    content: JsonObject
    answer: JsonObject


class BalanceChange(NamedTuple):
    """Compare-and-swap of a user's balance: written only if it is still `before`."""

    user_id: str
    before: Balance
    after: Balance


@dataclass(slots=True)
class GiftBatch:
    """Decides on gifts one after another; each sees the earlier ones' effects.

    It works only on what was read beforehand: `balances` of all senders and receivers, and
    `written` (entries with the keys of these gifts). Gifts that are given are added to both.
    """

    at: datetime
    balances: dict[str, Balance]
    written: dict[str, StoredEntry] = field(default_factory=dict)
    entries: list[tuple[JournalEntry, EventReference | None]] = field(default_factory=list)
    """Entries to write, in this order, each with its room event."""
    _initial: Mapping[str, Balance] = field(init=False)

    def __post_init__(self) -> None:
        self._initial = dict(self.balances)

    def find_answer(self, transfer: GiftTransfer) -> JsonObject | QLiveError | None:
        """The answer to a repeated gift, None for a new one.

        Returns RequestIdReused if its key belongs to a gift with other content.
        """
        stored = self.written.get(transfer.key)
        if stored and dict(stored.content) != dict(transfer.content):
            return RequestIdReused()
        return stored.answer if stored else None

    def give(self, transfer: GiftTransfer, event: EventReference | None) -> JsonObject | QLiveError:
        """Give a new gift; `event` is its room event, if any.

        Only for gifts for which `find_answer` is None. Returns {"status", "gold", "income"} of the
        sender, or InsufficientGold without a change.
        """
        sender, receiver = transfer.sender, transfer.receiver
        balance = self.balances[sender]
        paid = split_cost(transfer.cost, balance)
        if paid is None:
            return InsufficientGold()
        self.balances[sender] = Balance(balance.gold - paid.gold, balance.income - paid.income)
        balance = self.balances[receiver]
        self.balances[receiver] = balance._replace(income=balance.income + transfer.receiver_income)
        answer = {"status": "success", **self.balances[sender]._asdict()}
        lines = gift_postings(sender, receiver, paid, transfer.receiver_income)
        entry = JournalEntry(transfer.key, "gift", sender, lines, transfer.content, answer)
        self.entries.append((entry, event))
        self.written[transfer.key] = StoredEntry(transfer.content, answer)
        return answer

    @property
    def balance_changes(self) -> list[BalanceChange]:
        """One change per user with postings, even if they net to zero."""
        users = {user_id for entry, _ in self.entries for user_id in affected_users(entry.lines)}
        return [
            BalanceChange(user_id, self._initial[user_id], self.balances[user_id])
            for user_id in sorted(users)
        ]

    @property
    def ranking_changes(self) -> list[RankingChange]:
        """Changes to the rankings, summed by scope and user."""
        gold: Counter[tuple[str, str]] = Counter()
        income: Counter[tuple[str, str]] = Counter()
        for entry, event in self.entries:
            for change in ranking_changes(entry, self.at, event):
                gold[change.scope, change.user_id] += change.gold
                income[change.scope, change.user_id] += change.income
        return [RankingChange(*key, gold[key], income[key]) for key in sorted(gold)]
