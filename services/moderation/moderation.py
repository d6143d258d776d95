"""Checks what users want to show, carries out decisions, and keeps the queue of operators."""

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from config.sections import ModerationSettings
from core.errors import TryAgain
from rooms.moderation import FIELDS, Item, Kind
from services.errors import ContentRefused
from services.jobs.claimed_jobs import ClaimedJob
from services.jobs.inbox import DONE, CallbackOutcome, ignored, refused
from services.moderation.pictures import PictureChecker
from services.moderation.texts import TextChecker
from services.moderation.words import WordList
from storage.accounts.users import User
from storage.database import Session
from storage.errors import AlreadyDecided
from storage.jobs.inbox import InboxMessage
from storage.moderation.items import ItemChanged, new_item_id
from storage.stores import Stores
from tencent.content_security import ContentSecurityClient, MediaResult, parse_media_event
from tencent.errors import Unreadable

INBOX_SOURCE = "content_check"
CONCURRENCY, IDLE_SECONDS = 8, 5.0
CLAIM_LEASE = timedelta(minutes=1)
"""Longer than a check takes with its repetition."""

Confirm = Callable[[Session | None], Awaitable[None]]
"""Stores that a decision was applied, best in the transaction that applies it; raises ItemChanged
if it is no longer to be applied."""
Effect = Callable[[Item, Confirm], Awaitable[None]]


