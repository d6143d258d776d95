"""configs: keys and JSON values for the mini-program, and the two rates of money."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any

from storage.shelf import Shelf

LISTS = ("PROGRAM_SHARE", "LIVEROOM_SHARE")
"""Keys that repeat: each document is one item of the list."""
RATES = ("EXCHANGE_RATE", "WITHDRAW_RATE")


class Configs(Shelf):
    """A value is stored as JSON text: what JSON can say is more than a document can hold."""

    name = "configs"

    def to_row(self, fields: dict[str, Any]) -> dict[str, Any]:
        if "value" in fields:
            fields = {**fields, "value": json.dumps(fields["value"])}
        return fields

    def from_row(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "value": json.loads(row["value"])}

    async def shown(self) -> dict[str, Any]:
        """Everything enabled but the rates, as the mini-program reads it."""
        answer: dict[str, Any] = {}
        for row in await self.all():
            if not row["enabled"] or row["key"] in RATES:
                continue
            if row["key"] in LISTS:
                answer.setdefault(row["key"], []).append(row["value"])
            else:
                answer[row["key"]] = row["value"]
        return answer

    async def rate(self, key: str) -> Decimal:
        """EXCHANGE_RATE or WITHDRAW_RATE; 0 when it is missing or no number."""
        row = await self._rows.find_one({"key": key, "enabled": True}, sort=[("_id", -1)])
        try:
            rate = Decimal(str(json.loads(row["value"]))) if row else Decimal(0)
        except InvalidOperation:
            return Decimal(0)
        return rate if rate.is_finite() and rate >= 0 else Decimal(0)
