"""ledger: one immutable document per journal entry; `_id` is its idempotency key."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple, TypeVar

from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from core.batching import SingleFlight
from core.errors import WriteConflict
from core.retry import retry_on_conflict
from ledger.errors import DebtExceeded, EntryExists, InsufficientGold
from ledger.gifts import GiftBatch, GiftTransfer, RankingChange, ranking_changes
from ledger.giving import OWN_CAPS, Giver, OwnCap
from ledger.journal import (
    DEBTS,
    Balance,
    EventReference,
    JournalEntry,
    JsonObject,
    Posting,
    StoredEntry,
)
from ledger.recharge import recharge_key
from ledger.refund_advice import Credit
from people.profiles import PublicProfile
from rooms.members import Person
from storage.database import Collection, Database, Document, Session
from storage.documents import change_one, document_of, known_fields, sums_of
from storage.errors import UserNotFound
from storage.gold.rankings import RankingStore
from storage.user_channels import Changed
from storage.write_batch import WriteBatch

T = TypeVar("T")
ANSWER = {"content": 1, "answer": 1}
BALANCE = {"gold": 1, "income": 1}
RARE = ("rate", "ios", "private")
"""Fields of an entry that are stored only if they are set."""
USER_FIELDS = dict.fromkeys(
    ("gold", "income", "giver", "ios_paid_at", "nickname", "face_url", "gender"), 1
)


class BatchContext(NamedTuple):
    """Data read to decide on a batch; `faces` has the users who exist."""

    batch: GiftBatch
    faces: dict[str, PublicProfile]

    def has(self, *user_ids: str) -> bool:
        return self.faces.keys() >= set(user_ids)


class LedgerStore:
    """Journal entries, and the balances in `users`, which change only with an entry."""

    def __init__(
        self, database: Database, rankings: RankingStore, ios_days: float, changed: Changed
    ) -> None:
        """Create the store; a payer's gifts are marked for `ios_days` after a payment on iOS."""
        self._changed = changed
        self._ios_maturity = timedelta(days=ios_days)
        self._database = database
        self._rankings = rankings
        self._ledger: Collection = database.collection("ledger")
        self._users: Collection = database.collection("users")
        linearizable = self._users.with_options(read_concern=ReadConcern("linearizable"))
        self._confirmation = SingleFlight(lambda: linearizable.find_one({"_id": ""}, {"_id": 1}))

    async def make_indexes(self) -> None:
        newest = [("at", -1), ("_id", -1)]
        await self._ledger.create_index(newest)
        await self._ledger.create_index([("lines.account", 1), ("lines.unit", 1), *newest])
        await self._ledger.create_index(
            [("lines.account", 1), ("at", -1)], partialFilterExpression={"ios": True}
        )
        await self._ledger.create_index([("by", 1), ("kind", 1), ("at", -1)])
        await self._ledger.create_index(
            [("live_id", 1), ("epoch", 1), ("seq", 1)],
            unique=True,
            partialFilterExpression={"seq": {"$gt": 0}},
        )

    async def run_transaction(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Run `work` in a transaction, again on write conflicts. Raises TryAgain if they go on."""
        return await self._database.transaction_with_retry(work)

    async def find(self, key: str, session: Session | None = None) -> StoredEntry | None:
        row = await self._ledger.find_one({"_id": key}, ANSWER, session=session)
        return StoredEntry(row["content"], row["answer"]) if row else None

    async def run_once(self, key: str, work: Callable[[Session], Awaitable[T]]) -> T | StoredEntry:
        """Run `work`, which writes the entry `key`, in a transaction, or return the stored entry.

        That is returned once it is committed. Raises TryAgain if it is not committed in time.
        """

        async def write(session: Session) -> T:
            # First, since a repetition could be refused for what the entry itself has changed.
            if await self.find(key, session):
                raise EntryExists(key)
            return await work(session)

        async def committed() -> StoredEntry:
            if found := await self.find(key):
                return found
            raise WriteConflict

        try:
            return await self.run_transaction(write)
        except EntryExists:
            return await retry_on_conflict(committed)

    async def entry(self, key: str) -> JournalEntry | None:
        row = await self._ledger.find_one({"_id": key})
        return _entry_from(row) if row else None

    async def credit_of(self, order_number: str) -> Credit | None:
        """Return the recharge of an order, None if it was never credited."""
        row = await self._ledger.find_one({"_id": recharge_key(order_number)})
        if row is None:
            return None
        gold = row["content"]["gold"]
        return Credit(order_number, gold, row["at"], row["answer"]["gold"] - gold)

    async def moved_by(self, by: str, since: datetime, session: Session) -> int:
        """Return the sum of the largest amounts of the grants and reversals by an operator."""
        where = {"by": by, "kind": {"$in": ["grant", "reversal"]}, "at": {"$gte": since}}
        amounts = {"$map": {"input": "$lines.amount", "in": {"$abs": "$$this"}}}
        return (await sums_of(self._ledger, where, {"moved": {"$max": amounts}}, session))["moved"]

    async def balance(self, session: Session, user_id: str) -> Balance:
        row = await self._users.find_one({"_id": user_id}, BALANCE, session=session)
        if row is None:
            raise UserNotFound
        return Balance(row["gold"], row["income"])

    async def debt(self, session: Session, user_id: str) -> int:
        row = await self._users.find_one({"_id": user_id}, {"owed": 1}, session=session)
        return int(row["owed"]) if row else 0

    async def move(self, session: Session, lines: tuple[Posting, ...]) -> dict[str, Balance]:
        """Apply the lines to balances and debts, each guarded against falling below zero.

        Returns the new balances by user_id. Raises InsufficientGold, UserNotFound or DebtExceeded.
        """
        changes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for line in lines:
            kind, _, user_id = line.account.partition(":")
            if kind == "user":
                changes[user_id][line.unit] += line.amount
            elif kind == "owed":
                changes[user_id][DEBTS[line.unit]] -= line.amount
        return {
            user_id: await self._add(session, user_id, amounts)
            for user_id, amounts in sorted(changes.items())
        }

    async def _add(self, session: Session, user_id: str, amounts: Mapping[str, int]) -> Balance:
        guard = {name: {"$gte": -amount} for name, amount in amounts.items() if amount < 0}
        where, change = {"_id": user_id, **guard}, {"$inc": dict(amounts)}
        row = await change_one(self._users, where, change, session, fields=BALANCE)
        if row:
            self._database.after_commit(session, partial(self._changed, user_id, "balance"))
            return Balance(row["gold"], row["income"])
        if not guard:
            raise UserNotFound
        before = await self._users.find_one({"_id": user_id}, [*guard], session=session) or {}
        is_over = any(before.get(debt, 0) + amounts.get(debt, 0) < 0 for debt in DEBTS.values())
        raise DebtExceeded if is_over else InsufficientGold

    async def write(self, session: Session, entry: JournalEntry) -> None:
        """Insert an entry without a room event. Raises EntryExists if its key is taken."""
        try:
            row = entry_document(entry, None, datetime.now(UTC))
            await self._ledger.insert_one(row, session=session)
        except DuplicateKeyError:
            raise EntryExists(entry.key) from None

    async def post(
        self, session: Session, entry: JournalEntry, user_id: str | None = None
    ) -> JsonObject:
        """Apply an entry and write it; return its answer. Raises as `move` and `write`.

        With `user_id`, the answer is this user's new balance, {} if the entry does not change it.
        """
        balances = await self.move(session, entry.lines)
        if user_id is not None:
            answer = balances[user_id]._asdict() if user_id in balances else {}
            entry = replace(entry, answer=answer)
        await self.write(session, entry)
        return entry.answer

    async def note_ios_payment(self, user_id: str, session: Session | None = None) -> None:
        """Note that a user has paid on iOS; recharges on other systems do not change it."""
        where, change = {"_id": user_id}, {"$max": {"ios_paid_at": datetime.now(UTC)}}
        await self._users.update_one(where, change, session=session)

    async def subtract_from_rankings(self, session: Session, key: str) -> None:
        """Subtract a gift from the rankings; does nothing for an entry of another kind."""
        row = await self._ledger.find_one({"_id": key}, session=session)
        assert row is not None
        event = EventReference(row["live_id"], row["epoch"], row["seq"]) if "seq" in row else None
        changes = ranking_changes(_entry_from(row), row["at"], event)
        await self._rankings.add(map(RankingChange.negated, changes), session)

    # ---- batches of gifts

    async def load_context(self, transfers: Sequence[GiftTransfer]) -> BatchContext:
        """Read the context of a batch by one command.

        Balances are read first, so that an entry that has changed one of them is found, too. The
        batch is decided on it before its transaction, and is written only if every balance is
        unchanged and every key is free. If not, the caller receives WriteConflict, reads and
        decides again.
        """
        user_ids = {user_id for gift in transfers for user_id in (gift.sender, gift.receiver)}
        steps: list[Document] = [
            {"$match": {"_id": {"$in": [*user_ids]}, "deleted_at": None}},
            {"$project": USER_FIELDS},
        ]
        if keys := [gift.key for gift in transfers if gift.request_id]:
            entries = [{"$match": {"_id": {"$in": keys}}}, {"$project": ANSWER}]
            steps.append({"$unionWith": {"coll": "ledger", "pipeline": entries}})
        found = await (await self._users.aggregate(steps)).to_list()
        rows = [row for row in found if "answer" not in row]
        written = {
            row["_id"]: StoredEntry(row["content"], row["answer"])
            for row in found
            if "answer" in row
        }
        balances = {row["_id"]: Balance(row["gold"], row["income"]) for row in rows}
        faces = {row["_id"]: face_of(row) for row in rows}
        givers = {row["_id"]: _giver_from(row["giver"]) for row in rows if row.get("giver")}
        at = datetime.now(UTC)
        since = at - self._ios_maturity
        ios_payers = {row["_id"] for row in rows if (row.get("ios_paid_at") or since) > since}
        return BatchContext(GiftBatch(at, balances, written, givers, ios_payers), faces)

    async def confirm_primary(self) -> None:
        """Wait until reads show everything that was acknowledged before the call.

        A new primary may answer from an older state, until it has learned which of its data a
        majority has. A read with read concern linearizable has it write to a majority; concurrent
        callers share one. Raises TryAgain or the driver's error if no majority answers; handlers
        map the latter to storage_away.
        """
        await self._confirmation.get()

    def add_writes(self, context: BatchContext, writes: WriteBatch) -> None:
        """Add everything that the batch of gifts has to write, guarded by what it has read."""
        batch = context.batch
        rows = [entry_document(entry, event, batch.at) for entry, event in batch.entries]
        writes.insert("ledger", *rows)
        for change in batch.balance_changes:
            before, after = change.before, change.after
            where: Document = {"_id": change.user_id, **before._asdict()}
            amounts = {"gold": after.gold - before.gold, "income": after.income - before.income}
            update: Document = {"$inc": amounts}
            if change.giver:
                where |= _unchanged(change.giver)
                update["$set"] = {"giver": _giver_document(change.giver)}
            writes.update("users", where, update)
            writes.after_commit.append(partial(self._changed, change.user_id, "balance"))
        self._rankings.add_writes(batch.ranking_changes, writes)

    async def write_gifts(self, session: Session, context: BatchContext) -> None:
        """Write the whole batch. Raises WriteConflict if any part of it conflicts."""
        writes = WriteBatch()
        self.add_writes(context, writes)
        await writes.execute(self._database, session)

    # ---- rules of giving

    async def giver(self, user_id: str) -> Giver:
        row = await self._users.find_one({"_id": user_id}, {"giver": 1})
        return _giver_from((row or {}).get("giver") or {})

    async def change_giver(self, user_id: str, change: Callable[[Giver], Giver]) -> Giver:
        """Change what the rules of giving store of a user; repeated after a concurrent gift."""

        async def write() -> Giver:
            before = await self.giver(user_id)
            after = change(before)
            where = {"_id": user_id, **_unchanged(before)}
            update = {"$set": {"giver": _giver_document(after)}}
            if not (await self._users.update_one(where, update)).matched_count:
                raise WriteConflict
            return after

        return await retry_on_conflict(write)


def entry_document(entry: JournalEntry, event: EventReference | None, at: datetime) -> Document:
    row = document_of(entry, "key") | {"lines": [line._asdict() for line in entry.lines], "at": at}
    set_fields = {name: row[name] for name in row if row[name] or name not in RARE}
    return set_fields | event._asdict() if event else set_fields


def _entry_from(row: Document) -> JournalEntry:
    fields = known_fields(JournalEntry, row) | {"key": row["_id"]}
    return JournalEntry(**fields | {"lines": tuple(Posting(**line) for line in row["lines"])})


def face_of(row: Document) -> PublicProfile:
    return Person(row["_id"], row["nickname"], row["face_url"], row["gender"]).public_profile()


def _unchanged(giver: Giver) -> Document:
    """Return a filter that matches the user while this version is stored."""
    return {"giver.version": giver.version or None}


def _giver_document(giver: Giver) -> Document:
    own = {name: getattr(giver, name)._asdict() for name in OWN_CAPS}
    return giver._asdict() | own | {"version": giver.version + 1}


def _giver_from(row: Document) -> Giver:
    fields = _known(Giver, row)
    for name in fields.keys() & OWN_CAPS:
        fields[name] = OwnCap(**_known(OwnCap, fields[name]))
    return Giver(**fields)


def _known(kind: type[Giver | OwnCap], row: Document) -> Document:
    """Return the known fields that are not null.

    Gifts must not fail for fields of a later release.
    """
    return {name: row[name] for name in kind._fields if row.get(name) is not None}
