"""Operators' endpoints: gifts, recharge blocks and configs."""

from collections.abc import Mapping
from typing import Any

from core.errors import NotFound
from handlers.base import endpoint
from handlers.gold import block_response
from handlers.ops.base import OperatorHandler
from handlers.schemas import ops_money, ops_requests, ops_responses, responses
from handlers.schemas.responses import OkResponse, Page
from services.errors import RateRequired
from storage.database import Document
from storage.errors import BlockNotFound, GiftNotFound
from storage.operators.approvals import Approval


class OpsGiftsHandler(OperatorHandler):
    @endpoint()
    async def get(self) -> Page[responses.GiftResponse]:
        """All gifts."""
        return Page[responses.GiftResponse].of(await self.context.stores.gifts.all())

    @endpoint()
    async def post(self, params: ops_requests.NewGiftRequest) -> responses.GiftResponse:
        """Add a gift."""
        self.created = row = await self.context.services.catalogue.change(
            self.context.stores.gifts, {}, params.model_dump()
        )
        return responses.GiftResponse.model_validate(row)


class OpsGiftHandler(OperatorHandler):
    async def target_state(self) -> Mapping[str, Any]:
        return await self.context.stores.gifts.find(int(self.path_args[0])) or {}

    @endpoint(errors=[GiftNotFound])
    async def patch(
        self, number: str, params: ops_requests.GiftChangeRequest
    ) -> responses.GiftResponse:
        """Change a gift."""
        row = await self._change_gift(int(number), params.model_dump(exclude_none=True))
        return responses.GiftResponse.model_validate(row)

    @endpoint(errors=[GiftNotFound])
    async def delete(self, number: str) -> OkResponse:
        """Remove a gift."""
        await self._change_gift(int(number), None)
        return OkResponse()

    async def _change_gift(self, number: int, fields: Document | None) -> Document:
        gifts = self.context.stores.gifts
        return await self.context.services.catalogue.change(gifts, await gifts.get(number), fields)


class OpsBlocksHandler(OperatorHandler):
    @endpoint()
    async def get(self) -> Page[responses.BlockResponse]:
        """All recharge blocks, cheapest first."""
        rows = await self.context.stores.blocks.all()
        return Page[responses.BlockResponse].of(map(block_response, rows))

    @endpoint()
    async def post(
        self, params: ops_requests.NewBlockRequest
    ) -> responses.BlockResponse | ops_money.ApprovalResponse:
        """Add a recharge block, which waits for another operator."""
        fields = {"gold": params.gold, "fen": params.price}
        answer = await self.context.services.approvals.change_catalogue(
            "block", None, fields, self.operator.name
        )
        self.created = None if isinstance(answer, Approval) else answer
        return self.unless_waiting(answer, block_response)


class OpsBlockHandler(OperatorHandler):
    async def target_state(self) -> Mapping[str, Any]:
        return await self.context.stores.blocks.find(int(self.path_args[0])) or {}

    @endpoint(errors=[BlockNotFound])
    async def patch(
        self, number: str, params: ops_requests.BlockChangeRequest
    ) -> responses.BlockResponse | ops_money.ApprovalResponse:
        """Change a recharge block; of its gold or price, that waits for another operator."""
        changes = params.model_dump(exclude_none=True)
        if "price" in changes:
            changes["fen"] = changes.pop("price")
        answer = await self.context.services.approvals.change_catalogue(
            "block", int(number), changes, self.operator.name
        )
        return self.unless_waiting(answer, block_response)

    @endpoint(errors=[BlockNotFound])
    async def delete(self, number: str) -> OkResponse:
        """Remove a recharge block."""
        await self.context.services.approvals.change_catalogue(
            "block", int(number), None, self.operator.name
        )
        return OkResponse()


class OpsConfigsHandler(OperatorHandler):
    @endpoint()
    async def get(self) -> Page[ops_responses.ConfigResponse]:
        """All configs, including the exchange rate and the withdrawal rate."""
        return Page[ops_responses.ConfigResponse].of(await self.context.stores.configs.all())

    @endpoint()
    async def post(
        self, params: ops_requests.NewConfigRequest
    ) -> ops_responses.ConfigResponse | ops_money.ApprovalResponse:
        """Add a config; one of a rate waits for another operator."""
        answer = await self.context.services.approvals.change_catalogue(
            "config", None, params.model_dump(), self.operator.name
        )
        self.created = None if isinstance(answer, Approval) else answer
        return self.unless_waiting(answer, ops_responses.ConfigResponse.model_validate)


class OpsConfigHandler(OperatorHandler):
    async def target_state(self) -> Mapping[str, Any]:
        return await self.context.stores.configs.find(int(self.path_args[0])) or {}

    @endpoint(errors=[NotFound, RateRequired])
    async def patch(
        self, number: str, params: ops_requests.ConfigChangeRequest
    ) -> ops_responses.ConfigResponse | ops_money.ApprovalResponse:
        """Change a config; of a rate, all but its remark waits for another operator."""
        changes = params.model_dump(exclude_none=True)
        if "value" in params.model_fields_set:  # null is a valid value
            changes["value"] = params.value
        answer = await self.context.services.approvals.change_catalogue(
            "config", int(number), changes, self.operator.name
        )
        return self.unless_waiting(answer, ops_responses.ConfigResponse.model_validate)

    @endpoint(errors=[NotFound, RateRequired])
    async def delete(self, number: str) -> OkResponse | ops_money.ApprovalResponse:
        """Remove a config; that of a rate waits for another operator."""
        answer = await self.context.services.approvals.change_catalogue(
            "config", int(number), None, self.operator.name
        )
        return self.unless_waiting(answer, lambda _removed: OkResponse())
