"""Matches: two users who like one another and have had a date."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from core.clock import now_ms
from core.retry import retry_on_conflict
from people.matches import Pair
from people.user_events import Match
from rooms.events import NewEvent, NumberedEvent
from rooms.room import Room
from storage.accounts.users import User
from storage.stores import Stores
from storage.write_batch import WriteBatch

Users = tuple[str, str]


@dataclass
class MatchService:
    """Likes, unlikes, and makes and ends matches.

    The write that makes a match also adds its events, the message to IM and the count of the live.
    """

    _stores: Stores

    async def like(self, by: str, of: str) -> None:
        """Like a user; a repetition checks again whether that makes a match."""
        await self._change((by, of), lambda pair: pair.like(by, now_ms()))

    async def unlike(self, by: str, of: str) -> None:
        await self._change((by, of), lambda pair: pair.unlike(by))

    async def end(self, user_id: str, other_id: str) -> None:
        """End the match of two users, or prevent it if there is none yet."""
        await self._change((user_id, other_id), Pair.end)

    async def end_all(self, user_id: str) -> None:
        """End the matches of a banned or deleted user. Repeatable."""
        await self._stores.matches.decide_again(user_id)  # and they find the user banned or deleted
        for partner in await self._stores.matches.partners(user_id):
            await self.end(user_id, partner)

    async def add_dates(
        self, room: Room, events: Sequence[NumberedEvent], batch: WriteBatch
    ) -> None:
        """Note the dates that begin with a change of a room."""
        # A pair that takes its seats again is written once.
        for users in {(date.male, date.female) for date in room.date_changes if date.on}:
            meet = partial(Pair.meet, live_id=room.live_id, epoch=room.epoch, now=events[-1].ts)
            await self._add_change(batch, users, meet)

    async def _change(self, users: Users, rule: Callable[[Pair], Pair]) -> None:
        async def attempt() -> None:
            batch = WriteBatch()
            await self._add_change(batch, users, rule)
            if len(batch):
                await self._stores.matches.commit(batch)

        await retry_on_conflict(attempt)

    async def _add_change(
        self, batch: WriteBatch, users: Users, rule: Callable[[Pair], Pair]
    ) -> None:
        before = await self._stores.matches.of(*users)
        after = rule(before)
        if after.is_matched and not before.is_matched:
            if people := await self._matchable(after):
                self._add_match(batch, after, people)
            else:
                after = replace(after, matched_at=0)
        if after == before:
            return
        if after.is_matched != before.is_matched:
            self._stores.outbox.add_to(batch, "friendship", {"users": [*after.users]}, key=after.id)
        self._stores.matches.add_save(batch, before, after)

    def _add_match(self, batch: WriteBatch, pair: Pair, people: Sequence[User]) -> None:
        first, second = people
        for user, other in ((first, second), (second, first)):
            face = other.person().public_profile()
            match = Match(user=face, live_id=pair.live_id, at=pair.matched_at)
            self._stores.user_channels.add_to(batch, user.user_id, NewEvent("match", match))
        self._stores.summaries.add_match(batch, pair.epoch)

    async def _matchable(self, pair: Pair) -> list[User]:
        """Return both users; [] if one is banned or deleted, or has blocked the other.

        Only the write that would make a match reads them. Blocks and bans since then end it.
        """
        found = await self._stores.users.find_many([*pair.users])
        people = [user for user in found if not (user.banned or user.deleted_at)]
        first, second = pair.users
        if len(people) < len(pair.users) or await self._stores.user_blocks.among(first, [second]):
            return []
        return people
