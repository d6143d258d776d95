"""Carries open withdrawals on: submits approved ones, queries and sends again submitted ones."""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from ledger.withdrawals import Withdrawal
from services.bills import BillService
from storage.withdrawals import WithdrawalStore

log = structlog.get_logger("qlive.withdrawals")

CONCURRENCY = 8
"""Withdrawals that a process carries on at once: WeChat Pay takes 100 calls a second."""
CHECK_SECONDS = 45
"""Time limit of one withdrawal; the bills that are left come with its next turn."""
CLAIM_LEASE = timedelta(minutes=1)
"""Lease of a withdrawal while a process carries it on; longer than that can take."""


class OpenTransferSweep:
    """Leased by the database's clock, so that one process at a time carries a withdrawal on."""

    def __init__(self, withdrawals: WithdrawalStore, bills: BillService) -> None:
        self._withdrawals = withdrawals
        self._bills = bills

    async def sweep(self) -> None:
        """Carry on all withdrawals that are due, those that have waited longest first.

        Raises the first unexpected error, after all others have been carried on.
        """
        slots, errors = asyncio.Semaphore(CONCURRENCY), list[Exception]()

        async def carry_on(withdrawal: Withdrawal) -> None:
            try:
                await self._carry_on(withdrawal)
            except Exception as error:  # noqa: BLE001 - raised below; the lease lapses
                errors.append(error)
            finally:
                slots.release()

        async with asyncio.TaskGroup() as tasks:
            try:
                while claimed := await self._claim(slots):
                    tasks.create_task(carry_on(claimed))
            except Exception as error:  # noqa: BLE001 - raised below; bills in progress finish
                errors.append(error)
        if errors:
            raise errors[0]

    async def _claim(self, slots: asyncio.Semaphore) -> Withdrawal | None:
        """The next withdrawal, once there is a slot for it: its lease begins with its check."""
        await slots.acquire()
        return await self._withdrawals.claim(CLAIM_LEASE)

    async def _carry_on(self, withdrawal: Withdrawal) -> None:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                withdrawal = await self._bills.advance(withdrawal)
        except TimeoutError:
            log.warning("withdrawal_checked_late", withdrawal=withdrawal.id)
        await self._withdrawals.postpone(withdrawal, datetime.now(UTC))
