"""Verifies the hash chain over the rows of `audit`."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import NamedTuple

from storage.audit_chain import BASE, CHAINED, HEAD, UNCHAINED, digest
from storage.database import Collection, Database, Document, Session
from storage.streaming import stream


class ChainPosition(NamedTuple):
    """Number and hash of a row."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


START = ChainPosition(0, "")
"""Before the first row."""


@dataclass(slots=True)
class AuditCheck:
    """Result of a check, which stops at the first `problem`; "" if there is none."""

    base: ChainPosition = START
    """The last row that the retention deleted."""
    head: ChainPosition = START
    """The newest row that was read, and found intact."""
    first: Document | None = None
    """The oldest row with a hash."""
    unchained: int = 0
    """Rows of earlier versions, without a hash."""
    problem: str = ""


class AuditChecker:
    """Reads all rows on one snapshot, a few hundred at a time, while others are appended."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: Collection = database.collection("audit")
        self._ends: Collection = database.collection("audit_chain")

    async def check(self, noted: ChainPosition | None = None) -> AuditCheck:
        """Check every row; `noted` is the head of an earlier check, which must be in the chain."""
        client = self._database.client
        with self._database.slow_operation_timeout():
            async with client.start_session(snapshot=True) as session:
                check = AuditCheck(base=_position(await self._end(BASE, session)))
                check.problem = (
                    await self._check_rows(check, noted, session)
                    or await self._check_head(check, noted, session)
                    or await self._check_unchained(check, session)
                )
                return check

    async def _check_rows(
        self, check: AuditCheck, noted: ChainPosition | None, session: Session
    ) -> str:
        check.head = check.base
        if noted and noted.seq == check.base.seq and noted != check.base:
            return f"Row {noted.seq}, which was deleted, is not the one that was noted."
        async for row in self._chain(session):
            check.first = check.first or row
            if problem := _row_problem(row, check.head):
                return problem
            check.head = _position(row)
            if noted and noted.seq == row["seq"] and noted != check.head:
                return f"{_named(row)} is not the one that was noted: the chain was rewritten."
        return ""

    async def _check_head(
        self, check: AuditCheck, noted: ChainPosition | None, session: Session
    ) -> str:
        document, last = await self._end(HEAD, session), check.head.seq
        head, restored = _position(document), (document or {}).get("restored", 0)
        if last and document is None:
            return "The end of the chain is not recorded: newer rows may be missing."
        if restored > check.base.seq:
            return f"The record of the chain's end was lost: rows after {restored} may be missing."
        if head.seq > last or (noted and noted.seq > last):
            newest = max(head.seq, noted.seq if noted else 0)
            return f"The newest rows are missing: {last + 1} to {newest}."
        if head != check.head:
            return f"Row {last} is not the recorded end of the chain, row {head.seq}."
        return ""

    async def _check_unchained(self, check: AuditCheck, session: Session) -> str:
        """Rows without a hash are older than all others."""
        check.unchained = await self._rows.count_documents(UNCHAINED, session=session)
        if check.first is None:
            return ""
        newer = {**UNCHAINED, "at": {"$gt": check.first["at"]}}
        if row := await self._rows.find_one(newer, sort=[("at", 1)], session=session):
            return f"{_named(row)} has no hash, but is later than the first that has one."
        return ""

    async def _end(self, name: str, session: Session) -> Document | None:
        return await self._ends.find_one({"_id": name}, session=session)

    def _chain(self, session: Session) -> AsyncIterator[Document]:
        return stream(self._rows, [{"$match": CHAINED}, {"$sort": {"seq": 1}}], session)


def _row_problem(row: Document, before: ChainPosition) -> str:
    """What is wrong with a row that follows the row `before`; "" if nothing is."""
    seq, expected = row["seq"], before.seq + 1
    if seq > expected:
        missing = f"{expected} to {seq - 1}" if seq > expected + 1 else expected
        return f"Missing before row {seq}: {missing}."
    if seq < expected:
        return f"{_named(row)} has the number of another row."
    if digest(row) != row.get("hash"):
        return f"{_named(row)} was changed: its content does not match its hash."
    if row.get("previous") != before.hash:
        return f"{_named(row)} does not continue row {before.seq}: one of the two was replaced."
    return ""


def _position(row: Document | None) -> ChainPosition:
    return ChainPosition(row["seq"], row["hash"]) if row else START


def _named(row: Document) -> str:
    number = f" {row['seq']}" if "seq" in row else ""
    return f"Row{number} ({row['_id']}, {row.get('at')})"
