"""configs: keys and JSON values for the mini-program, and the two exchange rates."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any

from storage.catalogue import CatalogueStore

LIST_KEYS = ("PROGRAM_SHARE", "LIVEROOM_SHARE")
"""Keys with a list of values, each a document of its own."""
RATE_KEYS = ("EXCHANGE_RATE", "WITHDRAW_RATE")


class ConfigStore(CatalogueStore):
    """Stores values as JSON text, since BSON cannot represent every JSON value."""

    name = "configs"

    def to_row(self, fields: dict[str, Any]) -> dict[str, Any]:
        if "value" in fields:
            fields = {**fields, "value": json.dumps(fields["value"])}
        return fields

    def from_row(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "value": json.loads(row["value"])}

    async def public_values(self) -> dict[str, Any]:
        """Enabled configs without the rates, as the mini-program reads them."""
        configs: dict[str, Any] = {}
        for row in await self.all():
            if not row["enabled"] or row["key"] in RATE_KEYS:
                continue
            if row["key"] in LIST_KEYS:
                configs.setdefault(row["key"], []).append(row["value"])
            else:
                configs[row["key"]] = row["value"]
        return configs

    async def rate(self, key: str) -> Decimal:
        """EXCHANGE_RATE or WITHDRAW_RATE; 0 if it is missing, negative or not a number."""
        row = await self._rows.find_one({"key": key, "enabled": True}, sort=[("_id", -1)])
        try:
            rate = Decimal(str(json.loads(row["value"]))) if row else Decimal(0)
        except InvalidOperation:
            return Decimal(0)
        return rate if rate.is_finite() and rate >= 0 else Decimal(0)
