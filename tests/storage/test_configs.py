from decimal import Decimal
from typing import Any

import pytest

from storage.seed import DEFAULTS, plant
from tests.storage.conftest import House

gen_test = pytest.mark.gen_test(timeout=60)


async def put(house: House, key: str, value: Any, enabled: bool = True) -> int:
    return (await house.configs.add(key=key, value=value, enabled=enabled, remark=""))["id"]


@gen_test
async def test_every_json_value_comes_back_as_it_was(house: House) -> None:
    for value in ("text", 1, 1.5, None, True, ["a"], {"a.b": {"$c": 2**70}}):
        number = await put(house, "KEY", value)
        assert (await house.configs.get(number))["value"] == value
        assert (await house.configs.edit(number, value=[value]))["value"] == [value]
        assert (await house.configs.edit(number, remark="r"))["value"] == [value]


@gen_test
async def test_what_is_shown_is_enabled_and_no_rate(house: House) -> None:
    await put(house, "INDEX_BANNER", "old")
    await put(house, "INDEX_BANNER", "new")
    await put(house, "HIDDEN", 1, enabled=False)
    await put(house, "EXCHANGE_RATE", 0.5)
    await put(house, "WITHDRAW_RATE", 0.1)
    for n in range(2):
        await put(house, "PROGRAM_SHARE", {"n": n})
    await put(house, "LIVEROOM_SHARE", {"n": 9})
    assert await house.configs.shown() == {
        "INDEX_BANNER": "new",
        "PROGRAM_SHARE": [{"n": 0}, {"n": 1}],
        "LIVEROOM_SHARE": [{"n": 9}],
    }


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        (0.1, "0.1"),
        ("0.25", "0.25"),
        (1, "1"),
        (0, "0"),
        ("half", "0"),
        (-1, "0"),
        ("NaN", "0"),
        ("Infinity", "0"),
        (None, "0"),
        ([], "0"),
    ],
)
@gen_test
async def test_a_rate_is_exact_and_never_nonsense(house: House, value: Any, rate: str) -> None:
    await put(house, "EXCHANGE_RATE", value)
    assert await house.configs.rate("EXCHANGE_RATE") == Decimal(rate)


@gen_test
async def test_the_newest_enabled_rate_counts_and_without_one_it_is_zero(house: House) -> None:
    assert await house.configs.rate("EXCHANGE_RATE") == 0
    await put(house, "EXCHANGE_RATE", 0.3)
    await put(house, "EXCHANGE_RATE", 0.4)
    await put(house, "EXCHANGE_RATE", 0.5, enabled=False)
    assert await house.configs.rate("EXCHANGE_RATE") == Decimal("0.4")


@gen_test
async def test_the_defaults_are_planted_once(house: House) -> None:
    await plant(house.configs)
    assert len(await house.configs.all()) == len(DEFAULTS)
    assert await house.configs.rate("EXCHANGE_RATE") == Decimal("0.5")
    assert await house.configs.rate("WITHDRAW_RATE") == Decimal("0.1")
    shown = await house.configs.shown()
    assert shown.keys() == {"PROGRAM_SHARE", "LIVEROOM_SHARE", "INDEX_BANNER", "BACKGROUND"}
    await house.configs.remove(1)
    await plant(house.configs)
    assert len(await house.configs.all()) == len(DEFAULTS) - 1
