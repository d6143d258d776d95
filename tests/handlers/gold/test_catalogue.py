"""Operators' endpoints for gifts, gold blocks and configs, and what clients read of them."""

import json
from datetime import UTC, datetime
from typing import Any

from ledger.gifts import RATE_KEYS
from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.paths import ROOT

EXAMPLES = json.loads((ROOT / "tests/handlers/contract_examples.json").read_text())
CONTRACT_CONFIGS = EXAMPLES["get_configs"]
CATALOGUES = {
    "gifts": (
        {"name": "花", "gold": 3, "image": "https://example.com/f.png", "effect": "fly"},
        {"name": "大花", "gold": 0},
        [{"name": ""}, {"gold": -1}, {"gold": "much"}, {"image": "ftp://x"}, {"name": "x" * 61}],
        "no_such_gift",
    ),
    "blocks": (
        {"gold": 50, "price": "5.50"},
        {"gold": 55, "price": "5.00"},
        [{"gold": 0}, {"price": "5.001"}, {"price": "-1"}, {"price": "0.00"}, {"price": "six"}],
        "no_such_block",
    ),
    "configs": (
        {"key": "NOTICE", "value": {"a": [1, "二", None]}, "enabled": True, "remark": "r"},
        {"value": False, "enabled": False},
        [{"key": "lower"}, {"key": ""}, {"remark": "x" * 201}, {"enabled": "perhaps"}],
        "no_such_thing",
    ),
}


async def test_catalogue_items_are_created_updated_and_deleted(api: ApiFixture) -> None:
    for catalogue, (new, change, _, not_found_code) in CATALOGUES.items():
        created = (await api.ops("POST", catalogue, **new)).ok()
        following = {} if catalogue == "gifts" else {"next": None}
        assert created == {"id": created["id"], **new, **following}
        assert created in (await api.ops("GET", catalogue)).ok()["items"], catalogue
        path = f"{catalogue}/{created['id']}"
        changed = (await api.ops("PATCH", path, **change)).ok()
        if catalogue == "blocks":
            assert changed["next"]["fields"] == {"gold": 55, "fen": 500}
            assert changed == created | {"next": changed["next"]}
        else:
            assert changed == created | change
        assert changed in (await api.ops("GET", catalogue)).ok()["items"], catalogue
        assert (await api.ops("PATCH", path)).ok() == changed
        assert (await api.ops("DELETE", path)).ok() == {"detail": "OK"}, catalogue
        ids = [row["id"] for row in (await api.ops("GET", catalogue)).ok()["items"]]
        assert created["id"] not in ids, catalogue
        for method in ("PATCH", "DELETE"):
            assert (await api.ops(method, path)).refusal == (404, not_found_code)


async def test_invalid_catalogue_items_are_refused(api: ApiFixture) -> None:
    for catalogue, (new, _, invalid_fields, _) in CATALOGUES.items():
        created = (await api.ops("POST", catalogue, **new)).ok()
        before = (await api.ops("GET", catalogue)).ok()
        for invalid in invalid_fields:
            (name,) = invalid
            reply = await api.ops("POST", catalogue, **new | invalid)
            assert reply.refusal == (400, "bad_parameter"), (catalogue, invalid)
            assert reply.json["fields"].keys() == {name}, (catalogue, invalid)
            if invalid[name] != "":  # an empty string counts as not sent
                changed = await api.ops("PATCH", f"{catalogue}/{created['id']}", **invalid)
                assert changed.refusal == (400, "bad_parameter"), (catalogue, invalid)
        assert (await api.ops("POST", catalogue)).refusal == (400, "bad_parameter"), catalogue
        assert (await api.ops("GET", catalogue)).ok() == before


# ---- configs


async def ids_of_configs(api: ApiFixture) -> dict[str, int]:
    """The id of the last config of each key."""
    return {row["key"]: row["id"] for row in (await api.ops("GET", "configs")).ok()["items"]}


