"""Operators' endpoints of recharge blocks, orders and the inbox of callbacks."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema

from core.errors import NotFound
from handlers.base import endpoint
from handlers.gold.console import CatalogueHandler
from handlers.models import (
    CursorRequest,
    Gold,
    IdSearchRequest,
    Page,
    ReasonRequest,
    Request,
    Response,
)
from handlers.operator_base import PAGE_SIZE, ApprovalResponse, NextFieldsResponse, OperatorHandler
from handlers.payments.payments import BlockResponse
from ledger.bills import BillName, Category, Kind
from ledger.recharge import OrderState
from storage.errors import AlreadyDecided, BlockNotFound, NothingWaits
from storage.jobs.inbox import Outcome
from tencent.errors import ServiceUnavailable


def _fen(price: Any) -> Any:
    """Convert a yuan string with at most two decimals to fen."""
    if not isinstance(price, str) or not re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,2})?", price):
        raise ValueError("a price is a string of yuan like 6.00")
    return int(Decimal(price) * 100)


_YUAN = {"type": "string", "pattern": r"^(?!0+(\.0+)?$)[0-9]{1,7}(\.[0-9]{1,2})?$"}
Price = Annotated[int, BeforeValidator(_fen), Field(ge=1), WithJsonSchema(_YUAN)]


class NewBlockRequest(Request):
    gold: Annotated[Gold, Field(ge=1)]
    price: Annotated[Price, Field(serialization_alias="fen")]


class BlockChangeRequest(Request):
    gold: Annotated[Gold, Field(ge=1, examples=[60])] | None = None
    price: Annotated[Price | None, Field(serialization_alias="fen")] = None


class OrderSearchRequest(IdSearchRequest):
    user_id: Annotated[str, StringConstraints(max_length=8)] = ""
    state: Literal["", OrderState] = ""


class InboxSearchRequest(IdSearchRequest):
    source: Literal["", "im", "live", "jsapi", "xpay", "transfer"] = ""
    outcome: Literal["", "received", Outcome] = ""
    event: Annotated[str, StringConstraints(max_length=64)] = ""


class RetryRequest(Request):
    id: Annotated[str, StringConstraints(min_length=1, max_length=400)]


class OpsBlockResponse(BlockResponse):
    """`next`: the change of gold or price that waits; null without one."""

    next: NextFieldsResponse | None = None


class OpsOrderResponse(Response):
    """An order of `gold` for `fen`; `refunded` is the amount in fen that was paid back.

    `paid_fen` is what the buyer was charged, if the provider has named it: less after a discount.
    A confirmed refund case has the whole order count as refunded, also if it is settled.
    `platform`: the buyer's system as the client names it, `ios` once Apple has asked about the
    order; "" if unknown.
    """

    id: Annotated[str, Field(validation_alias="_id")]
    user_id: str
    provider: str
    product: str
    fen: int
    gold: int
    state: str
    sandbox: bool
    platform: str = ""
    transaction: str = ""
    refused: str = ""
    """Reason why a reported payment was not accepted."""
    paid_fen: int | None = None
    refunded: int = 0
    queries: int
    created_at: datetime
    paid_at: datetime | None = None
    closed_at: datetime | None = None


class BillResponse(Response):
    """A bill of a day, or a month of iOS; `problem`: why it waits or cannot be read."""

    id: Annotated[str, Field(validation_alias="_id")]
    type: BillName
    period: str
    state: Literal["waiting", "done", "unreadable"]
    problem: str
    rows: int
    checked_at: datetime


class BillDifferenceResponse(Response):
    """A movement about which a bill and the books disagree; `number` is ours, if there is one.

    `agreed`: a later comparison found no difference; `settled`: an operator has dealt with it.
    """

    id: Annotated[str, Field(validation_alias="_id")]
    bill: str
    kind: Kind
    category: Category
    number: str
    order: str
    user_id: str
    fen_there: int | None
    fen_here: int | None
    detail: str
    state: Literal["open", "agreed", "settled"]
    found_at: datetime
    closed_at: datetime | None = None
    by: str = ""
    note: str = ""


class DifferenceSearchRequest(CursorRequest):
    state: Literal["open", "agreed", "settled", ""] = ""


class SettleDifferenceRequest(ReasonRequest):
    id: Annotated[
        str,
        StringConstraints(min_length=1, max_length=300),
        Field(examples=["other_amount:payment:Q0"]),
    ]


class InboxMessageResponse(Response):
    """A stored callback; `genuine`: verified, `times`: number of deliveries.

    `event`: name of an event of WeChat that moves no gold, `answer`: what it was answered.
    """

    id: Annotated[str, Field(validation_alias="_id")]
    source: str
    query: str
    raw: str
    genuine: bool
    outcome: str
    reason: str
    times: int
    received_at: datetime
    event: str = ""
    answer: dict[str, Any] | None = None


class OutcomeResponse(Response):
    outcome: str
    reason: str


class BlockCatalogueHandler(CatalogueHandler):
    kind = "block"


class OpsBlocksHandler(BlockCatalogueHandler):
    @endpoint()
    async def get(self) -> Page[OpsBlockResponse]:
        """All recharge blocks, cheapest first."""
        return Page[OpsBlockResponse].of(await self.rows.all())

    @endpoint()
    async def post(self, params: NewBlockRequest) -> OpsBlockResponse | ApprovalResponse:
        """Add a recharge block, which waits for another operator."""
        answer = await self.change(None, params.model_dump(by_alias=True))
        return self.unless_waiting(answer, OpsBlockResponse)


class OpsBlockHandler(BlockCatalogueHandler):
    @endpoint(errors=[BlockNotFound])
    async def patch(
        self, number: str, params: BlockChangeRequest
    ) -> OpsBlockResponse | ApprovalResponse:
        """Change a block's gold or price; that waits for another operator, then for midnight."""
        changes = params.model_dump(by_alias=True, exclude_none=True)
        return self.unless_waiting(await self.change(number, changes), OpsBlockResponse)

    @endpoint(errors=[BlockNotFound])
    async def delete(self, number: str) -> None:
        """Remove a recharge block."""
        await self.change(number, None)


class OpsNextBlockHandler(BlockCatalogueHandler):
    @endpoint(errors=[BlockNotFound, NothingWaits])
    async def delete(self, number: str) -> OpsBlockResponse:
        """Withdraw the change of a block that waits for midnight; refused once it has come."""
        return OpsBlockResponse.model_validate(await self.unschedule(number))


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


class OpsCloseDifferenceHandler(OperatorHandler):
    """Close a difference that has been dealt with; the reason is kept as its note."""

    async def target_details(self) -> Mapping[str, Any]:
        """Return the user, by whom the entry is found."""
        row = await self.context.stores.bills.difference(str(self.parameters().get("id")))
        return {"user_id": row["user_id"]} if row else {}

    async def target_state(self) -> Mapping[str, Any]:
        row = await self.context.stores.bills.difference(str(self.parameters().get("id")))
        return {"state": row["state"], "number": row["number"]} if row else {}

    @endpoint(errors=[NotFound, AlreadyDecided])
    async def post(self, params: SettleDifferenceRequest) -> BillDifferenceResponse:
        row = await self.context.stores.bills.close(params.id, self.operator.name, params.reason)
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
