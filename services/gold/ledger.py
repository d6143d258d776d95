"""Grants, payments of debts and reversals: one idempotent transaction each."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from ledger.errors import EntryNotFound, NotReversible
from ledger.journal import (
    HOUSE,
    JournalEntry,
    JsonObject,
    Kind,
    Posting,
    StoredEntry,
    Unit,
    affected_users,
    debt_account,
    debt_key,
    grant_key,
    negate,
    postings_for,
    reversal_key,
    user_account,
)
from storage.gold.ledger import LedgerStore

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
        content = {"to": user_id, "gold": gold}
        lines = postings_for(user_id, gold)
        entry = JournalEntry(grant_key(request_id), "grant", by, lines, content, note=reason)
        return await self._post(entry, user_id, in_transaction)

    async def pay_off_debt(
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
        """Pay a user's debt off from their balance or by the house; return {"gold", "income"}.

        `gold` is the amount, also of income. Raises DebtExceeded, InsufficientGold or
        RequestIdReused.
        """
        payer = HOUSE if by_house else user_account(user_id)
        lines = (Posting(payer, unit, -gold), Posting(debt_account(user_id), unit, gold))
        content = {"owed_by": user_id, unit: gold, "by_house": by_house}
        kind: Kind = "grant" if by_house else "reversal"
        entry = JournalEntry(debt_key(request_id), kind, by, lines, content, note=reason)
        return await self._post(entry, user_id, in_transaction)

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
        return await self._post(reversal, None, in_transaction)

    async def reversible_amount(self, key: str) -> int:
        """Return the most gold or income that a reversal moves. Raises as `reverse`."""
        return max(abs(line.amount) for line in (await self._reversible(key)).lines)

    async def _reversible(self, key: str) -> JournalEntry:
        entry = await self._ledger.entry(key)
        if entry is None:
            raise EntryNotFound
        if entry.kind not in REVERSIBLE:
            raise NotReversible
        return entry

    async def _post(
        self, entry: JournalEntry, user_id: str | None, in_transaction: InTransaction | None
    ) -> JsonObject:
        """Write an entry of a user, or a reversal (without `user_id`), and return its answer."""

        async def work(tx: Any) -> JsonObject:
            if in_transaction:
                await in_transaction(tx)
            answer = await self._ledger.post(tx, entry, user_id)
            if user_id is None:
                await self._ledger.subtract_from_rankings(tx, entry.content["reverses"])
            return answer

        users = affected_users(entry.lines) if user_id is None else [user_id]
        async with self._lock(*users):
            done = await self._ledger.run_once(entry.key, work)
        return done.answer_to(entry.content) if isinstance(done, StoredEntry) else done
