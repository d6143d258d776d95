"""Copies of users' own data, and the deletion of users."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog

from core.retry import DELETIONS
from services.accounts.matches import MatchService
from services.accounts.sessions import SessionService
from services.jobs.claimed_jobs import ClaimedJob
from services.room_changes import RoomChanges
from storage.accounts.exports import Export
from storage.accounts.users import User
from storage.stores import Stores

log = structlog.get_logger("qlive.accounts")

CHANGE_OF_MIND = timedelta(days=7)
"""Time in which a deletion can be taken back."""
DRAIN = timedelta(minutes=1)
"""Time between closing an account and its deletion: requests in progress end, and processes store
what they hold in memory."""
LEASE = timedelta(minutes=10)
IDLE_SECONDS = 10.0

RetireHost = Callable[[str], Awaitable[None]]
"""Dissolves the chat group of a host's room."""


@dataclass
class DataRequestService:
    """Copies and deletions, carried out by one job."""

    _stores: Stores
    _room_changes: RoomChanges
    _sessions: SessionService
    _matches: MatchService
    _retire_host: RetireHost
    job: ClaimedJob[Callable[[], Awaitable[None]]] = field(init=False)

    def __post_init__(self) -> None:
        self.job = ClaimedJob(
            "data_requests", self._claim, lambda work: work(), concurrency=1, idle=IDLE_SECONDS
        )

    async def export(self, user_id: str, part: int) -> tuple[Export, dict[str, list[Any]]]:
        """Return the user's copy of the day, and one part of it once it is made."""
        export = await self._stores.exports.ask(user_id)
        if export.made_at is None:
            self.job.wake()
        if part > export.parts:  # 0 while the copy is being made
            return export, {}
        return export, await self._stores.exports.part(user_id, part)

    async def plan_deletion(self, user_id: str) -> datetime | None:
        """Plan to delete the user's data in a week, and return when; an earlier plan stays."""
        at = datetime.now(UTC) + CHANGE_OF_MIND
        return await self._stores.users.plan_deletion(user_id, at)

    async def plan_deletion_of(self, app_id: str, openid: str) -> None:
        """Plan the same for the user of an openid, if there is one, after an event of WeChat."""
        if user := await self._stores.users.by_openid(app_id, openid):
            await self.plan_deletion(user.user_id)

    async def _claim(self, _limit: int) -> list[Callable[[], Awaitable[None]]]:
        if user_id := await self._stores.exports.claim(LEASE):
            return [partial(self._stores.exports.make, user_id)]
        if user := await self._stores.deletions.claim(LEASE):
            return [partial(self._run_step, user)]
        return []

    async def _run_step(self, user: User) -> None:
        """Close the account, or delete the user of a closed one; repeated whole after a kill."""
        deletions, user_id = self._stores.deletions, user.user_id
        if await deletions.must_wait(user):
            await deletions.postpone(user, DELETIONS.then)
            return
        if user.deleted_at is None and not await deletions.close(user, DRAIN):
            return
        await self._sessions.end(user_id)
        await self._room_changes.remove(user_id)
        await self._room_changes.end_deputy(user.person())
        await self._stores.follows.drop_all(user_id)
        await self._retire_host(user_id)
        if user.deleted_at:
            await self._matches.end_all(user_id)
            for step in deletions.steps(user):
                await step()
            log.info("user_deleted", user_id=user_id)
