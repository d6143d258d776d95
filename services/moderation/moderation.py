"""Checks what users want to show, carries out decisions, and keeps the queue of operators."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from config.sections import ModerationSettings
from core.errors import TryAgain
from rooms.moderation import APPLY_WITHIN, FIELDS, TEXTS, Item, Kind, Verdict
from services.errors import ContentRefused
from services.jobs.claimed_jobs import ClaimedJob
from services.jobs.inbox import DONE, CallbackOutcome, ignored, refused
from services.moderation.forbidden_words import ForbiddenWords
from storage.accounts.users import User
from storage.database import Session
from storage.errors import AlreadyDecided
from storage.moderation.items import ItemChanged, new_item_id
from storage.stores import Stores
from tencent.content_security import ContentSecurityClient, NotChecked, parse_media_event
from tencent.errors import Unreadable

CONCURRENCY = 8
WORDS = "words"
"""Label of what the list of words refuses."""

Confirm = Callable[[Session | None], Awaitable[None]]
"""Stores that a decision was applied, best in the transaction that applies it; raises ItemChanged
if it is no longer to be applied."""
Effect = Callable[[Item, Confirm], Awaitable[None]]


class ModerationService:
    """Checks what users propose, and decides what waits in the queue."""

    def __init__(
        self, stores: Stores, client: ContentSecurityClient, settings: ModerationSettings
    ) -> None:
        self._stores = stores
        self._items = stores.moderation
        self._client = client
        self._settings = settings
        self.effects: Mapping[Kind, Effect] = {}
        """Change what others see by a decision, and then confirm it."""
        self.forbidden_words = ForbiddenWords(settings.forbidden_words_file)
        self.job = ClaimedJob[Item](
            "moderation", self._claim, self._run_step, concurrency=CONCURRENCY
        )

    # ---- proposals

    async def propose(
        self, kind: Kind, user: User, value: str, before: str, live_id: int = 0
    ) -> Item:
        """Check a text, or have a picture checked once the proposal is put into the store.

        `before` is what others see now. A proposal without an id needs no check if it is approved,
        otherwise the same value is being checked already. Raises ContentRefused, at most two
        seconds later, and at once for a value of this user that was refused before: also while it
        is still shown, or if the caller has read it as shown. What an operator has approved for
        this user is not checked again.
        """
        user_id, now = user.user_id, datetime.now(UTC)
        item = Item("", kind, user_id, now, live_id, value, before, state="approved")
        if not self._settings.is_checked(kind) or not value:
            return item
        older = (await self._items.open_of(user_id)).get(kind)
        if older and older.value == value:
            return replace(older, id="", shown=False)  # left as it is
        last = await self._items.last_of(kind, user_id, value)
        if last and last.state == "refused" and last.label != WORDS:  # the list may change
            raise ContentRefused(FIELDS[kind])
        if value == before or (last and last.is_allowed):
            return item
        item = replace(item, id=new_item_id(), state="unchecked", due_at=now)
        if kind in TEXTS:
            item = await self._check(item, user)
        if item.state == "refused":
            await self._items.add(item)
            raise ContentRefused(FIELDS[kind])
        if not item.is_open:
            return item.note_applied()  # by the caller
        return replace(item, shown=getattr(self._settings, kind) == "show_until_refused")

    async def in_review(self, user_id: str) -> dict[str, str]:
        """A user's open proposals, which others do not see for certain yet, by parameter."""
        items = await self._items.open_of(user_id)
        return {FIELDS[item.kind]: item.value for item in items.values()}

    # ---- decisions and results of checks

    async def decide(self, item_id: str, by: str, reason: str = "", *, approved: bool) -> None:
        """An operator decides whether others may see it, or undoes the refusal of a value.

        NotFound, AlreadyDecided, TryAgain.
        """
        item = await self._items.get(item_id)
        if not item.may_be_decided(approved=approved):
            raise AlreadyDecided
        try:
            await self._save(item, item.decide(by, reason, datetime.now(UTC), approved=approved))
        except ItemChanged:
            raise TryAgain from None

    async def receive(self, content: Mapping[str, Any]) -> CallbackOutcome:
        """The verified event about a picture.

        TryAgain for one that is faster than the answer with its trace id: WeChat repeats it.
        """
        try:
            trace_id, verdict = parse_media_event(content)
        except Unreadable:
            return refused("unreadable")
        item, now = await self._items.by_trace(trace_id), datetime.now(UTC)
        if item is None:
            raise TryAgain
        if item.state != "checking":
            return ignored("not_awaited")
        noted = item.note_verdict(verdict, now) if verdict else item.note_failure(now)
        with suppress(ItemChanged):  # superseded or decided meanwhile
            await self._save(item, noted)
        return DONE

    # ---- the job

    async def _claim(self, _limit: int) -> list[Item]:
        item = await self._items.claim(APPLY_WITHIN)
        return [item] if item else []

    async def _run_step(self, item: Item) -> None:
        """Take the next step of an item that is due."""
        if item.must_apply:
            await self._apply(item)
            return
        if item.state == "checking":
            after = item.note_failure(datetime.now(UTC))
        else:
            user = await self._stores.users.get(item.user_id, deleted=True)
            after = await self._check(item, user)
        with suppress(ItemChanged):
            await self._save(item, after)

    async def _check(self, item: Item, author: User) -> Item:
        """The item with the verdict of the list of words or of WeChat, or waiting for WeChat's
        event, or due again if WeChat has no answer.

        The address of a picture never changes what it shows (services/accounts/pictures.py).
        """
        if item.kind in TEXTS and self.forbidden_words.found_in(item.value):
            return item.note_verdict(Verdict("risky", WORDS), datetime.now(UTC))
        content = author.app_id, author.openid, item.value
        try:
            if item.kind in TEXTS:
                verdict = await self._client.check_text(*content)
                return item.note_verdict(verdict, datetime.now(UTC))
            trace_id = await self._client.send_picture(*content)
            return item.note_sent(trace_id, datetime.now(UTC))
        except NotChecked:
            return item.note_failure(datetime.now(UTC))

    async def _save(self, before: Item, after: Item) -> None:
        saved = await self._items.save(before, after)
        if saved.must_apply:
            await self._apply(saved)

    async def _apply(self, item: Item) -> None:
        async def confirm(session: Session | None = None) -> None:
            await self._items.save(item, item.note_applied(), session)

        effect = self.effects.get(item.kind)
        with suppress(ItemChanged):  # superseded meanwhile, or applied by another process
            await (effect(item, confirm) if effect else confirm())
