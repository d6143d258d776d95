import json
from pathlib import Path

import pytest

from tests.support.api import ApiFixture

CONTRACT_CONFIGS = json.loads(
    (Path(__file__).parents[1] / "shapes" / "get_configs.json").read_text()
)


@pytest.mark.gen_test(timeout=20)
async def test_first_start_stores_the_contract_configs_and_hides_the_rates(
    api: ApiFixture,
) -> None:
    anna = await api.user("anna", 2)
    assert (await anna.get("get_configs/")).ok() == CONTRACT_CONFIGS
    stored = (await api.ops("GET", "configs")).ok()["items"]
    rates = {row["key"]: row["value"] for row in stored if row["key"].endswith("_RATE")}
    assert rates == {"EXCHANGE_RATE": 0.5, "WITHDRAW_RATE": 0.1}


@pytest.mark.gen_test(timeout=20)
async def test_config_changes_by_operators_are_visible_at_once(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    stored = {row["key"]: row["id"] for row in (await api.ops("GET", "configs")).ok()["items"]}
    (await api.ops("PATCH", f"configs/{stored['BACKGROUND']}", enabled=False)).ok()
    (await api.ops("PATCH", f"configs/{stored['INDEX_BANNER']}", value=None)).ok()
    (await api.ops("POST", "configs", key="PROGRAM_SHARE", value={"title": "5", "src": ""})).ok()
    (await api.ops("POST", "configs", key="NOTICE", value=["一", {"b": [1.5, None, True]}])).ok()
    configs = (await anna.get("get_configs/")).ok()
    assert "BACKGROUND" not in configs
    assert configs["INDEX_BANNER"] is None
    assert [share["title"] for share in configs["PROGRAM_SHARE"]][4:] == ["5"]
    assert configs["NOTICE"] == ["一", {"b": [1.5, None, True]}]
    assert configs["LIVEROOM_SHARE"] == CONTRACT_CONFIGS["LIVEROOM_SHARE"]
    (await api.ops("PATCH", f"configs/{stored['BACKGROUND']}", enabled=True)).ok()
    reenabled = (await anna.get("get_configs/")).ok()
    assert reenabled["BACKGROUND"] == CONTRACT_CONFIGS["BACKGROUND"]


@pytest.mark.gen_test(timeout=20)
async def test_own_profile_contains_the_withdraw_rate(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    stored = {row["key"]: row["id"] for row in (await api.ops("GET", "configs")).ok()["items"]}
    for value, rate in ((0.25, "0.25"), (1, "1")):
        (await api.ops("PATCH", f"configs/{stored['WITHDRAW_RATE']}", value=value)).ok()
        assert (await anna.get("qlive_user/get_userinfo/")).ok()["rate"] == rate
