"""Default configs for the mini-program, stored on the first start."""

from typing import Any

from storage.configs import ConfigStore

_IMAGES = "https://images.daqinjia.cn/qlive/"
_COUPLE = f"{_IMAGES}7a4d1e70-ba76-11e9-8d1e-8c89a53fe892.png"

DEFAULTS: list[tuple[str, Any, str]] = [
    (
        "PROGRAM_SHARE",
        {
            "title": "优质好男人都在这里等你！",
            "src": f"{_IMAGES}7a0d0740-ba76-11e9-a743-8c89a53fe892.png",
        },
        "",
    ),
    (
        "PROGRAM_SHARE",
        {
            "title": "单身相亲女士聚集地",
            "src": f"{_IMAGES}7a265bfe-ba76-11e9-95a3-8c89a53fe892.png",
        },
        "",
    ),
    (
        "PROGRAM_SHARE",
        {
            "title": "介绍对象也能赚钱？",
            "src": f"{_IMAGES}7a538728-ba76-11e9-a5d8-8c89a53fe892.png",
        },
        "",
    ),
    (
        "PROGRAM_SHARE",
        {
            "title": "一大波优质相亲者在这里等你",
            "src": f"{_IMAGES}7a452f12-ba76-11e9-acbc-8c89a53fe892.png",
        },
        "",
    ),
    ("LIVEROOM_SHARE", {"title": "又有一对情侣在一起了", "src": _COUPLE}, ""),
    ("LIVEROOM_SHARE", {"title": "介绍对象成功了", "src": _COUPLE}, ""),
    ("LIVEROOM_SHARE", {"title": "牵线又一次成功，你来吗？", "src": _COUPLE}, ""),
    ("INDEX_BANNER", f"{_IMAGES}b91f4cdc-b8ee-11e9-a4e5-8c89a53fe892.png", ""),
    (
        "BACKGROUND",
        {
            "color": "#f69c9a",
            "height": 1954,
            "src": f"{_IMAGES}0eace3c6-b9c2-11e9-aec7-8c89a53fe892.png",
        },
        "",
    ),
    ("EXCHANGE_RATE", 0.5, "income per gold of a gift"),
    ("WITHDRAW_RATE", 0.1, "yuan per income withdrawn"),
]


async def store_default_configs(configs: ConfigStore) -> None:
    """Store the defaults if there are no configs at all."""
    if await configs.is_empty():
        for key, value, remark in DEFAULTS:
            await configs.add(key=key, value=value, enabled=True, remark=remark)
