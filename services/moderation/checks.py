"""The check of one item: by the list of words, then by WeChat."""

from datetime import UTC, datetime

from rooms.moderation import TEXTS, Item, Verdict
from services.moderation.words import WordList
from storage.accounts.users import User
from tencent.content_security import ContentSecurityClient, NotChecked

WORDS = "words"
"""Label of what the list of words refuses."""


async def check(item: Item, author: User, client: ContentSecurityClient, words: WordList) -> Item:
    """The item with the verdict, or waiting for its event, or due again if WeChat has no answer.

    The address of a picture never changes what it shows (services/accounts/pictures.py).
    """
    if item.kind in TEXTS and words.found_in(item.value):
        return item.note_verdict(Verdict("risky", WORDS), datetime.now(UTC))
    try:
        if item.kind in TEXTS:
            verdict = await client.check_text(author.app_id, author.openid, item.value)
            return item.note_verdict(verdict, datetime.now(UTC))
        trace_id = await client.send_picture(author.app_id, author.openid, item.value)
        return item.note_sent(trace_id, datetime.now(UTC))
    except NotChecked:
        return item.note_failure(datetime.now(UTC))
