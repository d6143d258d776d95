"""pairs: one document per two users of whom one likes the other, or who had a date."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from core.clock import now_ms
from core.retry import retry_on_conflict
from people.matches import Pair
from people.user_events import Match
from rooms.dates import DateChange
from rooms.events import NewEvent
from storage.accounts.users import User, user_from
from storage.database import Collection, Database, Document
from storage.documents import document_of, documents_by_id, known_fields
from storage.jobs.outbox import OutboxStore
from storage.moderation import UserBlockStore
from storage.user_channels import UserChannelStore
from storage.write_batch import GroupCommit, WriteBatch


class PairStore:
    """Likes, dates and matches of pairs, each changed under the guard of its version.

    The write that makes a match also adds its events, the message to IM and the count of the live.
    """

    def __init__(
        self,
        database: Database,
        outbox: OutboxStore,
        channels: UserChannelStore,
        user_blocks: UserBlockStore,
    ) -> None:
        self._pairs: Collection = database.collection("pairs")
        self._by_id = documents_by_id(self._pairs, _pair_from)
        self._users = documents_by_id(database.collection("users"), user_from)
        self._outbox, self._channels, self._user_blocks = outbox, channels, user_blocks
        self._commits = GroupCommit(database)

    async def make_indexes(self) -> None:
        await self._pairs.create_index([("users", 1), ("matched_at", -1)])

    async def find(self, user_id: str, other_id: str) -> Pair:
        """Return the pair of two users, a new one if none is stored."""
        new = Pair.of(user_id, other_id)
        return await self._by_id.get(new.id) or new

    async def like(self, by: str, of: str) -> None:
        """Like a user; a repetition checks again whether that makes a match."""
        await self._change(by, of, lambda pair: pair.like(by, now_ms()))

    async def unlike(self, by: str, of: str) -> None:
        await self._change(by, of, lambda pair: pair.unlike(by))

    async def end(self, user_id: str, other_id: str) -> None:
        """End the match of two users, or prevent it if there is none yet."""
        await self._change(user_id, other_id, Pair.end)

    async def end_all(self, user_id: str) -> None:
        """End the matches of a banned or deleted user. Repeatable."""
        # A match that is being made is decided again, and finds the user banned or deleted.
        unmatched = {"users": user_id, "matched_at": 0}
        await self._pairs.update_many(unmatched, {"$inc": {"version": 1}})
        for partner in await self.partners(user_id):
            await self.end(user_id, partner)

    async def add_dates(
        self, batch: WriteBatch, dates: Sequence[DateChange], live_id: int, epoch: str
    ) -> None:
        """Add the dates that begin to the writes of their room."""
        # A pair that takes its seats again is written once.
        begun = {(date.male, date.female): date.at for date in dates if date.on}
        for users, at in begun.items():
            meet = partial(Pair.meet, live_id=live_id, epoch=epoch, now=at)
            await self._add_change(batch, users, meet)

    async def matches(self, user_id: str, skip: int, limit: int) -> list[Pair]:
        """Return matches of a user, the newest first."""
        where = {"users": user_id, "matched_at": {"$gt": 0}, "ended": False}
        rows = self._pairs.find(where).sort([("matched_at", -1), ("_id", 1)])
        return [_pair_from(row) async for row in rows.skip(skip).limit(limit)]

    async def partners(self, user_id: str) -> list[str]:
        """Return all users with whom a user is or was matched."""
        rows = self._pairs.find({"users": user_id, "matched_at": {"$gt": 0}})
        return [_pair_from(row).other(user_id) async for row in rows]

    async def _change(self, user_id: str, other_id: str, rule: Callable[[Pair], Pair]) -> None:
        async def work() -> None:
            batch = WriteBatch()
            await self._add_change(batch, (user_id, other_id), rule)
            if len(batch):
                await self._commits.commit(batch)

        await retry_on_conflict(work)

    async def _add_change(
        self, batch: WriteBatch, users: tuple[str, str], rule: Callable[[Pair], Pair]
    ) -> None:
        before = await self.find(*users)
        after = rule(before)
        if after.is_matched and not before.is_matched:
            if people := await self._matchable(after):
                self._add_match(batch, after, people)
            else:
                after = replace(after, matched_at=0)
        if after == before:
            return
        if after.is_matched != before.is_matched:
            self._outbox.add_to(batch, "friendship", {"users": [*after.users]}, key=after.id)
        document = document_of(replace(after, version=before.version + 1), "id")
        if before.version:
            batch.replace("pairs", {"_id": after.id, "version": before.version}, document)
        else:
            batch.insert("pairs", document)

    def _add_match(self, batch: WriteBatch, pair: Pair, people: Sequence[User]) -> None:
        first, second = people
        for user, other in ((first, second), (second, first)):
            match = Match(
                user=other.person().public_profile(), live_id=pair.live_id, at=pair.matched_at
            )
            self._channels.add_to(batch, user.user_id, NewEvent("match", match))
        batch.update_if_present("lives", {"_id": pair.epoch}, {"$inc": {"matches": 1}})

    async def _matchable(self, pair: Pair) -> list[User]:
        """Return both users; [] if one is banned or deleted, or has blocked the other.

        Only the write that would make a match reads them. Blocks and bans since then end it.
        """
        found = await self._users.get_many(pair.users)
        people = [user for user in found if user and not (user.banned or user.deleted_at)]
        first, second = pair.users
        if len(people) < len(pair.users) or await self._user_blocks.among(first, [second]):
            return []
        return people


def _pair_from(row: Document) -> Pair:
    return Pair(**{**known_fields(Pair, row), "id": row["_id"]})
