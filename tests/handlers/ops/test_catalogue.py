"""Operators' endpoints for gifts, gold blocks and configs."""

import pytest

from tests.support.api import ApiFixture
from tests.support.operators import operator_request

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


@pytest.mark.gen_test(timeout=20)
async def test_catalogue_items_are_created_updated_and_deleted(api: ApiFixture) -> None:
    for catalogue, (new, change, _, not_found_code) in CATALOGUES.items():
        created = (await api.ops("POST", catalogue, **new)).ok()
        assert created == {"id": created["id"], **new}
        assert created in (await api.ops("GET", catalogue)).ok()["items"], catalogue
        path = f"{catalogue}/{created['id']}"
        changed = (await api.ops("PATCH", path, **change)).ok()
        assert changed == created | change
        assert changed in (await api.ops("GET", catalogue)).ok()["items"], catalogue
        assert (await api.ops("PATCH", path)).ok() == changed
        assert (await api.ops("DELETE", path)).ok() == {"detail": "OK"}, catalogue
        ids = [row["id"] for row in (await api.ops("GET", catalogue)).ok()["items"]]
        assert created["id"] not in ids, catalogue
        for method in ("PATCH", "DELETE"):
            assert (await api.ops(method, path)).refusal == (404, not_found_code)
        assert (await api.ops("PATCH", path, **change)).refusal == (404, not_found_code)
        recreated = (await api.ops("POST", catalogue, **new)).ok()
        assert recreated["id"] > created["id"], catalogue


@pytest.mark.gen_test(timeout=20)
async def test_invalid_catalogue_items_are_rejected(api: ApiFixture) -> None:
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


@pytest.mark.gen_test(timeout=20)
async def test_rate_config_must_be_a_number_above_0_and_at_most_1(api: ApiFixture) -> None:
    rows = (await api.ops("GET", "configs")).ok()["items"]
    rate = next(row["id"] for row in rows if row["key"] == "EXCHANGE_RATE")
    banner = next(row["id"] for row in rows if row["key"] == "INDEX_BANNER")
    for value in (-0.1, 0, "0.0", 1.1, "much", True, None, [], {}):
        changed = await api.ops("PATCH", f"configs/{rate}", value=value)
        assert changed.refusal == (400, "bad_parameter"), value
        assert changed.json["fields"].keys() == {"value"}
    renamed = await api.ops("PATCH", f"configs/{banner}", key="WITHDRAW_RATE")
    assert renamed.refusal == (400, "bad_parameter")
    assert (await api.ops("PATCH", f"configs/{rate}", value="0.25")).ok()["value"] == "0.25"


UNUSUAL_CONFIGS = [
    b'{"key": "ODD", "value": NaN}',
    b'{"key": "ODD", "value": 1e999}',
    b'{"key": "ODD", "value": "\\ud800"}',
    b'{"key": "ODD", "value": {"\\ud800": 1}}',
    b'{"key": "ODD", "value": ' + b"[" * 30 + b"]" * 30 + b"}",
    b'{"key": "ODD", "value": ' + b"[" * 300 + b"]" * 300 + b"}",
    b'{"key": "ODD", "value": ' + b"[" * 880 + b"]" * 880 + b"}",
    b'{"key": "ODD", "value": ' + b'{"a":' * 880 + b"1" + b"}" * 880 + b"}",
    b'{"key": "ODD", "value": ' + b"9" * 4000 + b"}",
    b'{"key": "ODD", "value": {"$gt": 1, "a.b": "\\u0000", "": 1}}',
]


@pytest.mark.gen_test(timeout=20)
async def test_unusual_config_values_are_stored_unchanged_or_rejected(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    stored = 0
    for body in UNUSUAL_CONFIGS:
        created = await operator_request(api, "POST", "configs", data=body)
        configs = (await anna.get("get_configs/")).ok()
        assert (await api.ops("GET", "configs")).status == 200
        assert (await api.ops("GET", "audit")).status == 200
        if created.status == 200:
            stored += 1
            assert configs["ODD"] == created.json["value"]
            (await api.ops("DELETE", f"configs/{created.json['id']}")).ok()
        else:
            assert created.refusal[0] == 400, body[:60]
            assert "ODD" not in configs
    assert 0 < stored < len(UNUSUAL_CONFIGS)


@pytest.mark.gen_test(timeout=20)
async def test_null_changes_only_the_value_of_a_config(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    created = (await api.ops("POST", "configs", key="ODD", value=1)).ok()
    path = f"configs/{created['id']}"
    for change in ({"key": None}, {"enabled": None}, {"remark": None}):
        assert (await api.ops("PATCH", path, **change)).ok() == created
    assert (await api.ops("PATCH", path, value=None)).ok() == {**created, "value": None}
    assert (await anna.get("get_configs/")).ok()["ODD"] is None
    gift = (await api.ops("GET", "gifts")).ok()["items"][0]
    assert (await api.ops("PATCH", f"gifts/{gift['id']}", gold=None)).ok() == gift
    without_image = (await api.ops("PATCH", f"gifts/{gift['id']}", image="")).ok()
    assert without_image == {**gift, "image": ""}
