"""rankings: gold given and income received per user, by live session and by day."""

import re
from collections.abc import Iterable
from contextlib import aclosing
from datetime import date, datetime

from core.clock import day_interval
from ledger.gifts import RankingChange, day_scope, live_scope
from ledger.journal import HOUSE
from storage.database import Collection, Database, Document, Session
from storage.documents import day_in_china, starts_with, stream
from storage.write_batch import WriteBatch

MAX_DIFFERENCES = 100
"""Differences reported of one ranking."""
SCOPE_PATTERN = re.compile(r"live:[0-9]+:.+|day:[0-9]{4}-[0-9]{2}-[0-9]{2}")
REVERSAL_PREFIX = "reversal:gift:"
OWNER_OF_LINE = {"$arrayElemAt": [{"$split": ["$lines.account", ":"]}, 1]}
"""The user, or the withdrawal, to whose account an unwound posting belongs."""


class RankingStore:
    """Materialized rankings, updated in the transaction that writes or reverses a gift.

    ledger/gifts.py computes the changes. The rows can be compared with the ledger's gifts, except
    reversed ones, and repaired: MongoDB sums them and sends only what differs, since a day may have
    any number of users.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ledger: Collection = database.collection("ledger")
        self._rankings: Collection = database.collection("rankings")

    async def make_indexes(self) -> None:
        await self._rankings.create_index([("scope", 1), ("gold", -1), ("user_id", 1)])
        await self._rankings.create_index([("scope", 1), ("income", -1), ("user_id", 1)])

    async def add(self, changes: Iterable[RankingChange], session: Session) -> None:
        batch = WriteBatch()
        self.add_writes(changes, batch)
        await batch.execute(self._database, session)

    def add_writes(self, changes: Iterable[RankingChange], batch: WriteBatch) -> None:
        for change in changes:
            addition = {
                "$inc": {"gold": change.gold, "income": change.income},
                "$setOnInsert": {"scope": change.scope, "user_id": change.user_id},
            }
            row_id = f"{change.scope}:{change.user_id}"
            batch.upsert("rankings", {"_id": row_id}, addition)

    async def top(self, scope: str, unit: str, limit: int) -> list[tuple[str, int]]:
        """Return the highest (user_id, amount) by "gold" given or "income" received."""
        where: Document = {"scope": scope, unit: {"$gt": 0}}
        rows = self._rankings.find(where, {"user_id": 1, unit: 1}).sort(
            [(unit, -1), ("user_id", 1)]
        )
        return [(row["user_id"], row[unit]) for row in await rows.to_list(limit)]

    # ---- comparison with the ledger

    async def scopes(self, since: datetime | None, session: Session) -> set[str]:
        """Return scopes of gifts given or reversed since then; None: of all gifts and rows."""
        found: set[str] = set()
        gifts: Document = {"kind": "gift"}
        if since is None:
            async for row in stream(self._rankings, [{"$group": {"_id": "$scope"}}], session):
                found.add(str(row["_id"]))
        else:
            gifts["at"] = {"$gte": since}
            reversed_gifts = {"_id": {"$in": await self._reversed_keys(since, session)}}
            await self._add_scopes_of(reversed_gifts, session, found)
        await self._add_scopes_of(gifts, session, found)
        return found

    async def _add_scopes_of(self, gifts: Document, session: Session, found: set[str]) -> None:
        key = {"day": day_in_china("at"), "live_id": "$live_id", "epoch": "$epoch"}
        async for row in stream(
            self._ledger, [{"$match": gifts}, {"$group": {"_id": key}}], session
        ):
            found.add(day_scope(date.fromisoformat(row["_id"]["day"])))
            if "epoch" in row["_id"]:
                found.add(live_scope(row["_id"]["live_id"], row["_id"]["epoch"]))

    async def _reversed_keys(self, since: datetime | None, session: Session) -> list[str]:
        """Return keys of reversed gifts. Reversals are few, found by the prefix of their `_id`."""
        where: Document = {"_id": starts_with(REVERSAL_PREFIX)}
        if since:
            where["at"] = {"$gte": since}
        steps = [{"$match": where}, {"$project": {"reverses": "$content.reverses"}}]
        return [row["reverses"] async for row in stream(self._ledger, steps, session)]

    async def differences(self, scope: str, session: Session) -> list[tuple[str, str]]:
        """Return (user_id, description) of users whose stored amounts differ from the ledger."""
        if not SCOPE_PATTERN.fullmatch(scope):
            return [("", "is no ranking")]
        steps = await self._difference_steps(scope, session)
        steps += [{"$sort": {"_id": 1}}, {"$limit": MAX_DIFFERENCES}]
        return [
            (
                row["_id"],
                f"stored {(row['stored_gold'], row['stored_income'])}, "
                f"journal {(row['gold'], row['income'])}",
            )
            async for row in stream(self._ledger, steps, session)
        ]

    async def rebuild_all(self) -> int:
        """Repair every ranking; return the number of wrong rows."""
        with self._database.slow_operation_timeout():
            async with self._database.client.start_session(snapshot=True) as session:
                scopes = await self.scopes(None, session)
        return sum([await self.rebuild(name) for name in scopes if SCOPE_PATTERN.fullmatch(name)])

    async def rebuild(self, scope: str) -> int:
        """Repair a ranking while gifts continue; return the number of wrong rows.

        A gift changes ledger and ranking by the same amount, so their difference is constant until
        it is added to the ranking. Two repairs at the same time may add it twice: then repeat one.
        """
        wrong = 0
        with self._database.slow_operation_timeout():
            async with self._database.client.start_session(snapshot=True) as session:
                steps = await self._difference_steps(scope, session)
                async with aclosing(stream(self._ledger, steps, session)) as rows:
                    async for row in rows:
                        gold = row["gold"] - row["stored_gold"]
                        income = row["income"] - row["stored_income"]
                        batch = WriteBatch()
                        self.add_writes([RankingChange(scope, row["_id"], gold, income)], batch)
                        await batch.execute_alone(self._database)
                        wrong += 1
        return wrong

    async def _difference_steps(self, scope: str, session: Session) -> list[Document]:
        """Return steps on `ledger` that find users, with both amounts, if these differ."""
        reversed_keys = await self._reversed_keys(None, session)
        ranked = {"kind": "gift", "private": {"$ne": True}}
        gifts = {**ranked, **_entries_of(scope), "_id": {"$nin": reversed_keys}}
        given = {"$max": [{"$multiply": ["$lines.amount", -1]}, 0]}
        received = {"$max": ["$lines.amount", 0]}
        stored = {"user_id": 1, "stored_gold": "$gold", "stored_income": "$income"}
        amounts = ("gold", "income", "stored_gold", "stored_income")
        differs = [{"$ne": [f"${unit}", f"$stored_{unit}"]} for unit in ("gold", "income")]
        return [
            {"$match": gifts},
            {"$unwind": "$lines"},
            {"$match": {"lines.account": {"$ne": HOUSE}}},
            {"$project": {"user_id": OWNER_OF_LINE, "gold": given, "income": received}},
            {
                "$unionWith": {
                    "coll": "rankings",
                    "pipeline": [{"$match": {"scope": scope}}, {"$project": stored}],
                }
            },
            {"$group": {"_id": "$user_id", **{name: {"$sum": f"${name}"} for name in amounts}}},
            {"$match": {"$expr": {"$or": differs}}},
        ]


def _entries_of(scope: str) -> Document:
    """Return a filter for the ledger entries of a ranking."""
    kind, _, name = scope.partition(":")
    if kind == "day":
        start, end = day_interval(date.fromisoformat(name))
        return {"at": {"$gte": start, "$lt": end}}
    live_id, _, epoch = name.partition(":")
    return {"live_id": int(live_id), "epoch": epoch, "seq": {"$gt": 0}}
