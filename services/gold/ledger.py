"""Grants, debt settlements and reversals: one idempotent transaction each."""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime
from typing import Any

from ledger.errors import EntryExists, EntryNotFound, NotReversible, RequestIdReused
from ledger.journal import (
    HOUSE,
    JournalEntry,
    JsonObject,
    Kind,
    Posting,
    Unit,
    affected_users,
    debt_account,
    grant_key,
    negate,
    postings_for,
    reversal_key,
    settle_key,
    user_account,
)
from storage.gold.ledger import LedgerStore

OPERATORS_KINDS: tuple[Kind, ...] = ("grant", "reversal")
REVERSIBLE = ("gift", "grant")
LockUsers = Callable[..., AbstractAsyncContextManager[None]]
"""Locks the balances of the users named, within this process."""
InTransaction = Callable[[Any], Awaitable[None]]
"""A write that commits together with the entry; called with the session."""


class LedgerService:
    """Moves gold, idempotently by key: entry and balances in one transaction.

    A repeated key returns the stored answer; with other content it raises RequestIdReused. The
    writes of `in_transaction` commit together with the entry, and its error refuses the entry.
    """

    def __init__(self, ledger: LedgerStore, lock: LockUsers) -> None:
        self._ledger = ledger
        self._lock = lock

    async def grant(
        self,
        user_id: str,
        gold: int,
        reason: str,
        request_id: str,
        by: str,
        *,
        in_transaction: InTransaction | None = None,
    ) -> JsonObject:
        """Grant gold from the house; return the user's {"gold", "income"}.

        Raises RequestIdReused or UserNotFound.
        """
        key = grant_key(request_id)
        content = {"to": user_id, "gold": gold}
        entry = JournalEntry(key, "grant", by, postings_for(user_id, gold), content, note=reason)

        async def write(tx: Any) -> JsonObject:
            balance = (await self._ledger.move(tx, entry.lines))[user_id]
            answer = balance._asdict()
            await self._ledger.write(tx, replace(entry, answer=answer), None)
            return answer

        return await self._run_once(entry, (user_id,), write, in_transaction)

    async def settle_debt(
        self,
        user_id: str,
        gold: int,
        reason: str,
        request_id: str,
        by: str,
        *,
        by_house: bool,
        unit: Unit = "gold",
        in_transaction: InTransaction | None = None,
    ) -> JsonObject:
        """Settle a user's debt from their balance or by the house; return {"gold", "income"}.

        `gold` is the amount, also of income. Raises DebtExceeded, InsufficientGold or
        RequestIdReused.
        """
        payer = HOUSE if by_house else user_account(user_id)
        lines = (Posting(payer, unit, -gold), Posting(debt_account(user_id), unit, gold))
        content = {"owed_by": user_id, unit: gold, "by_house": by_house}
        kind: Kind = "grant" if by_house else "reversal"
        entry = JournalEntry(settle_key(request_id), kind, by, lines, content, note=reason)

        async def write(tx: Any) -> JsonObject:
            await self._must_be_new(tx, entry.key)
            await self._ledger.move(tx, lines)
            answer = (await self._ledger.balance(tx, user_id))._asdict()
            await self._ledger.write(tx, replace(entry, answer=answer), None)
            return answer

        return await self._run_once(entry, (user_id,), write, in_transaction)

    async def reverse(
        self, key: str, reason: str, by: str, *, in_transaction: InTransaction | None = None
    ) -> JsonObject:
        """Reverse a gift or a grant, once; return {"reverses"}.

        Raises EntryNotFound, NotReversible, or InsufficientGold if it was spent already.
        """
        entry = await self._reversible(key)
        content = {"reverses": key}
        lines = negate(entry.lines)
        reversal = JournalEntry(
            reversal_key(key), "reversal", by, lines, content, content, reason, ios=entry.ios
        )

        async def write(tx: Any) -> JsonObject:
            await self._must_be_new(tx, reversal.key)
            await self._ledger.move(tx, reversal.lines)
            await self._ledger.write(tx, reversal, None)
            await self._ledger.subtract_from_rankings(tx, key)
            return content

        users = affected_users(entry.lines)
        return await self._run_once(reversal, users, write, in_transaction)

    async def reversible_amount(self, key: str) -> int:
        """Return the most gold or income that a reversal of the entry moves.

        Raises as `reverse`.
        """
        return max(abs(line.amount) for line in (await self._reversible(key)).lines)

    async def moved_by(self, name: str, since: datetime, tx: Any) -> int:
        """Return the gold and income that an operator has moved alone since then.

        It counts both directions. `tx`: the transaction that reads it.
        """
        return await self._ledger.moved_by(name, OPERATORS_KINDS, since, tx)

    async def has(self, key: str) -> bool:
        """Return whether the journal has an entry with this key."""
        return await self._ledger.find(key) is not None

    async def _reversible(self, key: str) -> JournalEntry:
        entry = await self._ledger.entry(key)
        if entry is None:
            raise EntryNotFound
        if entry.kind not in REVERSIBLE:
            raise NotReversible
        return entry

    async def _must_be_new(self, tx: Any, key: str) -> None:
        """Raise EntryExists first: a repetition could fail with InsufficientGold instead."""
        if await self._ledger.find(key, tx):
            raise EntryExists(key)

    async def _run_once(
        self,
        entry: JournalEntry,
        users: Iterable[str],
        write: Callable[[Any], Awaitable[JsonObject]],
        in_transaction: InTransaction | None,
    ) -> JsonObject:
        """Return the answer of `write`, which writes the entry.

        If that was done before, return the stored answer.
        """

        async def work(tx: Any) -> JsonObject:
            if in_transaction:
                await in_transaction(tx)
            return await write(tx)

        if stored := await self._ledger.find(entry.key):
            return _stored_answer(stored, entry.content)
        try:
            async with self._lock(*users):
                return await self._ledger.run_transaction(work)
        except EntryExists as existing:
            return _stored_answer(await self._ledger.find_committed(existing.key), entry.content)


def _stored_answer(stored: tuple[JsonObject, JsonObject], content: JsonObject) -> JsonObject:
    if dict(stored[0]) != dict(content):
        raise RequestIdReused
    return stored[1]