class ModerationService:
    """The only way into the queue, and out of it."""

    def __init__(
        self,
        stores: Stores,
        client: ContentSecurityClient,
        settings: ModerationSettings,
        effects: Mapping[Kind, Effect],
    ) -> None:
        """`effects` change what others see by a decision, and then confirm it."""
        self._stores = stores
        self._items = stores.moderation
        self._settings = settings
        self._effects = effects
        self.words = WordList(settings.words_file)
        texts, pictures = TextChecker(client, self.words), PictureChecker(client)
        self._checkers: Mapping[Kind, TextChecker | PictureChecker] = {
            "nickname": texts,
            "room_name": texts,
            "face": pictures,
            "cover": pictures,
        }
        self.job = ClaimedJob[Item](
            "moderation", self._claim, self._carry_on, concurrency=CONCURRENCY, idle=IDLE_SECONDS
        )

    # ---- proposals

    async def propose(
        self, kind: Kind, user: User, value: str, before: str, live_id: int = 0
    ) -> Item:
        """Check a text, or have a picture checked once the proposal is `put`.

        `before` is what others see now. A proposal without an id needs no check if it is approved,
        otherwise the same value is being checked already. Raises ContentRefused, at most two
        seconds later.
        """
        user_id, now = user.user_id, datetime.now(UTC)
        item = Item("", kind, user_id, now, live_id, value, before)
        unchecked = replace(item, state="approved")
        if not self._settings.is_checked(kind) or not value:
            return unchecked
        if await self._items.was_refused(kind, user_id, value):
            raise ContentRefused(FIELDS[kind])
        older = (await self._items.open_of(user_id)).get(kind)
        if older and older.value == value:
            return replace(older, id="", shown=False)  # left as it is
        if value == before:
            return unchecked
        item, checker = replace(item, id=new_item_id(), due_at=now), self._checkers[kind]
        if checker.within_request:
            item = await checker.check(item, user)
        if item.state == "refused":
            await self._items.add(item)
            raise ContentRefused(FIELDS[kind])
        is_shown = item.is_open and getattr(self._settings, kind) == "show_until_refused"
        return replace(item, shown=is_shown)

    async def put(self, proposal: Item, session: Session | None = None) -> None:
        """Store a proposal, in the transaction that shows its value, if it does.

        Without a transaction, `confirm` it after its value is shown.
        """
        if proposal.must_apply:
            proposal = proposal.note_applied() if session else _left_to_the_job(proposal)
        await self._items.propose(proposal, session)
        if proposal.is_open:
            self.job.nudge()

    async def confirm(self, proposal: Item) -> None:
        """The value of a proposal that passed is shown now."""
        if proposal.must_apply:
            with suppress(ItemChanged):
                await self._items.save(proposal, proposal.note_applied())

    async def in_review(self, user_id: str) -> dict[str, str]:
        """What a user has proposed and others do not see for certain yet, by parameter."""
        items = await self._items.open_of(user_id)
        return {FIELDS[item.kind]: item.value for item in items.values()}

    # ---- decisions

    async def approve(self, item_id: str, by: str) -> Item:
        """An operator decides that others may see it. NotFound, AlreadyDecided, TryAgain."""
        return await self._decide(item_id, lambda item, now: item.approve(by, now))

    async def refuse(self, item_id: str, by: str, reason: str) -> Item:
        """An operator decides that others may not see it. Raises as `approve`."""
        return await self._decide(item_id, lambda item, now: item.refuse(by, reason, now))

    async def _decide(self, item_id: str, decide: Callable[[Item, datetime], Item]) -> Item:
        item = await self._items.get(item_id)
        if not item.is_open:
            raise AlreadyDecided
        try:
            return await self._save(item, decide(item, datetime.now(UTC)))
        except ItemChanged:
            raise TryAgain from None

    # ---- results of checks

    async def receive(self, content: Mapping[str, Any]) -> CallbackOutcome:
        """The verified event about a picture. One that is faster than the answer with its trace id
        is found in the inbox by `_find_early_event`."""
        try:
            result = parse_media_event(content)
        except Unreadable:
            return refused("unreadable")
        item = await self._items.by_trace(result.trace_id)
        if item is None:
            return ignored("unknown_trace")
        await self._note_result(item, result)
        return DONE

    async def _note_result(self, item: Item, result: MediaResult) -> None:
        now = datetime.now(UTC)
        noted = (
            item.note_verdict(result.verdict, now) if result.verdict else item.note_no_result(now)
        )
        with suppress(ItemChanged):  # superseded or decided meanwhile
            await self._save(item, noted)

    async def _find_early_event(self, item: Item) -> None:
        row = await self._stores.inbox.find(f"{INBOX_SOURCE}:{item.trace_id}")
        if row:
            await self._note_result(item, parse_media_event(json.loads(row["raw"])))

    # ---- the job

    async def _claim(self, _limit: int) -> list[Item]:
        item = await self._items.claim(CLAIM_LEASE)
        return [item] if item else []

    async def _carry_on(self, item: Item) -> None:
        """Take the next step of an item that is due."""
        if item.must_apply:
            await self._apply(item)
            return
        if item.state == "checking":
            after = item.note_no_result(datetime.now(UTC))
        else:
            user = await self._stores.users.get(item.user_id)
            after = await self._checkers[item.kind].check(item, user)
        with suppress(ItemChanged):
            saved = await self._save(item, after)
            if saved.state == "checking":
                await self._find_early_event(saved)

    async def _save(self, before: Item, after: Item) -> Item:
        """Store a step; what it decides is applied at once, and by the job if this process dies."""
        if not after.must_apply:
            return await self._items.save(before, after)
        saved = await self._items.save(before, _left_to_the_job(after))
        await self._apply(saved)
        return saved

    async def _apply(self, item: Item) -> None:
        async def confirm(session: Session | None = None) -> None:
            await self._items.save(item, item.note_applied(), session)

        effect = self._effects.get(item.kind)
        with suppress(ItemChanged):  # superseded meanwhile, or applied by another process
            await (effect(item, confirm) if effect else confirm())


def _left_to_the_job(item: Item) -> Item:
    """An item to be applied now, and again by the job if it is not confirmed soon."""
    return replace(item, due_at=datetime.now(UTC) + CLAIM_LEASE)


def message_of(content: Mapping[str, Any]) -> InboxMessage:
    """The message of the inbox for an event about a picture."""
    trace_id = str(content.get("trace_id"))[:64]
    return InboxMessage(INBOX_SOURCE, trace_id, "", json.dumps(content, ensure_ascii=False))
