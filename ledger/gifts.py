"""Gifts, batches of them, rankings of gold given and income received, and changes of rates.

Gold is spent before income; the receiver earns a share. Rates, and what a recharge block is worth,
change at midnight in China.
"""

import secrets
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from typing import Any, NamedTuple

from core.clock import day_interval, day_of
from ledger.errors import InsufficientGold
from ledger.giving import NEW_GIVER, NO_RULES, Giver, GivingRules
from ledger.journal import (
    Balance,
    EventReference,
    JournalEntry,
    JsonObject,
    StoredEntry,
    affected_users,
    postings_for,
    user_account,
)

RATE_KEYS = ("EXCHANGE_RATE", "WITHDRAW_RATE")
"""Configs with a share of a gift's gold that the receiver gets, and with the yuan of one income."""


def rate_from(value: object) -> Decimal | None:
    """Return the rate of a config's JSON value; None unless it is a number above 0, at most 1."""
    if isinstance(value, bool):
        return None
    try:
        rate = Decimal(str(value))
    except InvalidOperation:
        return None
    return rate if rate.is_finite() and 0 < rate <= 1 else None


def price_fields(row: JsonObject) -> Sequence[str]:
    """Return the fields of a config or block by which gold or income is worth more or less."""
    if row.get("key") in RATE_KEYS:
        return ("value",)
    return ("gold", "fen") if "fen" in row else ()


def from_midnight(fields: JsonObject, now: datetime) -> dict[str, Any]:
    """Return the field `next` of a row whose `fields` change at the next midnight in China."""
    return {"fields": dict(fields), "at": day_interval(day_of(now))[1]}


