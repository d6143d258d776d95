"""Compares stored rankings with the gifts in the ledger, and repairs them."""

import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import date, datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from ledger.ranking import RankingChange, day_interval, day_scope, live_scope
from storage.database import Collection, Database, Document, Session
from storage.ledger import ranking_changes_in
from storage.rankings import row_id

Amounts = dict[str, tuple[int, int]]
"""(gold, income) by user_id, without users who have neither."""
REVERSAL_PREFIX = "reversal:gift:"
SCOPE_PATTERN = re.compile(r"live:[0-9]+:.+|day:[0-9]{4}-[0-9]{2}-[0-9]{2}")


class RankingReconciler:
    """Sums the ledger's gifts, except reversed ones, of a live session or a day."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ledger: Collection = database.collection("ledger")
        self._ranks: Collection = database.collection("ranks")

    async def scopes(self, since: datetime | None, session: Session) -> list[str]:
        """Scopes of gifts given or reversed since then; if None, of all gifts and stored rows."""
        gifts: Document = {"kind": "gift"}
        if since is None:
            found = {name for name in await self._stored_scopes(session) if _is_scope(name)}
        else:
            gifts["at"] = {"$gte": since}
            found = await self._scopes_of(
                {"_id": {"$in": await self._reversed_keys(since, session)}}, session
            )
        return sorted(found | await self._scopes_of(gifts, session))

    async def invalid_scopes(self, session: Session) -> list[str]:
        """Stored scopes that are not the name of a ranking."""
        return [str(name) for name in await self._stored_scopes(session) if not _is_scope(name)]

    async def _stored_scopes(self, session: Session) -> list[Any]:
        rows = await self._ranks.aggregate([{"$group": {"_id": "$scope"}}], session=session)
        return [row["_id"] async for row in rows]

    async def _scopes_of(self, gifts: Document, session: Session) -> set[str]:
        in_china = {"$dateToString": {"date": "$at", "format": "%Y-%m-%d", "timezone": "+08"}}
        key = {"day": in_china, "live_id": "$live_id", "epoch": "$epoch"}
        rows = await self._ledger.aggregate(
            [{"$match": gifts}, {"$group": {"_id": key}}], session=session
        )
        found: set[str] = set()
        async for row in rows:
            found.add(day_scope(date.fromisoformat(row["_id"]["day"])))
            if "epoch" in row["_id"]:
                found.add(live_scope(row["_id"]["live_id"], row["_id"]["epoch"]))
        return found

    async def _reversed_keys(self, since: datetime | None, session: Session) -> list[str]:
        """Keys of reversed gifts. Reversals are few, and found by the prefix of their `_id`."""
        where: Document = {"_id": {"$gte": REVERSAL_PREFIX, "$lt": REVERSAL_PREFIX + "\uffff"}}
        if since:
            where["at"] = {"$gte": since}
        rows = self._ledger.find(where, {"content": 1}, session=session)
        return [row["content"]["reverses"] async for row in rows]

    async def differences(self, scope: str, session: Session) -> list[tuple[str, str]]:
        """(user_id, description) of each user whose stored amounts differ from the ledger."""
        booked, stored = await self._booked(scope, session), await self._stored(scope, session)
        return [
            (
                user_id,
                f"stored {stored.get(user_id, (0, 0))}, journal {booked.get(user_id, (0, 0))}",
            )
            for user_id in sorted(booked.keys() | stored.keys())
            if booked.get(user_id) != stored.get(user_id)
        ]

    async def rebuild_all(self) -> int:
        """Repair every ranking; the number of wrong rows."""
        with self._database.slow_operation_timeout():
            async with self._database.client.start_session(snapshot=True) as session:
                scopes = await self.scopes(None, session)
            return sum([await self.rebuild(scope) for scope in scopes])

    async def rebuild(self, scope: str) -> int:
        """Repair a ranking while gifts continue; the number of wrong rows.

        A gift changes ledger and ranking by the same amount, so their difference is constant until
        it is added to the ranking. `mends` counts the repairs of a row and guards the update, so
        that concurrent repairs add the difference once.
        """
        async with self._database.client.start_session(snapshot=True) as session:
            booked, stored = await self._booked(scope, session), await self._stored(scope, session)
            mends = await self._mends(scope, session)
        wrong = [
            user_id
            for user_id in booked.keys() | stored.keys()
            if booked.get(user_id) != stored.get(user_id)
        ]
        for user_id in wrong:
            target, actual = booked.get(user_id, (0, 0)), stored.get(user_id, (0, 0))
            change = RankingChange(scope, user_id, target[0] - actual[0], target[1] - actual[1])
            await self._mend(change, mends.get(user_id, 0))
        return len(wrong)

    async def _mend(self, change: RankingChange, mends: int) -> None:
        """Add the difference, unless another repair has since the snapshot."""
        guard = {"mends": mends} if mends else {"mends": {"$exists": False}}
        amounts = {"gold": change.gold, "income": change.income, "mends": 1}
        fields = {"scope": change.scope, "user_id": change.user_id}
        where, update = {"_id": row_id(change), **guard}, {"$inc": amounts, "$set": fields}
        for _ in range(2):  # a concurrent gift may insert the row between match and upsert
            with suppress(DuplicateKeyError):  # the row exists: just inserted, or repaired already
                await self._ranks.update_one(where, update, upsert=True)
                return

    async def _mends(self, scope: str, session: Session) -> dict[str, int]:
        where = {"scope": scope, "mends": {"$gt": 0}}
        rows = self._ranks.find(where, {"user_id": 1, "mends": 1}, session=session)
        return {row["user_id"]: row["mends"] async for row in rows}

    async def _stored(self, scope: str, session: Session) -> Amounts:
        projection = {"user_id": 1, "gold": 1, "income": 1}
        rows = self._ranks.find({"scope": scope}, projection, session=session)
        return _amounts(
            [RankingChange(scope, r["user_id"], r["gold"], r["income"]) async for r in rows]
        )

    async def _booked(self, scope: str, session: Session) -> Amounts:
        where = {"kind": "gift", **_entries_of(scope)}
        positive, negative = {"$max": ["$lines.amount", 0]}, {"$min": ["$lines.amount", 0]}
        steps: list[Document] = [
            {"$match": where},
            {"$unwind": "$lines"},
            {"$match": {"lines.account": {"$ne": "house"}}},
            {
                "$group": {
                    "_id": "$lines.account",
                    "gave": {"$sum": negative},
                    "took": {"$sum": positive},
                }
            },
        ]
        rows = await self._ledger.aggregate(steps, session=session, allowDiskUse=True)
        changes = [
            RankingChange(scope, row["_id"].partition(":")[2], -row["gave"], row["took"])
            async for row in rows
        ]
        return _amounts([*changes, *await self._reversed(scope, where, session)])

    async def _reversed(self, scope: str, where: Document, session: Session) -> list[RankingChange]:
        keys = await self._reversed_keys(None, session)
        gifts = self._ledger.find({"_id": {"$in": keys}, **where}, session=session)
        changes = [it.negated() async for row in gifts for it in ranking_changes_in(row)]
        return [change for change in changes if change.scope == scope]


def _is_scope(name: Any) -> bool:
    return isinstance(name, str) and bool(SCOPE_PATTERN.fullmatch(name))


def _entries_of(scope: str) -> Document:
    """Filter for the ledger entries of a ranking."""
    kind, _, name = scope.partition(":")
    if kind == "day":
        start, end = day_interval(date.fromisoformat(name))
        return {"at": {"$gte": start, "$lt": end}}
    live_id, _, epoch = name.partition(":")
    return {"live_id": int(live_id), "epoch": epoch, "seq": {"$gt": 0}}


def _amounts(changes: Iterable[RankingChange]) -> Amounts:
    gold: Counter[str] = Counter()
    income: Counter[str] = Counter()
    for change in changes:
        gold[change.user_id] += change.gold
        income[change.user_id] += change.income
    return {
        user_id: (gold[user_id], income[user_id])
        for user_id in gold
        if gold[user_id] or income[user_id]
    }
