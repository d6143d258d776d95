"""Operators and what they put up: gifts, recharge blocks, configs."""

from typing import Any

from handlers.answers import Ok
from handlers.base import call
from handlers.ops import answers, asks
from handlers.ops.base import PAGE, Operator
from handlers.pay import yuan
from rooms.refusals import BadParameter
from storage.configs import RATES


class Gifts(Operator):
    """All gifts."""

    @call
    async def get(self) -> answers.Gifts:
        rows = await self.parts.gifts.all()
        return answers.Gifts(items=[answers.Gift.model_validate(row) for row in rows])

    @call
    async def post(self, ask: asks.NewGift) -> answers.Gift:
        row = await self.parts.gifts.add(**ask.model_dump())
        self.parts.catalogue.edited()
        return answers.Gift.model_validate(row)


class OneGift(Operator):
    """One gift."""

    @call
    async def patch(self, number: str, ask: asks.GiftChange) -> answers.Gift:
        changes = ask.model_dump(exclude_none=True)
        row = await self.parts.gifts.edit(int(number), **changes)
        self.parts.catalogue.edited()
        return answers.Gift.model_validate(row)

    @call
    async def delete(self, number: str) -> Ok:
        await self.parts.gifts.remove(int(number))
        self.parts.catalogue.edited()
        return Ok()


class Blocks(Operator):
    """All recharge blocks, the cheapest first."""

    @call
    async def get(self) -> answers.Blocks:
        return answers.Blocks(items=[_block(row) for row in await self.parts.blocks.all()])

    @call
    async def post(self, ask: asks.NewBlock) -> answers.Block:
        return _block(await self.parts.blocks.add(gold=ask.gold, fen=ask.price))


class OneBlock(Operator):
    """One recharge block."""

    @call
    async def patch(self, number: str, ask: asks.BlockChange) -> answers.Block:
        changes = ask.model_dump(exclude_none=True)
        if "price" in changes:
            changes["fen"] = changes.pop("price")
        return _block(await self.parts.blocks.edit(int(number), **changes))

    @call
    async def delete(self, number: str) -> Ok:
        await self.parts.blocks.remove(int(number))
        return Ok()


class Configs(Operator):
    """All configs, the two rates of money among them."""

    @call
    async def get(self) -> answers.Configs:
        rows = await self.parts.configs.all()
        return answers.Configs(items=[answers.Config.model_validate(row) for row in rows])

    @call
    async def post(self, ask: asks.NewConfig) -> answers.Config:
        _check_rate(ask.key, ask.value)
        row = await self.parts.configs.add(**ask.model_dump())
        self.parts.catalogue.edited()
        return answers.Config.model_validate(row)


class OneConfig(Operator):
    """One config."""

    @call
    async def patch(self, number: str, ask: asks.ConfigChange) -> answers.Config:
        changes = ask.model_dump(exclude_none=True)
        if "value" in ask.model_fields_set:  # null is a value like any other
            changes["value"] = ask.value
        now = await self.parts.configs.get(int(number))
        _check_rate(str(changes.get("key", now["key"])), changes.get("value", now["value"]))
        row = await self.parts.configs.edit(int(number), **changes)
        self.parts.catalogue.edited()
        return answers.Config.model_validate(row)

    @call
    async def delete(self, number: str) -> Ok:
        await self.parts.configs.remove(int(number))
        self.parts.catalogue.edited()
        return Ok()


class AuditLog(Operator):
    """What operators asked for, the newest first."""

    @call
    async def get(self, ask: asks.AuditSearch) -> answers.AuditPage:
        rows = await self.parts.audit.page(ask.after or None, PAGE, said=ask.q, changes=ask.changes)
        more = rows[-1]["id"] if len(rows) == PAGE else None
        return answers.AuditPage(
            items=[answers.AuditEntry.model_validate(row) for row in rows], next=more
        )


def _block(row: dict[str, Any]) -> answers.Block:
    return answers.Block(id=row["id"], gold=row["gold"], price=yuan(row["fen"]))


def _check_rate(key: str, value: Any) -> None:
    if key in RATES and not asks.is_rate(value):
        raise BadParameter({"value": "a rate is a number from 0 to 1"})
