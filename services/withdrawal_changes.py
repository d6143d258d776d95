"""The only path by which a stored withdrawal changes: document, entries and balances together."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ledger.errors import WithdrawalNotFound
from ledger.journal import JournalEntry
from ledger.withdrawals import Withdrawal, WithdrawalChange
from services.ledger import LockUsers
from storage.ledger import LedgerStore
from storage.withdrawals import WithdrawalStore


class WithdrawalChanges:
    """Applies rules to withdrawals, one transaction each, retried on write conflicts."""

    def __init__(self, ledger: LedgerStore, withdrawals: WithdrawalStore, hold: LockUsers) -> None:
        self._ledger = ledger
        self._withdrawals = withdrawals
        self._hold = hold

    async def change(self, id_: str, rule: Callable[[Withdrawal], WithdrawalChange]) -> Withdrawal:
        """Load, apply `rule`, and save with its entries; returns the withdrawal as it is then.

        A rule that changes nothing saves nothing; what it raises propagates. Raises
        WithdrawalNotFound.
        """
        found = await self._withdrawals.find(id_)
        if found is None:
            raise WithdrawalNotFound

        async def work(tx: Any) -> Withdrawal:
            withdrawal = await self._withdrawals.find(id_, tx)
            assert withdrawal is not None  # never deleted
            change = rule(withdrawal)
            if change.withdrawal == withdrawal:
                return withdrawal
            changed = change.withdrawal.note_state_change(withdrawal, datetime.now(UTC))
            await self._write(tx, withdrawal, WithdrawalChange(changed, change.entries))
            return replace(changed, version=withdrawal.version + 1)

        async with self._hold(found.user_id):
            return await self._ledger.run_transaction(work)

    async def _write(self, tx: Any, before: Withdrawal, change: WithdrawalChange) -> None:
        for entry in change.entries:
            await self._book(tx, before.user_id, entry)
        returned = before.counted_fen - change.withdrawal.counted_fen
        if returned:
            await self._withdrawals.subtract_from_day(tx, before.requested_at, returned)
        await self._withdrawals.save(tx, change.withdrawal)

    async def _book(self, tx: Any, user_id: str, entry: JournalEntry) -> None:
        balances = await self._ledger.move(tx, entry.lines)
        answer = balances[user_id]._asdict() if user_id in balances else {}
        await self._ledger.write(tx, replace(entry, answer=answer), None)
