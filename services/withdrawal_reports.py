"""Reports on withdrawals: the metrics of open ones, and the tax report of a quarter."""

from datetime import UTC, date, datetime
from typing import NamedTuple

from core.clock import day_interval
from storage.field_cipher import FieldCipher
from storage.withdrawal_reports import HostQuarter, OpenWithdrawals, WithdrawalReportStore


class ReportRow(NamedTuple):
    """A line of the quarter's report; `real_name` is "" if none is known."""

    user_id: str
    nickname: str
    real_name: str
    gross_income: int
    reversed_income: int
    withdrawn_income: int
    paid_fen: int


class WithdrawalReports:
    """`open` is what `measure` found last."""

    def __init__(self, store: WithdrawalReportStore, cipher: FieldCipher) -> None:
        self._store = store
        self._cipher = cipher
        self.open = OpenWithdrawals({}, {}, {})

    async def measure(self) -> None:
        """Read the figures of /metrics."""
        self.open = await self._store.open_withdrawals()

    def oldest_seconds(self) -> dict[str, float]:
        """Longest time that an open withdrawal has been in its state, by state."""
        now = datetime.now(UTC)
        return {state: (now - at).total_seconds() for state, at in self.open.oldest.items()}

    async def quarter(self, name: str) -> list[ReportRow]:
        """The report of a quarter in China, as 2026Q4, by user_id."""
        return [self._row(host) for host in await self._store.quarter(*quarter_interval(name))]

    def _row(self, host: HostQuarter) -> ReportRow:
        name = (
            self._cipher.decrypt(host.encrypted_name, host.user_id) if host.encrypted_name else ""
        )
        return ReportRow(host.user_id, host.nickname, name or "", *host[3:])


def quarter_interval(name: str) -> tuple[datetime, datetime]:
    """Start (inclusive) and end (exclusive) of a quarter in China, as 2026Q4."""
    year, quarter = int(name[:4]), int(name[-1])
    following = date(year + 1, 1, 1) if quarter == 4 else date(year, 3 * quarter + 1, 1)
    return day_interval(date(year, 3 * quarter - 2, 1))[0], day_interval(following)[0]
