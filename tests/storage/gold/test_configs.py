from decimal import Decimal
from typing import Any

import pytest

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
        (0, None),
        ("half", None),
        (-1, None),
        ("NaN", None),
        ("Infinity", None),
        (None, None),
        ([], None),
    ],
)
@gen_test
async def test_rate_is_exact_and_missing_when_invalid(
    stores: StoresFixture, value: Any, rate: str | None
) -> None:
    await add(stores, "EXCHANGE_RATE", value)
    expected = None if rate is None else Decimal(rate)
    assert await stores.configs.rates() == {"EXCHANGE_RATE": expected, "WITHDRAW_RATE": None}


@gen_test
async def test_newest_enabled_rate_applies_and_none_is_missing(stores: StoresFixture) -> None:
    assert await stores.configs.rates() == {"EXCHANGE_RATE": None, "WITHDRAW_RATE": None}
    await add(stores, "WITHDRAW_RATE", 0.1)
    await add(stores, "EXCHANGE_RATE", 0.3)
    await add(stores, "EXCHANGE_RATE", 0.4)
    await add(stores, "EXCHANGE_RATE", 0.5, enabled=False)
    assert await stores.configs.rates() == {
        "EXCHANGE_RATE": Decimal("0.4"),
        "WITHDRAW_RATE": Decimal("0.1"),
    }
