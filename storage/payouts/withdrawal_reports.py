"""Sums of withdrawals, per day in China, and per host for the tax report of a quarter."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from core.clock import day_interval
from storage.database import Collection, Database, Document
from storage.documents import day_in_china, starts_with, stream
from storage.field_cipher import FieldCipher
from storage.gold.rankings import OWNER_OF_LINE


@dataclass(frozen=True, slots=True)
class DaySums:
    """Sums requested, paid and returned on one day, each counted on its own day."""

    day: date
    requested_fen: int = 0
    requested: int = 0
    paid_fen: int = 0
    paid: int = 0
    returned_fen: int = 0
    returned: int = 0


class HostQuarter(NamedTuple):
    """Income and payouts of a user in a quarter.

    `gross_income` is that of the gifts of the quarter, `reversed_income` of all gifts
    reversed in it, also older ones. `real_name` is "" if unknown.
    """

    user_id: str
    nickname: str
    real_name: str
    gross_income: int
    reversed_income: int
    withdrawn_income: int
    paid_fen: int


class WithdrawalReportStore:
    """Read-only; each report is computed in the database."""

    def __init__(self, database: Database, cipher: FieldCipher) -> None:
        self._database = database
        self._cipher = cipher
        self._withdrawals: Collection = database.collection("withdrawals")
        self._ledger: Collection = database.collection("ledger")
        self._users: Collection = database.collection("users")

    # ---- days

    async def days(self, before: date, count: int) -> tuple[list[DaySums], date | None]:
        """Return the `count` days before a day, newest first, without empty ones.

        Returns also the day to continue before; None when nothing is older.
        """
        first = before - timedelta(days=count)
        start, end = day_interval(first)[0], day_interval(before)[0]
        sums: defaultdict[str, dict[str, int]] = defaultdict(dict)
        at = {"$gte": start, "$lt": end}
        groups = {
            "requested": ("requested_at", {}),
            "paid": ("finished_at", {"state": "paid"}),
            "returned": ("finished_at", {"state": "returned"}),
        }
        for kind, (time, where) in groups.items():
            of_day = {"_id": day_in_china(time), "fen": {"$sum": "$fen"}, "n": {"$sum": 1}}
            steps: list[Document] = [{"$match": {**where, time: at}}, {"$group": of_day}]
            async for row in stream(self._withdrawals, steps):
                sums[row["_id"]] |= {f"{kind}_fen": row["fen"], kind: row["n"]}
        older = await self._withdrawals.find_one({"requested_at": {"$lt": start}}, {"_id": 1})
        days = [DaySums(date.fromisoformat(day), **sums[day]) for day in sorted(sums, reverse=True)]
        return days, first if older else None

    # ---- a quarter

    async def quarter(self, name: str) -> list[HostQuarter]:
        """Return every user with income from gifts, a reversal or a payout in a quarter, by id.

        The quarter is one in China; `name`: as 2026Q4.
        """
        year, quarter = int(name[:4]), int(name[-1])
        following = date(year + 1, 1, 1) if quarter == 4 else date(year, 3 * quarter + 1, 1)
        start = day_interval(date(year, 3 * quarter - 2, 1))[0]
        end = day_interval(following)[0]
        with self._database.slow_operation_timeout():
            within = {"at": {"$gte": start, "$lt": end}}
            gross = await self._income({"kind": "gift", **within}, 1)
            reversals = {"kind": "reversal", "content.reverses": starts_with("gift:")}
            back = await self._income({**reversals, **within}, -1)
            of_users = {"_id": "$user_id", "income": {"$sum": "$income"}, "fen": {"$sum": "$fen"}}
            finished = {"state": "paid", "finished_at": {"$gte": start, "$lt": end}}
            payouts = stream(self._withdrawals, [{"$match": finished}, {"$group": of_users}])
            paid = {row["_id"]: (int(row["income"]), int(row["fen"])) async for row in payouts}
            ids = sorted({*gross, *back, *paid})
            names = {"nickname": 1, "real_name": 1}
            users = {
                row["_id"]: row async for row in self._users.find({"_id": {"$in": ids}}, names)
            }
        return [
            HostQuarter(
                id_,
                users.get(id_, {}).get("nickname", ""),
                self._cipher.decrypt(users.get(id_, {}).get("real_name", b""), id_) or "",
                gross.get(id_, 0),
                back.get(id_, 0),
                *paid.get(id_, (0, 0)),
            )
            for id_ in ids
        ]

    async def _income(self, where: Document, sign: int) -> dict[str, int]:
        """Return the income that entries credit (sign 1) or take back (sign -1), by user.

        With sign -1, debts are included.
        """
        amount = {"$multiply": ["$lines.amount", sign]}
        steps: list[Document] = [
            {"$match": where},
            {"$unwind": "$lines"},
            {"$match": {"lines.unit": "income", "lines.account": {"$regex": "^(user|owed):"}}},
            {"$project": {"user": OWNER_OF_LINE, "amount": amount}},
            {"$match": {"amount": {"$gt": 0}}},
            {"$group": {"_id": "$user", "income": {"$sum": "$amount"}}},
        ]
        return {row["_id"]: int(row["income"]) async for row in stream(self._ledger, steps)}
