"""configs: keys and JSON values for the mini-program, and the two exchange rates."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any

from storage.catalogue import CatalogueStore
from storage.database import Document

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

    async def rates(self) -> dict[str, Decimal | None]:
        """The RATE_KEYS; None for one that is missing, disabled, or no number from 0."""
        found = self._rows.find({"key": {"$in": [*RATE_KEYS]}, "enabled": True}).sort("_id", 1)
        newest = {row["key"]: row["value"] async for row in found}
        return {key: _rate_from(newest[key]) if key in newest else None for key in RATE_KEYS}

    async def is_only_rate(self, config: Document) -> bool:
        """Whether this config is the only enabled one of a rate."""
        if config["key"] not in RATE_KEYS or not config["enabled"]:
            return False
        other = {"key": config["key"], "enabled": True, "_id": {"$ne": config["id"]}}
        return await self._rows.find_one(other, {"_id": 1}) is None


def _rate_from(value: str) -> Decimal | None:
    try:
        rate = Decimal(str(json.loads(value)))
    except (InvalidOperation, ValueError):
        return None
    return rate if rate.is_finite() and rate >= 0 else None
