"""Checks nicknames and names of rooms, within the request that proposes them."""

import asyncio
from datetime import UTC, datetime

from rooms.moderation import Item, Verdict
from services.moderation.words import WordList
from tencent.content_security import Author, ContentSecurityClient, NotChecked

CHECK_SECONDS = 2.0
"""Longest wait of a request for WeChat, with its repetition."""
WORDS = "words"
"""Label of what the list of words refuses."""


class TextChecker:
    """Refuses listed words, and asks WeChat about all else."""

    within_request = True

    def __init__(self, client: ContentSecurityClient, words: WordList) -> None:
        self._client = client
        self._words = words

    async def check(self, item: Item, author: Author) -> Item:
        """The item with the verdict, or due again if there is none."""
        if self._words.found_in(item.value):
            return item.note_verdict(Verdict("risky", WORDS), datetime.now(UTC))
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                verdict = await self._client.check_text(author, item.value)
        except (NotChecked, TimeoutError):
            return item.note_failure(datetime.now(UTC))
        return item.note_verdict(verdict, datetime.now(UTC))
