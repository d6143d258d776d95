"""Webhook of WeChat Pay for transfers to users."""

import time
from functools import partial

from handlers.base import endpoint
from handlers.errors import CallbackRefused
from handlers.webhooks.wechat_pay import NoContentResponse, NoContentWebhookHandler
from tencent.transfer_notifications import SOURCE


class TransferWebhookHandler(NoContentWebhookHandler):
    """Final states of transfers; answers 204, any other status makes WeChat Pay retry."""

    @endpoint()
    async def post(self) -> NoContentResponse:
        client = self.context.tencent.transfers
        if client is None:
            raise CallbackRefused
        found = client.notifications.read(self.request.headers, self.body, time.time())
        book = self.context.services.transfer_notices.book
        return await self.receive_notification(
            SOURCE, found, partial(book, found.transfer, found.ignored)
        )
