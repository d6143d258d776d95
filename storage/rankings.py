"""The rankings as the book has them, beside those that are kept; and kept ones made anew."""

import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import date, datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from money.rank import Mark, day_scope, live_scope, span_of
from storage.database import Collection, Database, Document, Session
from storage.ledger import marks_in
from storage.ranks import name_of

Amounts = dict[str, tuple[int, int]]
"""(gold, income) by user_id; nobody who has neither."""
REVERSED = "reversal:gift:"
SCOPE = re.compile(r"live:[0-9]+:.+|day:[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Rankings:
    """Folds the gifts of one live or one day, which are those of the book but for the reversed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ledger: Collection = database.collection("ledger")
        self._ranks: Collection = database.collection("ranks")

    async def scopes(self, since: datetime | None, session: Session) -> list[str]:
        """Those in which something was given or taken back since then; without it, all, and all
        that are kept."""
        gifts: Document = {"kind": "gift"}
        if since is None:
            found = {name for name in await self._kept_scopes(session) if _is_scope(name)}
        else:
            gifts["at"] = {"$gte": since}
            found = await self._scopes_of(
                {"_id": {"$in": await self._backs(since, session)}}, session
            )
        return sorted(found | await self._scopes_of(gifts, session))

    async def strays(self, session: Session) -> list[str]:
        """What is kept and is a ranking of nothing."""
        return [str(name) for name in await self._kept_scopes(session) if not _is_scope(name)]

    async def _kept_scopes(self, session: Session) -> list[Any]:
        kept = await self._ranks.aggregate([{"$group": {"_id": "$scope"}}], session=session)
        return [row["_id"] async for row in kept]

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

    async def _backs(self, since: datetime | None, session: Session) -> list[str]:
        """The keys of gifts that were taken back; reversals are few, and found by their names."""
        where: Document = {"_id": {"$gte": REVERSED, "$lt": REVERSED + "\uffff"}}
        if since:
            where["at"] = {"$gte": since}
        rows = self._ledger.find(where, {"content": 1}, session=session)
        return [row["content"]["reverses"] async for row in rows]

    async def differences(self, scope: str, session: Session) -> list[tuple[str, str]]:
        """(user_id, words) of whoever is kept with something else than the book has."""
        booked, kept = await self._booked(scope, session), await self._kept(scope, session)
        return [
            (who, f"kept {kept.get(who, (0, 0))}, the book says {booked.get(who, (0, 0))}")
            for who in sorted(booked.keys() | kept.keys())
            if booked.get(who) != kept.get(who)
        ]

    async def rebuild_all(self) -> int:
        """Every ranking; how many places in them were wrong."""
        with self._database.patiently():
            async with self._database.client.start_session(snapshot=True) as session:
                scopes = await self.scopes(None, session)
            return sum([await self.rebuild(scope) for scope in scopes])

    async def rebuild(self, scope: str) -> int:
        """What is kept becomes what the book says, whatever is given meanwhile; how many of it
        were wrong.

        A gift moves both by the same amount, so what lies between them stays the same until it is
        added; `mends` counts how often that was done, so that it is not added by two.
        """
        async with self._database.client.start_session(snapshot=True) as session:
            booked, kept = await self._booked(scope, session), await self._kept(scope, session)
            mends = await self._mends(scope, session)
        wrong = [who for who in booked.keys() | kept.keys() if booked.get(who) != kept.get(who)]
        for who in wrong:
            should, has = booked.get(who, (0, 0)), kept.get(who, (0, 0))
            lacks = Mark(scope, who, should[0] - has[0], should[1] - has[1])
            await self._mend(lacks, mends.get(who, 0))
        return len(wrong)

    async def _mend(self, lacks: Mark, mends: int) -> None:
        """Unless somebody else has, since it was looked at."""
        seen = {"mends": mends} if mends else {"mends": {"$exists": False}}
        amounts = {"gold": lacks.gold, "income": lacks.income, "mends": 1}
        new = {"scope": lacks.scope, "user_id": lacks.user_id}
        place, change = {"_id": name_of(lacks), **seen}, {"$inc": amounts, "$set": new}
        for _ in range(2):  # a gift may make the place in just that moment
            with suppress(DuplicateKeyError):  # it is there, and mended
                await self._ranks.update_one(place, change, upsert=True)
                return

    async def _mends(self, scope: str, session: Session) -> dict[str, int]:
        where = {"scope": scope, "mends": {"$gt": 0}}
        rows = self._ranks.find(where, {"user_id": 1, "mends": 1}, session=session)
        return {row["user_id"]: row["mends"] async for row in rows}

    async def _kept(self, scope: str, session: Session) -> Amounts:
        shown = {"user_id": 1, "gold": 1, "income": 1}
        rows = self._ranks.find({"scope": scope}, shown, session=session)
        return _amounts([Mark(scope, r["user_id"], r["gold"], r["income"]) async for r in rows])

    async def _booked(self, scope: str, session: Session) -> Amounts:
        where = {"kind": "gift", **_where(scope)}
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
        marks = [
            Mark(scope, row["_id"].partition(":")[2], -row["gave"], row["took"])
            async for row in rows
        ]
        return _amounts([*marks, *await self._reversed(scope, where, session)])

    async def _reversed(self, scope: str, where: Document, session: Session) -> list[Mark]:
        keys = await self._backs(None, session)
        gifts = self._ledger.find({"_id": {"$in": keys}, **where}, session=session)
        marks = [mark.negated() async for row in gifts for mark in marks_in(row)]
        return [mark for mark in marks if mark.scope == scope]


def _is_scope(name: Any) -> bool:
    return isinstance(name, str) and bool(SCOPE.fullmatch(name))


def _where(scope: str) -> Document:
    """Which entries belong to a ranking."""
    kind, _, name = scope.partition(":")
    if kind == "day":
        start, end = span_of(date.fromisoformat(name))
        return {"at": {"$gte": start, "$lt": end}}
    live_id, _, epoch = name.partition(":")
    return {"live_id": int(live_id), "epoch": epoch, "seq": {"$gt": 0}}


def _amounts(marks: Iterable[Mark]) -> Amounts:
    gold: Counter[str] = Counter()
    income: Counter[str] = Counter()
    for mark in marks:
        gold[mark.user_id] += mark.gold
        income[mark.user_id] += mark.income
    return {who: (gold[who], income[who]) for who in gold if gold[who] or income[who]}
