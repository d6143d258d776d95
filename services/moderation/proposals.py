"""Checks what users want to show, before others see it."""

from dataclasses import replace
from datetime import UTC, datetime

from config.sections import ModerationSettings
from rooms.moderation import FIELDS, TEXTS, Item, Kind, Verdict
from services.errors import ContentRefused
from services.moderation.forbidden_words import ForbiddenWords
from storage.accounts.users import User
from storage.moderation import new_item_id
from storage.stores import Stores
from tencent.errors import ServiceUnavailable
from tencent.wechat import ContentSecurityClient

WORDS = "words"
"""Label of what the list of words refuses."""


class ProposalService:
    """Checks names, faces and covers that users propose."""

    def __init__(
        self, stores: Stores, client: ContentSecurityClient, settings: ModerationSettings
    ) -> None:
        self._items = stores.moderation
        self._client = client
        self._settings = settings
        self.forbidden_words = ForbiddenWords(settings.forbidden_words_file)

    async def propose(
        self, kind: Kind, user: User, value: str, before: str, live_id: int = 0
    ) -> Item:
        """Check a text, or have a picture checked once the proposal is put into the store.

        `before` is what the caller has read as shown; `put` reads it again. The returned item has
        no id if none is to be stored: either the value needs no check (`approved`), or an open item
        checks this value already and stays as it is. A text that an operator has approved for this
        user is not checked again. Raises ContentRefused, at most two seconds later, and at once for
        a value of this user that was refused before: also while it is still shown, or if the caller
        has read it as shown.
        """
        user_id, now = user.user_id, datetime.now(UTC)
        item = Item("", kind, user_id, now, live_id, value, state="approved")
        if not self._settings.is_checked(kind) or not value:
            return item
        older = (await self._items.open_of(user_id)).get(kind)
        if older and older.value == value:
            return replace(older, id="", shown=False)  # left as it is
        last = await self._items.last_of(kind, user_id, value)
        if last and last.state == "refused" and last.label != WORDS:  # the list may change
            raise ContentRefused(FIELDS[kind])
        is_allowed = last is not None and last.is_allowed
        item = replace(item, before="" if is_allowed else before)
        if is_allowed or value == before:
            return item
        item = replace(item, id=new_item_id(), state="unchecked", due_at=now)
        if kind in TEXTS:
            item = await self.check(item, user)
        if item.state == "refused":
            await self._items.add(item)
            raise ContentRefused(FIELDS[kind])
        if not item.is_open:
            return item.note_applied()  # by the caller
        return replace(item, shown=getattr(self._settings, kind) == "show_until_refused")

    async def check(self, item: Item, author: User) -> Item:
        """Return the item after a check by the list of words or by WeChat.

        It has the verdict, or waits for WeChat's event, or is due again if WeChat has no answer.
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
        except ServiceUnavailable:
            return item.note_failure(datetime.now(UTC))