async def test_configs_are_those_of_the_contract_until_operators_change_them(
    api: ApiFixture,
) -> None:
    anna, ids = await api.user("anna", 2), await ids_of_configs(api)
    assert (await anna.get("get_configs/")).ok() == CONTRACT_CONFIGS
    assert {*RATE_KEYS} == ids.keys() - CONTRACT_CONFIGS.keys()
    (await api.ops("PATCH", f"configs/{ids['BACKGROUND']}", enabled=False)).ok()
    (await api.ops("PATCH", f"configs/{ids['INDEX_BANNER']}", value=None)).ok()
    (await api.ops("POST", "configs", key="NOTICE", value=["一", {"b": [1.5, None, True]}])).ok()
    configs = (await anna.get("get_configs/")).ok()
    assert "BACKGROUND" not in configs
    assert configs["INDEX_BANNER"] is None
    assert configs["NOTICE"] == ["一", {"b": [1.5, None, True]}]


async def test_null_changes_only_the_value_of_a_config(api: ApiFixture) -> None:
    created = (await api.ops("POST", "configs", key="ODD", value=1)).ok()
    path = f"configs/{created['id']}"
    for change in ({"key": None}, {"enabled": None}, {"remark": None}):
        assert (await api.ops("PATCH", path, **change)).ok() == created
    assert (await api.ops("PATCH", path, value=None)).ok() == {**created, "value": None}
    gift = (await api.ops("GET", "gifts")).ok()["items"][0]
    assert (await api.ops("PATCH", f"gifts/{gift['id']}", gold=None)).ok() == gift
    without_image = (await api.ops("PATCH", f"gifts/{gift['id']}", image="")).ok()
    assert without_image == {**gift, "image": ""}


# ---- rates


async def test_rate_is_a_number_above_0_and_at_most_1_that_profiles_show(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna, ids = await api.user("anna", 2), await ids_of_configs(api)
    changed = await api.ops("PATCH", f"configs/{ids['EXCHANGE_RATE']}", value=1.1)
    assert changed.refusal == (400, "bad_parameter")
    assert changed.json["fields"].keys() == {"value"}
    renamed = await api.ops("PATCH", f"configs/{ids['INDEX_BANNER']}", key="WITHDRAW_RATE")
    assert renamed.refusal == (400, "bad_parameter")

    async def shown() -> str:
        rate: str = (await anna.get("qlive_user/get_userinfo/")).ok()["rate"]
        return rate

    rate = await server.context.stores.configs.get(ids["WITHDRAW_RATE"])
    assert rate["value"] == 0.1
    for value in ("0.25", 1):
        path = f"configs/{ids['WITHDRAW_RATE']}"
        changed = (await api.ops("PATCH", path, value=value)).ok()
        assert (changed["value"], changed["next"]["fields"]) == (0.1, {"value": value})
        assert await shown() == "0.1"
        db.configs.update_one({"_id": rate["id"]}, {"$set": {"next.at": datetime.now(UTC)}})
        server.context.services.gold.catalogue.invalidate()
        assert await shown() == str(value)
        assert (await api.ops("DELETE", f"{path}/next")).refusal == (409, "nothing_waits")
        db.configs.update_one({"_id": rate["id"]}, {"$unset": {"next": ""}})
    db.configs.delete_many({"key": "WITHDRAW_RATE"})
    server.context.services.gold.catalogue.invalidate()
    assert await shown() == "0", "a client cannot start without its profile"


async def test_a_change_that_waits_for_midnight_is_shown_and_withdrawn(api: ApiFixture) -> None:
    anna, ids = await api.user("anna", 2), await ids_of_configs(api)
    block = (await api.ops("POST", "blocks", gold=50, price="5.50")).ok()
    for catalogue, number, fields in (
        ("blocks", block["id"], {"gold": 60}),
        ("configs", ids["EXCHANGE_RATE"], {"value": 0.4}),
    ):
        path = f"{catalogue}/{number}"
        changed = (await api.ops("PATCH", path, **fields)).ok()
        assert changed["next"]["fields"] == fields
        assert changed["next"]["at"].endswith("T16:00:00Z")
        shown = (await anna.get("qlive_pay/")).ok()
        assert {name: block[name] for name in ("id", "gold", "price")} in shown
        withdrawn = (await api.ops("DELETE", f"{path}/next")).ok()
        assert withdrawn == changed | {"next": None}
        (entry, *_) = (await api.ops("GET", "audit", q=f"DELETE {number}")).ok()["items"]
        assert entry["before"]["next"]["fields"] == fields
        assert (await api.ops("DELETE", f"{path}/next")).refusal == (409, "nothing_waits")
