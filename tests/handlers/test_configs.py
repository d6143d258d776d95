import json
from pathlib import Path

import pytest

from tests.phones import Street

CONTRACTS = json.loads((Path(__file__).parents[1] / "shapes" / "get_configs.json").read_text())


@pytest.mark.gen_test(timeout=20)
async def test_the_first_start_stores_the_contracts_example_without_showing_the_rates(
    street: Street,
) -> None:
    anna = await street.person("anna", 2)
    assert (await anna.get("get_configs/")).ok() == CONTRACTS
    stored = (await street.ops("GET", "configs")).ok()["items"]
    rates = {row["key"]: row["value"] for row in stored if row["key"].endswith("_RATE")}
    assert rates == {"EXCHANGE_RATE": 0.5, "WITHDRAW_RATE": 0.1}


@pytest.mark.gen_test(timeout=20)
async def test_what_operators_change_is_shown_at_once(street: Street) -> None:
    anna = await street.person("anna", 2)
    stored = {row["key"]: row["id"] for row in (await street.ops("GET", "configs")).ok()["items"]}
    (await street.ops("PATCH", f"configs/{stored['BACKGROUND']}", enabled=False)).ok()
    (await street.ops("PATCH", f"configs/{stored['INDEX_BANNER']}", value=None)).ok()
    (await street.ops("POST", "configs", key="PROGRAM_SHARE", value={"title": "5", "src": ""})).ok()
    (await street.ops("POST", "configs", key="NOTICE", value=["一", {"b": [1.5, None, True]}])).ok()
    shown = (await anna.get("get_configs/")).ok()
    assert "BACKGROUND" not in shown
    assert shown["INDEX_BANNER"] is None
    assert [share["title"] for share in shown["PROGRAM_SHARE"]][4:] == ["5"]
    assert shown["NOTICE"] == ["一", {"b": [1.5, None, True]}]
    assert shown["LIVEROOM_SHARE"] == CONTRACTS["LIVEROOM_SHARE"]
    (await street.ops("PATCH", f"configs/{stored['BACKGROUND']}", enabled=True)).ok()
    again = (await anna.get("get_configs/")).ok()
    assert again["BACKGROUND"] == CONTRACTS["BACKGROUND"]


@pytest.mark.gen_test(timeout=20)
async def test_the_withdraw_rate_is_told_with_ones_own_data(street: Street) -> None:
    anna = await street.person("anna", 2)
    stored = {row["key"]: row["id"] for row in (await street.ops("GET", "configs")).ok()["items"]}
    for value, rate in ((0.25, "0.25"), (1, "1")):
        (await street.ops("PATCH", f"configs/{stored['WITHDRAW_RATE']}", value=value)).ok()
        assert (await anna.get("qlive_user/get_userinfo/")).ok()["rate"] == rate