def row_at(row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return a row as it is at `now`: its `next` has come, waits, or is absent."""
    following = row.get("next")
    if following is None or following["at"] > now:
        return dict(row)
    return {**{name: row[name] for name in row if name != "next"}, **following["fields"]}


@dataclass(frozen=True, slots=True)
class GiftTransfer:
    """A requested gift; `gold` is the unit price, `rate` the receiver's share.

    `confirmed`: by a sender who has given much already. `shown`: id, name, image and effect.
    """

    sender: str
    receiver: str
    gift_id: int
    gold: int
    num: int
    rate: Decimal
    request_id: str = ""
    confirmed: bool = False
    rules: GivingRules = NO_RULES
    shown: JsonObject = field(default_factory=dict)
    key: str = field(init=False)
    """Idempotency key of the journal entry; random without a request_id."""

    def __post_init__(self) -> None:
        request_id = self.request_id or f"~{secrets.token_hex(12)}"
        object.__setattr__(self, "key", gift_key(self.sender, request_id))

    @property
    def user_ids(self) -> tuple[str, str]:
        return self.sender, self.receiver

    @property
    def cost(self) -> int:
        return self.gold * self.num

    @property
    def receiver_income(self) -> int:
        """Income of the receiver: floor(cost x rate)."""
        return int((self.cost * self.rate).to_integral_value(ROUND_FLOOR))

    @property
    def content(self) -> JsonObject:
        """The request as stored in the journal entry."""
        return {"to": self.receiver, "gift_id": self.gift_id, "num": self.num}


def gift_key(sender: str, request_id: str) -> str:
    return f"gift:{sender}:{request_id}"


class RankingChange(NamedTuple):
    """Increments of a user's entry in one ranking.

    `gold` is what they gave, whether paid in gold or income, `income` what they received.
    """

    scope: str
    user_id: str
    gold: int
    income: int

    def negated(self) -> "RankingChange":
        return self._replace(gold=-self.gold, income=-self.income)


def live_scope(live_id: int, epoch: str) -> str:
    return f"live:{live_id}:{epoch}"


def day_scope(day: date) -> str:
    return f"day:{day.isoformat()}"


def ranking_changes(
    entry: JournalEntry, at: datetime, event: EventReference | None
) -> Iterator[RankingChange]:
    """Return the ranking changes of a gift; none for a private one, and entries of other kinds.

    `event` is that of the room; without one, only the ranking of the day changes.
    """
    if entry.kind != "gift" or entry.private:
        return
    scopes = [day_scope(day_of(at))]
    if event:
        scopes.append(live_scope(event.live_id, event.epoch))
    for user_id in affected_users(entry.lines):
        amounts = [line.amount for line in entry.lines if line.account == user_account(user_id)]
        given, received = -sum(n for n in amounts if n < 0), sum(n for n in amounts if n > 0)
        for scope in scopes:
            yield RankingChange(scope, user_id, given, received)


class BalanceChange(NamedTuple):
    """Compare-and-swap of a user's balance: written only if it is still `before`.

    With `giver`, who has given, only if the stored version of that is unchanged as well.
    """

    user_id: str
    before: Balance
    after: Balance
    giver: Giver | None = None


@dataclass(slots=True)
class GiftBatch:
    """Decides on gifts one after another; each sees the earlier ones' effects.

    It works only on what was read beforehand: `balances` of all senders and receivers, `written`
    (entries with the keys of these gifts), and `givers`, the senders who have given before. Gifts
    that are given are added to all of them.
    """

    at: datetime
    balances: dict[str, Balance]
    written: dict[str, StoredEntry] = field(default_factory=dict)
    givers: dict[str, Giver] = field(default_factory=dict)
    ios_payers: Collection[str] = ()
    """Senders whose last recharge on iOS may not have been settled by Apple."""
    entries: list[tuple[JournalEntry, EventReference | None]] = field(default_factory=list)
    """Entries to write, in this order, each with its room event."""
    _initial: Mapping[str, Balance] = field(init=False)

    def __post_init__(self) -> None:
        self._initial = dict(self.balances)

    def find_answer(self, transfer: GiftTransfer) -> JsonObject | None:
        """Return the answer to a repetition, else None. Raises RequestIdReused for another gift."""
        stored = self.written.get(transfer.key)
        return stored.answer_to(transfer.content) if stored else None

    def give(
        self, transfer: GiftTransfer, event: EventReference | None, *, private: bool = False
    ) -> JsonObject:
        """Give a new gift, for which `find_answer` is None; `event` is its room event, if any.

        A `private` one, given in a private live, is in no ranking.
        Return {"status", "gold", "income"} of the sender, with "reminder" if the rules of giving
        remind them. Raises InsufficientGold, or as Giver.spend, without a change.
        """
        sender, receiver = transfer.sender, transfer.receiver
        giver, reminder = self.givers.get(sender, NEW_GIVER).spend(
            transfer.rules, transfer.cost, self.at, confirmed=transfer.confirmed
        )
        balance = self.balances[sender]
        gold = min(transfer.cost, balance.gold)
        paid = Balance(gold, transfer.cost - gold)
        if paid.income > balance.income:
            raise InsufficientGold
        self.balances[sender] = Balance(balance.gold - paid.gold, balance.income - paid.income)
        balance = self.balances[receiver]
        self.balances[receiver] = balance._replace(income=balance.income + transfer.receiver_income)
        self.givers[sender] = giver
        answer = {"status": "success", **self.balances[sender]._asdict()}
        if reminder:
            answer["reminder"] = True
        payment = postings_for(sender, -paid.gold, -paid.income)
        lines = payment + postings_for(receiver, 0, transfer.receiver_income)
        key, content, rate = transfer.key, transfer.content, str(transfer.rate)
        ios = sender in self.ios_payers
        entry = JournalEntry(
            key, "gift", sender, lines, content, answer, rate=rate, ios=ios, private=private
        )
        self.entries.append((entry, event))
        self.written[key] = StoredEntry(content, answer)
        return answer

    @property
    def balance_changes(self) -> list[BalanceChange]:
        """One change per user with postings, even if they net to zero."""
        users = {user_id for entry, _ in self.entries for user_id in affected_users(entry.lines)}
        senders = {entry.by for entry, _ in self.entries}
        return [
            BalanceChange(
                user_id,
                self._initial[user_id],
                self.balances[user_id],
                self.givers[user_id] if user_id in senders else None,
            )
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
