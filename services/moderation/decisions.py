"""Decides what waits in the operators' queue, and carries decisions out."""

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from rooms.moderation import APPLY_WITHIN, Item, Kind, State
from services.jobs.claimed_jobs import ClaimedJob, one_by_one
from services.moderation.proposals import ProposalService
from storage.database import Session
from storage.errors import AlreadyDecided
from storage.jobs.inbox import DONE, CallbackOutcome, ignored, refused
from storage.stores import Stores
from tencent.errors import Unreadable
from tencent.message_push import MEDIA_CHECKED
from tencent.wechat import parse_media_event

Confirm = Callable[[Session | None], Awaitable[None]]
"""Store that a decision was applied, best in the transaction that applies it.
Raises AlreadyDecided if it is no longer to be applied."""
Effect = Callable[[Item, Confirm], Awaitable[None]]


class DecisionService:
    """Decides what waits in the queue: by operators, and by the results of checks."""

    def __init__(
        self, stores: Stores, proposals: ProposalService, effects: Mapping[Kind, Effect]
    ) -> None:
        """Take `effects`, which change what others see by a decision, and then confirm it."""
        self._stores = stores
        self._items = stores.moderation
        self._proposals = proposals
        self.effects = effects
        self.job = ClaimedJob[Item](
            "moderation",
            one_by_one(partial(self._items.claim, APPLY_WITHIN)),
            self._run_step,
            concurrency=8,
        )

    # ---- decisions and results of checks

    async def decide(
        self, item_id: str, seen: State, by: str, reason: str = "", *, approved: bool
    ) -> None:
        """Decide, as an operator, whether others may see it, or undo the refusal of a value.

        Raises NotFound, or AlreadyDecided, also if the state is not the one that they have `seen`.
        """
        item = await self._items.get(item_id)
        if item.state != seen or not item.may_be_decided(approved=approved):
            raise AlreadyDecided
        await self._save(item, item.decide(by, reason, datetime.now(UTC), approved=approved))

    async def receive(self, content: Mapping[str, Any]) -> CallbackOutcome:
        """Process the event of a picture; the inbox keeps one that precedes its trace id."""
        try:
            trace_id, verdict = parse_media_event(content)
        except Unreadable:
            return refused("unreadable")
        item, now = await self._items.by_trace(trace_id), datetime.now(UTC)
        if item is None:
            return ignored("unknown_picture")
        if item.state != "checking":
            return ignored("not_awaited")
        noted = item.note_verdict(verdict, now) if verdict else item.note_failure(now)
        with suppress(AlreadyDecided):  # or superseded, meanwhile
            await self._save(item, noted)
        return DONE

    # ---- the job

    async def _run_step(self, item: Item) -> None:
        """Take the next step of an item that is due."""
        if item.must_apply:
            await self._apply(item)
            return
        if item.state == "checking":
            after = item.note_failure(datetime.now(UTC))
        else:
            user = await self._stores.users.get(item.user_id, deleted=True)
            after = await self._proposals.check(item, user)
        with suppress(AlreadyDecided):
            await self._save(item, after)
        pushed = f"xpay:{MEDIA_CHECKED}:{after.trace_id}:"
        if after.state == "checking" and (early := await self._stores.inbox.find_first(pushed)):
            await self.receive(json.loads(early["raw"]))

    async def _save(self, before: Item, after: Item) -> None:
        """Save a decision and apply it. Raises AlreadyDecided if the item is not as `before`."""
        is_refused_picture = after.state == "refused" and after.kind in ("face", "cover")
        save = self._items.refuse_picture if is_refused_picture else self._items.save_step
        saved = await save(before, after)
        if saved.must_apply:
            await self._apply(saved)

    async def _apply(self, item: Item) -> None:
        async def confirm(session: Session | None = None) -> None:
            await self._items.save_step(item, item.note_applied(), session)

        effect = self.effects.get(item.kind)
        with suppress(AlreadyDecided):  # superseded meanwhile, or applied by another process
            await (effect(item, confirm) if effect else confirm())
