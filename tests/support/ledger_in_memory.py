"""In-memory stores of the ledger: journal, balances, rankings and orders."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from ledger.errors import DebtExceeded, EntryExists, InsufficientGold
from ledger.gifts import GiftBatch, GiftTransfer, RankingChange, ranking_changes
from ledger.journal import (
    Balance,
    EventReference,
    JournalEntry,
    JsonObject,
    Posting,
    StoredEntry,
)
from ledger.recharge import Order, Payment, Refund
from rooms.events import NewEvent

T = TypeVar("T")


def run(call: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine without an event loop, since nothing in memory waits."""
    try:
        call.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the call waited")


class MemoryLedgerStore:
    """LedgerStore in memory; a failed transaction restores all `tables`."""

    def __init__(self, **balances: tuple[int, int]) -> None:
        """Each balance is (gold, income)."""
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.balances = {user_id: Balance(*pair) for user_id, pair in balances.items()}
        self.owed: dict[str, int] = {}
        self.owed_income: dict[str, int] = {}
        self.entries: dict[str, JournalEntry] = {}
        self.references: dict[str, tuple[datetime, EventReference | None]] = {}
        """(time of writing, room event) of each entry."""
        self.rankings: dict[tuple[str, str], tuple[int, int]] = {}
        """(gold, income) by (scope, user_id); without zeros."""
        self.tables: list[dict[Any, Any]] = [
            *(self.balances, self.owed, self.owed_income),
            *(self.entries, self.references, self.rankings),
        ]

    # ---- entries

    async def run_transaction(self, work: Callable[[Any], Awaitable[JsonObject]]) -> JsonObject:
        before = [dict(table) for table in self.tables]
        try:
            return await work("tx")
        except BaseException:
            for table, rows in zip(self.tables, before, strict=True):
                table.clear()
                table.update(rows)
            raise

    async def find(self, key: str, tx: Any = None) -> StoredEntry | None:
        assert tx in (None, "tx")
        entry = self.entries.get(key)
        return StoredEntry(copied(entry.content), copied(entry.answer)) if entry else None

    async def run_once(self, key: str, work: Callable[[Any], Awaitable[Any]]) -> Any:
        return await self.find(key) or await self.run_transaction(work)

    async def entry(self, key: str) -> JournalEntry | None:
        return self.entries.get(key)

    async def balance(self, tx: Any, user_id: str) -> Balance:
        assert tx == "tx"
        return self.balances[user_id]

    async def move(self, tx: Any, postings: tuple[Posting, ...]) -> dict[str, Balance]:
        assert tx == "tx"
        moved: dict[str, Balance] = {}
        for posting in postings:
            kind, _, user_id = posting.account.partition(":")
            if kind == "owed":
                owed = self.owed if posting.unit == "gold" else self.owed_income
                owed[user_id] = owed.get(user_id, 0) - posting.amount
                if owed[user_id] < 0:
                    raise DebtExceeded
                moved.setdefault(user_id, self.balances[user_id])
            elif kind == "user":
                balance = self.balances[user_id]
                amount = getattr(balance, posting.unit) + posting.amount
                moved[user_id] = balance._replace(**{posting.unit: amount})
                self.balances[user_id] = moved[user_id]
        if any(min(balance) < 0 for balance in moved.values()):
            raise InsufficientGold
        return moved

    async def write(self, tx: Any, entry: JournalEntry) -> None:
        assert tx == "tx"
        if entry.key in self.entries:
            raise EntryExists(entry.key)
        self.entries[entry.key] = entry
        self.references[entry.key] = self.now, None

    async def post(self, tx: Any, entry: JournalEntry, user_id: str | None = None) -> JsonObject:
        balances = await self.move(tx, entry.lines)
        if user_id is not None:
            answer = balances[user_id]._asdict() if user_id in balances else {}
            entry = replace(entry, answer=answer)
        await self.write(tx, entry)
        return entry.answer

    async def subtract_from_rankings(self, tx: Any, key: str) -> None:
        assert tx == "tx"
        changes = ranking_changes(self.entries[key], *self.references[key])
        self._rank(change.negated() for change in changes)

    async def note_ios_payment(self, user_id: str, tx: Any) -> None:
        assert (user_id in self.balances, tx) == (True, "tx")

    # ---- batches of gifts

    def load_context(self, transfers: Sequence[GiftTransfer]) -> GiftBatch:
        """A batch with the balances, known requests of these transfers."""
        users = {user for transfer in transfers for user in (transfer.sender, transfer.receiver)}
        keys = {transfer.key for transfer in transfers if transfer.request_id} & self.entries.keys()
        written = {
            key: StoredEntry(self.entries[key].content, self.entries[key].answer) for key in keys
        }
        return GiftBatch(self.now, {user: self.balances[user] for user in users}, written)

    def apply_batch(self, batch: GiftBatch) -> None:
        """Writes the batch; fails if a balance has changed or an entry exists."""
        for entry, reference in batch.entries:
            assert entry.key not in self.entries
            self.entries[entry.key] = entry
            self.references[entry.key] = batch.at, reference
        for change in batch.balance_changes:
            assert self.balances[change.user_id] == change.before
            self.balances[change.user_id] = change.after
        self._rank(batch.ranking_changes)

    def _rank(self, changes: Iterable[RankingChange]) -> None:
        for scope, user_id, gold, income in changes:
            old_gold, old_income = self.rankings.pop((scope, user_id), (0, 0))
            if (sums := (old_gold + gold, old_income + income)) != (0, 0):
                self.rankings[scope, user_id] = sums


