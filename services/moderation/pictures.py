"""Has faces and covers checked; WeChat reports the result later, as an event."""

from datetime import UTC, datetime

from rooms.moderation import Item
from tencent.content_security import Author, ContentSecurityClient, NotChecked


class PictureChecker:
    """Sends pictures to WeChat. Their address never changes what it shows
    (services/accounts/pictures.py)."""

    within_request = False

    def __init__(self, client: ContentSecurityClient) -> None:
        self._client = client

    async def check(self, item: Item, author: Author) -> Item:
        """The item that waits for its event, or is due again if WeChat does not take it."""
        try:
            trace_id = await self._client.send_picture(author, item.value)
        except NotChecked:
            return item.note_failure(datetime.now(UTC))
        return item.note_sent(trace_id, datetime.now(UTC))
