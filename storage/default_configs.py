"""Default configs for the mini-program, stored by the first start."""

from typing import Any

import structlog

from storage.configs import LIST_KEYS, RATE_KEYS, ConfigStore
from storage.database import Document
from storage.defaults import DefaultRowStore

log = structlog.get_logger("qlive.storage")

_IMAGES = "https://images.daqinjia.cn/qlive/"
_COUPLE = "7a4d1e70-ba76-11e9-8d1e-8c89a53fe892.png"


def _config(key: str, value: Any, remark: str = "") -> Document:
    return {"key": key, "value": value, "enabled": True, "remark": remark}


def _share(key: str, title: str, picture: str) -> Document:
    return _config(key, {"title": title, "src": _IMAGES + picture})


# By the name under which each is recorded as stored; neither names nor order may change.
DEFAULTS: dict[str, Document] = {
    "PROGRAM_SHARE_1": _share(
        "PROGRAM_SHARE", "优质好男人都在这里等你！", "7a0d0740-ba76-11e9-a743-8c89a53fe892.png"
    ),
    "PROGRAM_SHARE_2": _share(
        "PROGRAM_SHARE", "单身相亲女士聚集地", "7a265bfe-ba76-11e9-95a3-8c89a53fe892.png"
    ),
    "PROGRAM_SHARE_3": _share(
        "PROGRAM_SHARE", "介绍对象也能赚钱？", "7a538728-ba76-11e9-a5d8-8c89a53fe892.png"
    ),
    "PROGRAM_SHARE_4": _share(
        "PROGRAM_SHARE", "一大波优质相亲者在这里等你", "7a452f12-ba76-11e9-acbc-8c89a53fe892.png"
    ),
    "LIVEROOM_SHARE_1": _share("LIVEROOM_SHARE", "又有一对情侣在一起了", _COUPLE),
    "LIVEROOM_SHARE_2": _share("LIVEROOM_SHARE", "介绍对象成功了", _COUPLE),
    "LIVEROOM_SHARE_3": _share("LIVEROOM_SHARE", "牵线又一次成功，你来吗？", _COUPLE),
    "INDEX_BANNER": _config("INDEX_BANNER", f"{_IMAGES}b91f4cdc-b8ee-11e9-a4e5-8c89a53fe892.png"),
    "BACKGROUND": _config(
        "BACKGROUND",
        {
            "color": "#f69c9a",
            "height": 1954,
            "src": f"{_IMAGES}0eace3c6-b9c2-11e9-aec7-8c89a53fe892.png",
        },
    ),
    "EXCHANGE_RATE": _config("EXCHANGE_RATE", 0.5, "income per gold of a gift"),
    "WITHDRAW_RATE": _config("WITHDRAW_RATE", 0.1, "yuan per income withdrawn"),
}


async def store_default_configs(defaults: DefaultRowStore, configs: ConfigStore) -> None:
    """Store the defaults that were never stored, and each rate that has no row at all."""
    if stored := await defaults.store(configs, DEFAULTS, _is_default, required=RATE_KEYS):
        log.info("default_configs_stored", names=stored)


def _is_default(row: Document, default: Document, position: int) -> bool:
    """Whether the keys are equal; entries of a list have one key, and differ by value."""
    if row["key"] != default["key"]:
        return False
    return row["key"] not in LIST_KEYS or row["value"] == default["value"] or row["id"] == position
