"""audit_chain: the two ends of the hash chain over the rows of `audit`."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile

import structlog
from bson import ObjectId
from bson.json_util import CANONICAL_JSON_OPTIONS, dumps

from core.batching import RequestBatcher
from core.errors import WriteConflict
from storage.database import RETRY_SECONDS, Collection, Database, Document, Session

HEAD, BASE = "head", "base"
CHAINED: Document = {"seq": {"$gt": 0}}
"""Rows with a number; earlier versions wrote rows without number and hash."""
UNCHAINED: Document = {"seq": {"$not": {"$gt": 0}}}
MAX_BATCH = 50
"""Rows of one transaction; one may have 64 KB, the limit of a request's body."""
log = structlog.get_logger("qlive.storage")


class AuditChain:
    """Appends rows to `audit`, numbered without gaps, each with a hash over the one before it.

    `head` has number and hash of the newest row, and changes in the transaction that inserts it:
    processes that append at the same time conflict on it, which orders their rows. `base` has those
    of the last row that the retention deleted.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: Collection = database.collection("audit")
        self._ends: Collection = database.collection("audit_chain")
        self._batcher = RequestBatcher[Document, Document](
            lambda _name, rows: self._append_batch(rows), MAX_BATCH, RETRY_SECONDS
        )

    async def make_indexes(self) -> None:
        """The index is not unique: with a manipulated head, operators could do nothing at all."""
        await self._rows.create_index("seq", partialFilterExpression=CHAINED)
        if await self._ends.find_one({"_id": HEAD}) is None:
            await self._restore_head()

    async def append(self, row: Document) -> Document:
        """Insert the row, whose `_id` is set, and return it with `seq`, `previous` and `hash`.

        Rows that arrive while others are written share the next transaction. TryAgain if that has
        not succeeded after RETRY_SECONDS in the queue and as many of retries.
        """
        return await self._batcher.submit(0, row)

    async def delete_oldest(self, before: ObjectId, limit: int) -> int:
        """Delete at most `limit` rows from the start of the chain, up to the first newer one.

        Returns their number.
        """
        fields = {"seq": 1, "hash": 1}
        found = await self._rows.find(CHAINED, fields).sort("seq", 1).limit(limit).to_list()
        old = [*takewhile(lambda row: row["_id"] < before, found)]
        if not old:
            return 0
        last = {"seq": old[-1]["seq"], "hash": old[-1]["hash"]}

        async def delete(session: Session) -> int:
            base = await self._ends.find_one({"_id": BASE}, session=session)
            if base and base["seq"] >= last["seq"]:  # a sweep of another process was faster
                return 0
            await self._ends.update_one({"_id": BASE}, {"$set": last}, upsert=True, session=session)
            where = {"seq": {"$gt": 0, "$lte": last["seq"]}}
            return (await self._rows.delete_many(where, session=session)).deleted_count

        return await self._database.transaction_with_retry(delete)

    async def _append_batch(self, rows: Sequence[Document]) -> Sequence[Document]:
        async def write(session: Session) -> Sequence[Document]:
            head = await self._ends.find_one({"_id": HEAD}, session=session)
            if head is None:
                await self._restore_head()
                raise WriteConflict
            chained = [*_chained(rows, head["seq"], head["hash"])]
            end = {"seq": chained[-1]["seq"], "hash": chained[-1]["hash"]}
            await self._ends.update_one({"_id": HEAD}, {"$set": end}, session=session)
            await self._rows.insert_many(chained, session=session)
            return chained

        return await self._database.transaction_with_retry(write)

    async def _restore_head(self) -> None:
        """Create the head: of an empty chain, or after a loss that `check-audit` reports."""
        newest = await self._rows.find_one(CHAINED, sort=[("seq", -1)])
        end: Document = {"seq": 0, "hash": ""}
        if newest:
            end = {"seq": newest["seq"], "hash": newest["hash"], "restored": newest["seq"]}
            log.error("audit_head_restored", seq=newest["seq"])
        await self._ends.update_one({"_id": HEAD}, {"$setOnInsert": end}, upsert=True)


def digest(row: Document) -> str:
    """SHA-256 of all fields but `hash` as canonical Extended JSON: UTF-8, sorted, without spaces.

    `mongoexport --jsonFormat=canonical` writes the same values.
    """
    content = {name: value for name, value in row.items() if name != "hash"}
    text = dumps(
        content,
        json_options=CANONICAL_JSON_OPTIONS,
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _chained(rows: Iterable[Document], seq: int, previous: str) -> Iterator[Document]:
    """The rows with the numbers and hashes that continue the chain."""
    for row in rows:
        seq += 1
        numbered = {**row, "seq": seq, "previous": previous}
        previous = digest(numbered)
        yield {**numbered, "hash": previous}
