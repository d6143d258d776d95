"""Webhook of WeChat Pay for transfers to users."""

import time
from functools import partial

from handlers.base import endpoint
from handlers.errors import CallbackRefused
from handlers.webhooks.wechat_pay import NoContentResponse, NoContentWebhookHandler
from storage.inbox import InboxMessage
from tencent.transfer_notifications import SOURCE


class TransferWebhookHandler(NoContentWebhookHandler):
    """Final states of transfers; answers 204, any other status makes WeChat Pay retry."""

    @endpoint()
    async def post(self) -> NoContentResponse:
        context = self.context
        if context.tencent.transfers is None:
            raise CallbackRefused
        notification = context.tencent.transfers.notifications.read(
            self.request.headers, self.body, time.time()
        )
        message = InboxMessage(SOURCE, notification.id, "", self.body.decode(errors="replace"))
        book = context.services.transfer_notices.book
        await self.receive(
            message,
            notification.refused,
            partial(book, notification.transfer, notification.ignored),
        )
        return NoContentResponse()
