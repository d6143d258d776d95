"""bills: one document per type and day or month; bill_files; bill_differences.

orders, withdrawals, ledger, refund_cases: what is recorded here, and the bill that has it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo import UpdateOne

from core.errors import NotFound
from ledger.bills import BillType, Category, Difference, Movement
from ledger.recharge import IOS
from storage.database import Collection, Database, Document
from storage.documents import change_one, given, make_page_indexes, page
from storage.errors import AlreadyDecided
from storage.field_cipher import FieldCipher

STATES = {"paid": "done", "returned": "failed"}
"""Of orders and withdrawals; all others are open."""
WECHAT_NUMBERS = {"payment": "transaction", "transfer": "wechat_number"}
TIMES = {"payment": "paid_at", "transfer": "finished_at"}


class BillStore:
    """Bills, their differences, and the bookings with which they are compared."""

    def __init__(self, database: Database, cipher: FieldCipher) -> None:
        self._bills: Collection = database.collection("bills")
        self._files: Collection = database.collection("bill_files")
        self._differences: Collection = database.collection("bill_differences")
        self._ledger: Collection = database.collection("ledger")
        self._cases: Collection = database.collection("refund_cases")
        self._orders: Collection = database.collection("orders")
        withdrawals: Collection = database.collection("withdrawals")
        self._recorded = {"payment": self._orders, "transfer": withdrawals}
        self._cipher = cipher
        self._database = database

    async def make_indexes(self) -> None:
        await make_page_indexes(self._bills, "began_at")
        await make_page_indexes(self._differences, "found_at", "state")
        await self._differences.create_index([("bill", 1), ("state", 1)])

    # ---- bills

    async def save(self, id_: str, **fields: Any) -> None:
        await self._bills.update_one({"_id": id_}, {"$set": fields}, upsert=True)

    async def store_file(self, id_: str, file: bytes) -> None:
        """Store a file byte for byte, encrypted, since it has openids."""
        encrypted = await asyncio.to_thread(self._cipher.encrypt, file.decode("latin-1"), id_)
        with self._database.slow_operation_timeout():
            await self._files.replace_one({"_id": id_}, {"file": encrypted}, upsert=True)

    async def file(self, id_: str) -> bytes | None:
        """Return the bytes of a stored file; None if it, or the key of the settings, is gone."""
        with self._database.slow_operation_timeout():
            row = await self._files.find_one({"_id": id_})
        if row is None:
            return None
        text = await asyncio.to_thread(self._cipher.decrypt, row["file"], id_)
        return None if text is None else text.encode("latin-1")

    async def agrees(self, id_: str) -> bool:
        """Return whether a bill was compared, and has no open difference."""
        is_done = await self._bills.find_one({"_id": id_, "state": "done"})
        return bool(is_done) and not await self.open_of(id_)

    async def page(self, after: str, limit: int) -> tuple[list[Document], str | None]:
        """Return bills, the latest first, and the next cursor. Raises InvalidCursor."""
        return await page(self._bills, {}, "began_at", after, limit)

    # ---- what is recorded here

    async def recorded(self, provider: str, rows: Sequence[Movement]) -> list[Movement | None]:
        """Return the booking of each row, found by our number or WeChat's, without the sandbox."""
        found: dict[tuple[Category, str], Movement] = {}
        for category in {row.category for row in rows}:
            pairs = [(row.number, row.wechat_number) for row in rows if row.category == category]
            numbers = [number for pair in pairs for number in pair if number]
            here = await self._numbered(category, provider, numbers)
            found |= {(category, number): movement for number, movement in here.items()}
        return [
            found.get((row.category, row.number)) or found.get((row.category, row.wechat_number))
            for row in rows
        ]

    async def _numbered(
        self, category: Category, provider: str, numbers: Sequence[str]
    ) -> Mapping[str, Movement]:
        if category == "refund":
            keys = [f"reversal:{provider}:{number}" for number in numbers]
            entries = await self._ledger.find({"_id": {"$in": keys}}).to_list()
            return {refund.number: refund for refund in map(_refund, entries)}
        among, other = {"$in": numbers}, WECHAT_NUMBERS[category]
        where: Document = {"$or": [{"_id": among}, {other: among}], "sandbox": {"$ne": True}}
        rows = await self._recorded[category].find(where).to_list()
        ours = [row for row in rows if row.get("provider", provider) == provider]
        return {
            row[key]: _movement(category, row)
            for key in (other, "_id")
            for row in ours
            if row.get(key)
        }

    async def mark(self, movements: Sequence[Movement], period: str) -> None:
        """Note that the bill of this period has these bookings."""
        for category, collection in self._recorded.items():
            numbers = [movement.number for movement in movements if movement.category == category]
            where = {"_id": {"$in": numbers}, "billed": None}
            await collection.update_many(where, {"$set": {"billed": period}})
        refunds = [
            UpdateOne({"_id": refund.order}, {"$addToSet": {"billed_refunds": refund.number}})
            for refund in movements
            if refund.category == "refund"
        ]
        if refunds:
            await self._orders.bulk_write(refunds, ordered=False)

    async def unbilled(self, bill_type: BillType, period: str) -> list[Movement]:
        """Return bookings that no bill has, although one up to this period should."""
        start, end = bill_type.expected(period)
        within, provider, found = {"$gte": start, "$lt": end}, bill_type.provider, []
        with self._database.slow_operation_timeout():
            for category in bill_type.categories:
                if category == "refund":
                    found += await self._unbilled_refunds(provider, within)
                    continue
                where: Document = {TIMES[category]: within, "state": "paid", "billed": None}
                if category == "payment":
                    where |= {"provider": provider, "sandbox": {"$ne": True}}
                if provider == "xpay":  # those of iOS are in a bill of their own
                    where["platform"] = IOS if bill_type.is_monthly else {"$ne": IOS}
                found += [
                    _movement(category, row) async for row in self._recorded[category].find(where)
                ]
        return found

    async def _unbilled_refunds(self, provider: str, within: Document) -> list[Movement]:
        """Return refunds of closed cases alone, since WeChat itself reports all others."""
        found = []
        async for case in self._cases.find({"state": "closed", "closed_at": within}):
            for step in case["orders"]:
                order, refund = step["number"], step["refund"]
                is_there = (step["provider"], step["state"]) == (provider, "refunded")
                billed = {"_id": order, "billed_refunds": refund}
                if is_there and not step["by_apple"] and not await self._orders.find_one(billed):
                    row = Movement("refund", refund, step["fen"], order=order)
                    found.append(row._replace(user_id=case["user_id"]))
        return found

    # ---- differences

    async def record(self, found: Sequence[Difference], bill: str, at: datetime) -> None:
        """Store the differences of a comparison that began at `at`, each once.

        One that an operator has closed stays closed; one that had closed by itself opens again.
        """
        rows = {f"{row.kind}:{row.category}:{row.number}": row for row in found}
        if not rows:
            return
        new, seen = {"state": "open", "found_at": at}, {"seen_at": at}
        updates = [
            UpdateOne(
                {"_id": id_},
                {"$set": {**row._asdict(), "bill": bill}, "$max": seen, "$setOnInsert": new},
                upsert=True,
            )
            for id_, row in rows.items()
        ]
        await self._differences.bulk_write(updates, ordered=False)
        again = {"_id": {"$in": [*rows]}, "state": "agreed"}
        await self._differences.update_many(again, {"$set": {**new, "closed_at": None}})

    async def close_gone(self, bill: str, at: datetime) -> None:
        """Close differences that the complete comparison begun at `at` has not found again."""
        gone = {"bill": bill, "state": "open", "seen_at": {"$lt": at}}
        agreed = {"$set": {"state": "agreed", "closed_at": datetime.now(UTC)}}
        await self._differences.update_many(gone, agreed)

    async def differences(
        self, state: str, after: str, limit: int
    ) -> tuple[list[Document], str | None]:
        """Return differences, newest first, and the next cursor. Raises InvalidCursor."""
        return await page(self._differences, given(state=state), "found_at", after, limit)

    async def difference(self, id_: str) -> Document | None:
        return await self._differences.find_one({"_id": id_})

    async def open_of(self, bill: str) -> list[Document]:
        where = {"bill": bill, "state": "open"}
        return await self._differences.find(where).sort("_id", 1).to_list()

    async def count_open(self) -> int:
        return await self._differences.count_documents({"state": "open"})

    async def close(self, id_: str, by: str, note: str) -> Document:
        """Close an open difference. Raises NotFound, or AlreadyDecided if it is closed."""
        change = {"state": "settled", "by": by, "note": note, "closed_at": datetime.now(UTC)}
        is_open = {"_id": id_, "state": "open"}
        row = await change_one(self._differences, is_open, {"$set": change})
        if row is None:
            raise AlreadyDecided if await self.difference(id_) else NotFound
        return row


def _movement(category: Category, row: Document) -> Movement:
    state: Any = STATES.get(row["state"], "open")
    known = {"user_id": row["user_id"], "charged_fen": row.get("paid_fen")}
    wechat_number = row.get(WECHAT_NUMBERS[category], "")
    return Movement(category, row["_id"], row["fen"], state, wechat_number, **known)


def _refund(entry: Document) -> Movement:
    number, order = entry["_id"].rpartition(":")[2], entry["content"]["reverses"].rpartition(":")[2]
    return Movement("refund", number, entry["content"]["fen"], order=order)