class MemoryOrderStore:
    """OrderStore in memory; takes part in the transactions of `ledger`."""

    def __init__(self, ledger: MemoryLedgerStore, *orders: Order) -> None:
        self.orders = {order.number: order for order in orders}
        self.refunded = dict.fromkeys(self.orders, 0)
        ledger.tables += [self.orders, self.refunded]

    async def find(self, number: str, _tx: Any = None) -> Order | None:
        return self.orders.get(number)

    async def refunded_fen(self, number: str, _tx: Any = None) -> int:
        return self.refunded[number]

    async def pay(self, tx: Any, number: str, payment: Payment) -> None:
        assert (tx, payment.order) == ("tx", number)
        self.orders[number] = replace(self.orders[number], state="paid", paid_fen=payment.paid_fen)

    async def refund(self, tx: Any, number: str, refund: Refund) -> int:
        assert (tx, refund.order) == ("tx", number)
        before = self.refunded[number]
        self.refunded[number] += refund.fen
        return before


class MemoryUserChannelStore:
    """UserChannelStore in memory; records the events of all users."""

    def __init__(self) -> None:
        self.events: list[tuple[str, NewEvent]] = []

    async def add(self, user_id: str, event: NewEvent, tx: Any) -> None:
        assert tx == "tx"
        self.events.append((user_id, event))


class MemoryWebhookStore:
    """WebhookStore in memory; records the events."""

    def __init__(self) -> None:
        self.events: list[NewEvent] = []

    async def add(self, tx: Any, *events: NewEvent) -> None:
        assert tx == "tx"
        self.events += events


def copied(value: JsonObject) -> JsonObject:
    """A deep copy, as the database returns it."""
    return json.loads(json.dumps(dict(value)))


class MemoryLocks:
    """Records the names of all locks that were held."""

    def __init__(self) -> None:
        self.names: list[tuple[str, ...]] = []

    @asynccontextmanager
    async def __call__(self, *names: str) -> AsyncIterator[None]:
        self.names.append(names)
        yield


TRANSFER = GiftTransfer(
    "anna", "bert", gift_id=3, gold=10, num=2, rate=Decimal("0.5"), request_id="r1"
)
"""Costs 20 and earns 10."""

ORDER = Order("Q1", "anna", "xpay", "wx1", "o1", "gold_60", fen=600, gold=60)
PAYMENT = Payment("xpay", "Q1", "42", 600, openid="o1", app_id="wx1", product="gold_60")
