"""Operators' endpoints: gifts, recharge blocks and configs."""

from collections.abc import Mapping
from typing import Any

from core.errors import InvalidParameter, NotFound
from handlers.base import endpoint
from handlers.ops.base import OperatorHandler
from handlers.pay import yuan
from handlers.schemas import ops_requests, ops_responses
from handlers.schemas.responses import OkResponse
from services.errors import RateRequired
from storage.configs import RATE_KEYS
from storage.errors import BlockNotFound, GiftNotFound


class OpsGiftsHandler(OperatorHandler):
    """All gifts."""

    @endpoint()
    async def get(self) -> ops_responses.GiftsResponse:
        rows = await self.context.stores.gifts.all()
        return ops_responses.GiftsResponse(
            items=[ops_responses.OpsGiftResponse.model_validate(row) for row in rows]
        )

    @endpoint()
    async def post(self, params: ops_requests.NewGiftRequest) -> ops_responses.OpsGiftResponse:
        self.created = row = await self.context.services.catalogue.add_gift(**params.model_dump())
        return ops_responses.OpsGiftResponse.model_validate(row)


class OpsGiftHandler(OperatorHandler):
    """One gift."""

    async def target_state(self) -> Mapping[str, Any]:
        return await self.context.stores.gifts.find(int(self.path_args[0])) or {}

    @endpoint(errors=[GiftNotFound])
    async def patch(
        self, number: str, params: ops_requests.GiftChangeRequest
    ) -> ops_responses.OpsGiftResponse:
        changes = params.model_dump(exclude_none=True)
        row = await self.context.services.catalogue.edit_gift(int(number), **changes)
        return ops_responses.OpsGiftResponse.model_validate(row)

    @endpoint(errors=[GiftNotFound])
    async def delete(self, number: str) -> OkResponse:
        await self.context.services.catalogue.remove_gift(int(number))
        return OkResponse()


class OpsBlocksHandler(OperatorHandler):
    """All recharge blocks, cheapest first."""

    @endpoint()
    async def get(self) -> ops_responses.BlocksResponse:
        return ops_responses.BlocksResponse(
            items=[_block(row) for row in await self.context.stores.blocks.all()]
        )

    @endpoint()
    async def post(self, params: ops_requests.NewBlockRequest) -> ops_responses.OpsBlockResponse:
        self.created = row = await self.context.stores.blocks.add(
            gold=params.gold, fen=params.price
        )
        return _block(row)


class OpsBlockHandler(OperatorHandler):
    """One recharge block."""

    async def target_state(self) -> Mapping[str, Any]:
        return await self.context.stores.blocks.find(int(self.path_args[0])) or {}

    @endpoint(errors=[BlockNotFound])
    async def patch(
        self, number: str, params: ops_requests.BlockChangeRequest
    ) -> ops_responses.OpsBlockResponse:
        changes = params.model_dump(exclude_none=True)
        if "price" in changes:
            changes["fen"] = changes.pop("price")
        return _block(await self.context.stores.blocks.edit(int(number), **changes))

    @endpoint(errors=[BlockNotFound])
    async def delete(self, number: str) -> OkResponse:
        await self.context.stores.blocks.remove(int(number))
        return OkResponse()


class OpsConfigsHandler(OperatorHandler):
    """All configs, including the exchange rate and the withdrawal rate."""

    @endpoint()
    async def get(self) -> ops_responses.OpsConfigsResponse:
        rows = await self.context.stores.configs.all()
        return ops_responses.OpsConfigsResponse(
            items=[ops_responses.ConfigResponse.model_validate(row) for row in rows]
        )

    @endpoint()
    async def post(self, params: ops_requests.NewConfigRequest) -> ops_responses.ConfigResponse:
        _check_rate(params.key, params.value)
        self.created = row = await self.context.services.catalogue.add_config(**params.model_dump())
        return ops_responses.ConfigResponse.model_validate(row)


class OpsConfigHandler(OperatorHandler):
    """One config."""

    async def target_state(self) -> Mapping[str, Any]:
        return await self.context.stores.configs.find(int(self.path_args[0])) or {}

    @endpoint(errors=[NotFound, RateRequired])
    async def patch(
        self, number: str, params: ops_requests.ConfigChangeRequest
    ) -> ops_responses.ConfigResponse:
        changes = params.model_dump(exclude_none=True)
        if "value" in params.model_fields_set:  # null is a valid value
            changes["value"] = params.value
        old = await self.context.stores.configs.get(int(number))
        _check_rate(str(changes.get("key", old["key"])), changes.get("value", old["value"]))
        row = await self.context.services.catalogue.edit_config(int(number), **changes)
        return ops_responses.ConfigResponse.model_validate(row)

    @endpoint(errors=[NotFound, RateRequired])
    async def delete(self, number: str) -> OkResponse:
        await self.context.services.catalogue.remove_config(int(number))
        return OkResponse()


def _block(row: dict[str, Any]) -> ops_responses.OpsBlockResponse:
    return ops_responses.OpsBlockResponse(id=row["id"], gold=row["gold"], price=yuan(row["fen"]))


def _check_rate(key: str, value: Any) -> None:
    if key in RATE_KEYS and not ops_requests.is_rate(value):
        raise InvalidParameter({"value": "a rate is a number from 0 to 1"})
