from decimal import Decimal
from typing import Any

import pytest

from storage.default_configs import DEFAULTS, store_default_configs
from tests.support.storage import StoresFixture

gen_test = pytest.mark.gen_test(timeout=60)


async def add(stores: StoresFixture, key: str, value: Any, enabled: bool = True) -> int:
    return (await stores.configs.add(key=key, value=value, enabled=enabled, remark=""))["id"]


@gen_test
async def test_json_values_are_stored_unchanged(stores: StoresFixture) -> None:
    for value in ("text", 1, 1.5, None, True, ["a"], {"a.b": {"$c": 2**70}}):
        number = await add(stores, "KEY", value)
        assert (await stores.configs.get(number))["value"] == value
        assert (await stores.configs.edit(number, value=[value]))["value"] == [value]
        assert (await stores.configs.edit(number, remark="r"))["value"] == [value]


@gen_test
async def test_public_values_are_enabled_and_exclude_rates(stores: StoresFixture) -> None:
    await add(stores, "INDEX_BANNER", "old")
    await add(stores, "INDEX_BANNER", "new")
    await add(stores, "HIDDEN", 1, enabled=False)
    await add(stores, "EXCHANGE_RATE", 0.5)
    await add(stores, "WITHDRAW_RATE", 0.1)
    for n in range(2):
        await add(stores, "PROGRAM_SHARE", {"n": n})
    await add(stores, "LIVEROOM_SHARE", {"n": 9})
    assert await stores.configs.public_values() == {
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
async def test_rate_is_exact_and_zero_when_invalid(
    stores: StoresFixture, value: Any, rate: str
) -> None:
    await add(stores, "EXCHANGE_RATE", value)
    assert await stores.configs.rate("EXCHANGE_RATE") == Decimal(rate)


@gen_test
async def test_newest_enabled_rate_applies_and_defaults_to_zero(stores: StoresFixture) -> None:
    assert await stores.configs.rate("EXCHANGE_RATE") == 0
    await add(stores, "EXCHANGE_RATE", 0.3)
    await add(stores, "EXCHANGE_RATE", 0.4)
    await add(stores, "EXCHANGE_RATE", 0.5, enabled=False)
    assert await stores.configs.rate("EXCHANGE_RATE") == Decimal("0.4")


@gen_test
async def test_default_configs_are_stored_once(stores: StoresFixture) -> None:
    await store_default_configs(stores.configs)
    assert len(await stores.configs.all()) == len(DEFAULTS)
    assert await stores.configs.rate("EXCHANGE_RATE") == Decimal("0.5")
    assert await stores.configs.rate("WITHDRAW_RATE") == Decimal("0.1")
    public_values = await stores.configs.public_values()
    assert public_values.keys() == {"PROGRAM_SHARE", "LIVEROOM_SHARE", "INDEX_BANNER", "BACKGROUND"}
    await stores.configs.remove(1)
    await store_default_configs(stores.configs)
    assert len(await stores.configs.all()) == len(DEFAULTS) - 1
