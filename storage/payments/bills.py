"""bills: one document per bill of WeChat, its file in `bill_files`; bill_differences.

orders, withdrawals, ledger, refund_cases: what is booked here, and in which bill it was.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from typing import Any

from gridfs import AsyncGridFSBucket, NoFile
from pymongo import ReturnDocument, UpdateOne

from core.errors import NotFound
from ledger.bills import Difference, Movement, Statement, Thing
from ledger.recharge import IOS
from storage.database import Collection, Database, Document
from storage.documents import page
from storage.errors import AlreadyDecided
from storage.field_cipher import FieldCipher

FINAL = ("done", "empty", "unreadable")
"""States of a bill after `waiting` (for WeChat) and `stored`."""
CLOSING = ("missing_here", "other_state")
"""Kinds of differences that may close although the bills stay as they are."""
STATES = {"paid": "done", "returned": "failed"}
"""Of orders and withdrawals; all others are open."""
OTHER_NUMBERS = {"payment": "transaction", "transfer": "wechat_number"}
TIMES = {"payment": "paid_at", "transfer": "finished_at"}


class BillStore:
    """Bills, the differences that they have shown, and what is booked here."""

    def __init__(self, database: Database, cipher: FieldCipher) -> None:
        self._bills: Collection = database.collection("bills")
        self._differences: Collection = database.collection("bill_differences")
        self._ledger: Collection = database.collection("ledger")
        self._cases: Collection = database.collection("refund_cases")
        self._orders: Collection = database.collection("orders")
        withdrawals: Collection = database.collection("withdrawals")
        self._booked = {"payment": self._orders, "transfer": withdrawals}
        self._files = AsyncGridFSBucket(self._bills.database, "bill_files")
        self._cipher = cipher
        self.long_timeout = database.slow_operation_timeout

    async def make_indexes(self) -> None:
        newest = [("found_at", -1), ("_id", -1)]
        await self._bills.create_index([("began_at", -1), ("_id", -1)])
        await self._differences.create_index(newest)
        await self._differences.create_index([("state", 1), *newest])
        await self._differences.create_index([("thing", 1), ("number", 1)])

    # ---- bills

    async def bill(self, id_: str) -> Document:
        """A bill, {} before it was asked for."""
        return await self._bills.find_one({"_id": id_}) or {}

    async def save(self, id_: str, **fields: Any) -> None:
        await self._bills.update_one({"_id": id_}, {"$set": fields}, upsert=True)

    async def store_file(self, id_: str, file: bytes) -> None:
        """Keep a bill byte for byte, encrypted, since it has openids."""
        encrypted = await asyncio.to_thread(self._cipher.encrypt, file.decode("latin-1"), id_)
        key = await self._files.upload_from_stream(id_, encrypted)
        await self.save(id_, file=key, bytes=len(file))

    async def file(self, id_: str) -> bytes | None:
        """The bytes of a stored bill; None if it, or the key of the settings, is gone."""
        try:
            stream = await self._files.open_download_stream((await self.bill(id_)).get("file"))
        except NoFile:
            return None
        text = await asyncio.to_thread(self._cipher.decrypt, await stream.read(), id_)
        return None if text is None else text.encode("latin-1")

    async def is_settled(self, ids: Sequence[str]) -> bool:
        """Whether comparing these bills again would change nothing."""
        final = await self._bills.count_documents({"_id": {"$in": ids}, "state": {"$in": FINAL}})
        closing = {"bill": {"$in": ids}, "state": "open", "kind": {"$in": CLOSING}}
        return final == len(ids) and not await self._differences.find_one(closing)

    async def page(self, after: str, limit: int) -> tuple[list[Document], str | None]:
        """Bills, the latest first, and the next cursor; raises InvalidCursor."""
        return await page(self._bills, {}, "began_at", after, limit)

    # ---- what is booked here

    async def booked(
        self, provider: str, rows: Sequence[Movement]
    ) -> dict[tuple[Thing, str], Movement]:
        """What is booked under the numbers of these rows, ours or WeChat's; not of the sandbox."""
        found: dict[tuple[Thing, str], Movement] = {}
        for thing in {row.thing for row in rows}:
            pairs = [(row.number, row.other) for row in rows if row.thing == thing]
            numbers = [number for pair in pairs for number in pair if number]
            for number, here in (await self._numbered(thing, provider, numbers)).items():
                found[thing, number] = here
        return found

    async def _numbered(
        self, thing: Thing, provider: str, numbers: Sequence[str]
    ) -> dict[str, Movement]:
        if thing == "refund":
            keys = [f"reversal:{provider}:{number}" for number in numbers]
            entries = await self._ledger.find({"_id": {"$in": keys}}).to_list()
            return {refund.number: refund for refund in map(_refund, entries)}
        among, other = {"$in": numbers}, OTHER_NUMBERS[thing]
        where: Document = {"$or": [{"_id": among}, {other: among}], "sandbox": {"$ne": True}}
        rows = await self._booked[thing].find(where).to_list()
        ours = [row for row in rows if row.get("provider", provider) == provider]
        return {
            row[key]: _movement(thing, row)
            for key in (other, "_id")
            for row in ours
            if row.get(key)
        }

    async def mark(self, movements: Sequence[Movement], period: str) -> None:
        """They are in the bill of this period."""
        for thing, collection in self._booked.items():
            numbers = [movement.number for movement in movements if movement.thing == thing]
            where = {"_id": {"$in": numbers}, "billed": None}
            await collection.update_many(where, {"$set": {"billed": period}})
        for refund in movements:
            if refund.thing == "refund":
                add = {"$addToSet": {"billed_refunds": refund.number}}
                await self._orders.update_one({"_id": refund.order}, add)

    async def unbilled(
        self, statement: Statement, thing: Thing, start: datetime, end: datetime
    ) -> AsyncGenerator[Movement]:
        """What was booked in this time and is in no bill so far.

        Refunds are those that cases have asked for, once the case is closed: WeChat reports others.
        """
        within, provider = {"$gte": start, "$lt": end}, statement.provider
        if thing != "refund":
            where: Document = {TIMES[thing]: within, "state": "paid", "billed": None}
            if thing == "payment":
                where |= {"provider": provider, "sandbox": {"$ne": True}}
            if provider == "xpay":  # those of iOS are in a bill of their own
                where["platform"] = IOS if statement.is_monthly else {"$ne": IOS}
            async for row in self._booked[thing].find(where):
                yield _movement(thing, row)
            return
        async for case in self._cases.find({"state": "closed", "closed_at": within}):
            for step in case["orders"]:
                billed = {"_id": step["number"], "billed_refunds": step["refund"]}
                kind = (step["provider"], step["state"], step["by_apple"])
                if kind == (provider, "refunded", False) and not await self._orders.find_one(
                    billed
                ):
                    order, user_id = step["number"], case["user_id"]
                    yield Movement(thing, step["refund"], step["fen"], "done", "", order, user_id)

    # ---- differences

    async def record(
        self, found: Sequence[Difference], compared: Sequence[tuple[Thing, str]], bill: str
    ) -> None:
        """Store differences, each once, and close those of `compared` numbers that are gone.

        What an operator has settled stays settled.
        """
        now, ids = datetime.now(UTC), [f"{row.kind}:{row.thing}:{row.number}" for row in found]
        for thing in {thing for thing, _ in compared}:
            numbers = [number for other, number in compared if other == thing]
            gone = {"thing": thing, "number": {"$in": numbers}, "state": "open"}
            agreed = {"$set": {"state": "agreed", "closed_at": now}}
            await self._differences.update_many({**gone, "_id": {"$nin": ids}}, agreed)
        is_new = {"$in": [{"$ifNull": ["$state", "agreed"]}, ["agreed"]]}
        changing = {
            "state": {"$cond": [is_new, "open", "$state"]},
            "found_at": {"$ifNull": ["$found_at", now]},
        }
        updates = [
            UpdateOne({"_id": id_}, [{"$set": {**_literals(row, bill), **changing}}], upsert=True)
            for id_, row in zip(ids, found, strict=True)
        ]
        if updates:
            await self._differences.bulk_write(updates, ordered=False)

    async def differences(
        self, state: str, after: str, limit: int
    ) -> tuple[list[Document], str | None]:
        """Differences for operators, newest first, and the next cursor; raises InvalidCursor."""
        where = {"state": state} if state else {}
        return await page(self._differences, where, "found_at", after, limit)

    async def difference(self, id_: str) -> Document | None:
        return await self._differences.find_one({"_id": id_})

    async def open_of(self, ids: Sequence[str]) -> list[Document]:
        """Open differences that these bills have shown."""
        where = {"bill": {"$in": ids}, "state": "open"}
        return await self._differences.find(where).sort("_id", 1).to_list()

    async def count_open(self) -> int:
        return await self._differences.count_documents({"state": "open"})

    async def settle(self, id_: str, by: str, note: str) -> Document:
        """An operator has dealt with it. NotFound; AlreadyDecided if it is closed."""
        change = {"state": "settled", "by": by, "note": note, "closed_at": datetime.now(UTC)}
        row: Document | None = await self._differences.find_one_and_update(
            {"_id": id_, "state": "open"}, {"$set": change}, return_document=ReturnDocument.AFTER
        )
        if row is None:
            raise AlreadyDecided if await self.difference(id_) else NotFound
        return row


def _literals(difference: Difference, bill: str) -> Document:
    fields = {**difference._asdict(), "bill": bill}
    return {name: {"$literal": value} for name, value in fields.items()}


def _movement(thing: Thing, row: Document) -> Movement:
    state: Any = STATES.get(row["state"], "open")
    return Movement(thing, row["_id"], row["fen"], state, user_id=row["user_id"])


def _refund(entry: Document) -> Movement:
    number, order = entry["_id"].rpartition(":")[2], entry["content"]["reverses"].rpartition(":")[2]
    return Movement("refund", number, entry["content"]["fen"], order=order)
