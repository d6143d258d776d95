"""Operators' endpoints: orders, the ledger, reversals and the callback inbox."""

from collections.abc import Mapping
from typing import Any

from core.errors import NotFound
from handlers.base import endpoint
from handlers.ops.base import PAGE_SIZE, OperatorHandler
from handlers.schemas import ops_money, ops_requests
from handlers.schemas.responses import Page
from ledger.errors import EntryNotFound, InsufficientGold, NotReversible
from ledger.journal import reversal_key
from tencent.errors import ServiceUnavailable


class OpsOrdersHandler(OperatorHandler):
    """Orders, newest first.

    `q` is a user id, or the start of an order number or transaction id.
    """

    @endpoint()
    async def get(
        self, params: ops_requests.OrderSearchRequest
    ) -> Page[ops_money.OpsOrderResponse]:
        rows, cursor = await self.context.stores.orders.page(
            params.user_id, params.state, params.after, PAGE_SIZE, search=params.q
        )
        return Page[ops_money.OpsOrderResponse].of(rows, cursor)


class OpsLedgerHandler(OperatorHandler):
    """Ledger entries, newest first.

    `q` is a user id, or the start of an entry id or order number. Entries of withdrawals and
    refunds are only for the role finance.
    """

    @endpoint()
    async def get(self, params: ops_requests.LedgerSearchRequest) -> Page[ops_money.EntryResponse]:
        rows, cursor = await self.context.stores.ledger.page(
            params.user_id,
            params.kind,
            params.after,
            PAGE_SIZE,
            search=params.q,
            money_out=self.operator.may("finance"),
        )
        return Page[ops_money.EntryResponse].of(rows, cursor)


class OpsReversalHandler(OperatorHandler):
    """Reverse a gift or a grant; idempotent per entry.

    More than `ops.second_person_gold` of one operator in 24 hours waits for another operator.
    """

    async def target_state(self) -> Mapping[str, Any]:
        reversal = reversal_key(str(self.parameters().get("entry")))
        return {"reversed": await self.context.stores.ledger.find(reversal) is not None}

    @endpoint(
        errors=[EntryNotFound, InsufficientGold, NotReversible],
    )
    async def post(
        self, params: ops_requests.ReversalRequest
    ) -> ops_money.ReversedResponse | ops_money.ApprovalResponse:
        answer = await self.context.services.approvals.reverse(
            params.entry, params.reason, by=self.operator.name
        )
        return self.unless_waiting(answer, ops_money.ReversedResponse.model_validate)


class OpsInboxHandler(OperatorHandler):
    """Callbacks received from Tencent and WeChat, newest first.

    `q` is the start of a callback id or order number, `event` the name of an event of WeChat that
    moves no gold.
    """

    @endpoint()
    async def get(
        self, params: ops_requests.InboxSearchRequest
    ) -> Page[ops_money.InboxMessageResponse]:
        rows, cursor = await self.context.stores.inbox.page(
            params.source,
            params.outcome,
            params.after,
            PAGE_SIZE,
            search=params.q,
            event=params.event,
        )
        return Page[ops_money.InboxMessageResponse].of(rows, cursor)


class OpsInboxRetryHandler(OperatorHandler):
    """Process a verified payment notification again, e.g. after correcting its order."""

    async def target_state(self) -> Mapping[str, Any]:
        message = await self.context.stores.inbox.find(str(self.parameters().get("id")))
        return {"outcome": message["outcome"], "reason": message["reason"]} if message else {}

    @endpoint(errors=[NotFound, ServiceUnavailable("wechat"), ServiceUnavailable("pay")])
    async def post(self, params: ops_requests.RetryRequest) -> ops_money.OutcomeResponse:
        result = await self.context.services.payment_notifications.reprocess(params.id)
        return ops_money.OutcomeResponse(outcome=result.outcome, reason=result.reason)
