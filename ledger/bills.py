"""Rules by which WeChat's bills are compared with the bookings here."""

from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple

from core.clock import day_interval, day_of

Category = Literal["payment", "refund", "transfer", "bill"]
Kind = Literal[
    "missing_here", "missing_there", "other_amount", "other_number", "other_state", "unreadable"
]
Source = Literal["trade", "fund_basic", "fund_operation", "xpay", "ios"]
BillName = Literal["trade", "fund", "xpay", "ios"]
READY = timedelta(hours=10)
"""Time of day in China from which WeChat has the bills of the day before."""
DAYS, MONTHS = 14, 4
"""Periods back from now whose bills are fetched; Apple settles within two months."""
CLOCKS_DIFFER = timedelta(minutes=10)
"""WeChat books first, but a booking here just before midnight may be in its next day."""


class Movement(NamedTuple):
    """A movement of money: a row of a bill, or a booking here."""

    category: Category
    number: str
    """Our number, or WeChat's if a bill has no other."""
    fen: int | None
    """None: the bill has no known column for it."""
    state: Literal["open", "done", "failed"] = "done"
    """In a bill, `failed` if no money was moved or it came back; `open` only here."""
    wechat_number: str = ""
    """That of a refund is only in a bill."""
    order: str = ""
    user_id: str = ""
    charged_fen: int | None = None
    """Fen that the buyer was charged, less than `fen` if virtual payment gave a discount."""


class Difference(NamedTuple):
    kind: Kind
    category: Category
    number: str
    order: str = ""
    user_id: str = ""
    fen_there: int | None = None
    fen_here: int | None = None
    detail: str = ""


class BillType(NamedTuple):
    """A type of bill; `sources` are the files with these movements of a provider and period."""

    name: BillName
    provider: str
    categories: tuple[Category, ...]
    sources: tuple[Source, ...]
    is_monthly: bool = False

    def bill(self, period: str) -> str:
        return f"{self.name}:{period}"

    def periods(self, now: datetime) -> list[str]:
        """Return the latest days (months of Apple) for which there are bills, oldest first."""
        today = day_of(now - READY)
        if not self.is_monthly:
            return [str(today - timedelta(days=n)) for n in range(DAYS, 0, -1)]
        number = today.year * 12 + today.month - 1
        return [f"{n // 12}-{n % 12 + 1:02}" for n in range(number - MONTHS, number)]

    def began_at(self, period: str) -> datetime:
        return day_interval(date.fromisoformat(f"{period}-01"[:10]))[0]

    def expected(self, period: str) -> tuple[datetime, datetime]:
        """Return start and end of the bookings that this bill or an earlier one has to have.

        Apple's months begin some days off, so that a bill completes the month before its own.
        """
        start = self.began_at(period)
        if not self.is_monthly:
            return start - CLOCKS_DIFFER, start + timedelta(days=1) - CLOCKS_DIFFER
        return (start - timedelta(days=1)).replace(day=1), start


def compare(there: Movement | None, here: Movement | None) -> Difference | None:
    """Return the difference between a movement in a bill and its record; None if they agree."""
    kind, known = _kind(there, here), here or there
    if kind is None or known is None:
        return None
    order = known.order or (there.order if there else "")
    fen_there, fen_here = there and there.fen, here and here.fen
    detail = there.wechat_number if there and kind == "other_number" else ""
    ours = known.category, known.number, order, known.user_id
    return Difference(kind, *ours, fen_there, fen_here, detail)


def _kind(there: Movement | None, here: Movement | None) -> Kind | None:
    if there is None:
        return "missing_there"
    if there.state == "failed":
        return "other_state" if here and here.state == "done" else None
    if here is None:
        return "missing_here"
    if here.state == "failed":
        return "other_state"
    if len({there.wechat_number, here.wechat_number} - {""}) > 1:
        return "other_number"
    if there.fen not in (None, here.fen, here.charged_fen):
        return "other_amount"
    return "missing_here" if here.state == "open" else None
