"""configs: keys and JSON values for the mini-program, and the two exchange rates."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any

from storage.catalogue import CatalogueStore
from storage.database import Document

LIST_KEYS = ("PROGRAM_SHARE", "LIVEROOM_SHARE")
"""Keys with a list of values, each a document of its own."""
RATE_KEYS = ("EXCHANGE_RATE", "WITHDRAW_RATE")
_IMAGES = "https://images.daqinjia.cn/qlive/"
_COUPLE = "7a4d1e70-ba76-11e9-8d1e-8c89a53fe892.png"


def _config(key: str, value: Any, remark: str = "") -> Document:
    return {"key": key, "value": value, "enabled": True, "remark": remark}


def _share(key: str, title: str, picture: str) -> Document:
    return _config(key, {"title": title, "src": _IMAGES + picture})


DEFAULTS = [
    _share("PROGRAM_SHARE", "优质好男人都在这里等你！", "7a0d0740-ba76-11e9-a743-8c89a53fe892.png"),
    _share("PROGRAM_SHARE", "单身相亲女士聚集地", "7a265bfe-ba76-11e9-95a3-8c89a53fe892.png"),
    _share("PROGRAM_SHARE", "介绍对象也能赚钱？", "7a538728-ba76-11e9-a5d8-8c89a53fe892.png"),
    _share(
        "PROGRAM_SHARE", "一大波优质相亲者在这里等你", "7a452f12-ba76-11e9-acbc-8c89a53fe892.png"
    ),
    _share("LIVEROOM_SHARE", "又有一对情侣在一起了", _COUPLE),
    _share("LIVEROOM_SHARE", "介绍对象成功了", _COUPLE),
    _share("LIVEROOM_SHARE", "牵线又一次成功，你来吗？", _COUPLE),
    _config("INDEX_BANNER", f"{_IMAGES}b91f4cdc-b8ee-11e9-a4e5-8c89a53fe892.png"),
    _config(
        "BACKGROUND",
        {
            "color": "#f69c9a",
            "height": 1954,
            "src": f"{_IMAGES}0eace3c6-b9c2-11e9-aec7-8c89a53fe892.png",
        },
    ),
    _config("EXCHANGE_RATE", 0.5, "income per gold of a gift"),
    _config("WITHDRAW_RATE", 0.1, "yuan per income withdrawn"),
]
"""Stored by the first start."""


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
        """Whether this config of a rate is its only enabled one."""
        if not config["enabled"]:
            return False
        other = {"key": config["key"], "enabled": True, "_id": {"$ne": config["id"]}}
        return await self._rows.find_one(other, {"_id": 1}) is None


def _rate_from(value: str) -> Decimal | None:
    try:
        rate = Decimal(str(json.loads(value)))
    except (InvalidOperation, ValueError):
        return None
    return rate if rate.is_finite() and rate >= 0 else None
