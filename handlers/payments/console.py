"""Operators' endpoints of recharge blocks, orders and the inbox of callbacks."""

from collections.abc import Mapping
from typing import Any

from core.errors import NotFound
from handlers.base import endpoint
from handlers.models import CursorRequest, OkResponse, Page
from handlers.operator_base import PAGE_SIZE, ApprovalResponse, OperatorHandler
from handlers.payments.models import (
    BillDifferenceResponse,
    BillResponse,
    BlockChangeRequest,
    DifferenceSearchRequest,
    InboxMessageResponse,
    InboxSearchRequest,
    NewBlockRequest,
    OpsBlockResponse,
    OpsOrderResponse,
    OrderSearchRequest,
    OutcomeResponse,
    RetryRequest,
    SettleDifferenceRequest,
)
from handlers.payments.payments import block_response
from storage.errors import AlreadyDecided, BlockNotFound, NothingWaits
from storage.operators.approvals import Approval
from tencent.errors import ServiceUnavailable


class OpsBlocksHandler(OperatorHandler):
    @endpoint()
    async def get(self) -> Page[OpsBlockResponse]:
        """All recharge blocks, cheapest first."""
        rows = await self.context.stores.blocks.all()
        return Page[OpsBlockResponse].of(map(_block, rows))

    @endpoint()
    async def post(self, params: NewBlockRequest) -> OpsBlockResponse | ApprovalResponse:
        """Add a recharge block, which waits for another operator."""
        fields = {"gold": params.gold, "fen": params.price}
        answer = await self.context.services.operators.approvals.change_catalogue(
            "block", None, fields, self.operator.name
        )
        self.created = None if isinstance(answer, Approval) else answer
        return self.unless_waiting(answer, _block)


class OpsBlockHandler(OperatorHandler):
    async def target_state(self) -> Mapping[str, Any]:
        return await self.context.stores.blocks.find(int(self.path_args[0])) or {}

    @endpoint(errors=[BlockNotFound])
    async def patch(
        self, number: str, params: BlockChangeRequest
    ) -> OpsBlockResponse | ApprovalResponse:
        """Change a block's gold or price; that waits for another operator, then for midnight."""
        changes = params.model_dump(exclude_none=True)
        if "price" in changes:
            changes["fen"] = changes.pop("price")
        answer = await self.context.services.operators.approvals.change_catalogue(
            "block", int(number), changes, self.operator.name
        )
        return self.unless_waiting(answer, _block)

    @endpoint(errors=[BlockNotFound])
    async def delete(self, number: str) -> OkResponse:
        """Remove a recharge block."""
        await self.context.services.operators.approvals.change_catalogue(
            "block", int(number), None, self.operator.name
        )
        return OkResponse()


class OpsNextBlockHandler(OperatorHandler):
    async def target_state(self) -> Mapping[str, Any]:
        return await self.context.stores.blocks.find(int(self.path_args[0])) or {}

    @endpoint(errors=[BlockNotFound, NothingWaits])
    async def delete(self, number: str) -> OpsBlockResponse:
        """Withdraw the change of a block that waits for midnight; refused once it has come."""
        blocks = self.context.stores.blocks
        return _block(await self.context.services.gold.catalogue.withdraw_next(blocks, int(number)))


class OpsOrdersHandler(OperatorHandler):
    """Orders, newest first.

    `q` is a user id, or the start of an order number or transaction id.
    """

    @endpoint()
    async def get(self, params: OrderSearchRequest) -> Page[OpsOrderResponse]:
        rows, cursor = await self.context.stores.orders.rows(
            params.user_id, params.state, params.after, PAGE_SIZE, search=params.q
        )
        return Page[OpsOrderResponse].of(rows, cursor)


class OpsBillsHandler(OperatorHandler):
    """WeChat's bills, the latest day first."""

    @endpoint()
    async def get(self, params: CursorRequest) -> Page[BillResponse]:
        rows, cursor = await self.context.stores.bills.page(params.after, PAGE_SIZE)
        return Page[BillResponse].of(rows, cursor)


class OpsBillDifferencesHandler(OperatorHandler):
    """Differences between WeChat's bills and the books, newest first."""

    @endpoint()
    async def get(self, params: DifferenceSearchRequest) -> Page[BillDifferenceResponse]:
        rows, cursor = await self.context.stores.bills.differences(
            params.state, params.after, PAGE_SIZE
        )
        return Page[BillDifferenceResponse].of(rows, cursor)


class OpsSettleDifferenceHandler(OperatorHandler):
    """Settle a difference that has been dealt with; the reason is kept as its note."""

    async def target_details(self) -> Mapping[str, Any]:
        """Return the user, by whom the entry is found."""
        row = await self.context.stores.bills.difference(str(self.parameters().get("id")))
        return {"user_id": row["user_id"]} if row else {}

    async def target_state(self) -> Mapping[str, Any]:
        row = await self.context.stores.bills.difference(str(self.parameters().get("id")))
        return {"state": row["state"], "number": row["number"]} if row else {}

    @endpoint(errors=[NotFound, AlreadyDecided])
    async def post(self, params: SettleDifferenceRequest) -> BillDifferenceResponse:
        row = await self.context.stores.bills.settle(params.id, self.operator.name, params.reason)
        return BillDifferenceResponse.model_validate(row)


class OpsInboxHandler(OperatorHandler):
    """Callbacks received from Tencent and WeChat, newest first.

    `q` is the start of a callback id or order number, `event` the name of an event of WeChat that
    moves no gold.
    """

    @endpoint()
    async def get(self, params: InboxSearchRequest) -> Page[InboxMessageResponse]:
        rows, cursor = await self.context.stores.inbox.page(
            params.source,
            params.outcome,
            params.after,
            PAGE_SIZE,
            search=params.q,
            event=params.event,
        )
        return Page[InboxMessageResponse].of(rows, cursor)


class OpsInboxRetryHandler(OperatorHandler):
    """Process a verified payment notification again, e.g. after correcting its order."""

    async def target_state(self) -> Mapping[str, Any]:
        message = await self.context.stores.inbox.find(str(self.parameters().get("id")))
        return {"outcome": message["outcome"], "reason": message["reason"]} if message else {}

    @endpoint(errors=[NotFound, ServiceUnavailable("wechat"), ServiceUnavailable("pay")])
    async def post(self, params: RetryRequest) -> OutcomeResponse:
        result = await self.context.services.payments.notifications.reprocess(params.id)
        return OutcomeResponse(outcome=result.outcome, reason=result.reason)


def _block(row: Mapping[str, Any]) -> OpsBlockResponse:
    return OpsBlockResponse(**block_response(row).model_dump(), next=row.get("next"))
