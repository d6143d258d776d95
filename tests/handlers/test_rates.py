"""The two rates: without them no gift is given, and operators cannot take them away."""

from typing import Any

import pytest

from ledger.rates import RATE_KEYS
from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture
from tests.support.gifts import CANDY, give

gen_test = pytest.mark.gen_test(timeout=20)


async def rate_row(api: ApiFixture, key: str) -> dict[str, Any]:
    rows = (await api.ops("GET", "configs")).ok()["items"]
    return next(row for row in rows if row["key"] == key)


def lose_rate(server: ServerProcess, db: Any, key: str, how: str) -> None:
    """As a database with which something is wrong: deleted, or disabled."""
    if how == "deleted":
        db.configs.delete_many({"key": key})
    else:
        db.configs.update_many({"key": key}, {"$set": {"enabled": False}})
    server.context.services.catalogue.invalidate()


async def restore_rate(api: ApiFixture, key: str) -> None:
    (await api.ops("POST", "configs", key=key, value=0.5)).ok()


async def balance(client: ApiClient) -> tuple[int, int]:
    info = (await client.get("qlive_user/get_userinfo/")).ok()
    return info["gold"], info["income"]


@gen_test
async def test_without_the_exchange_rate_a_gift_is_refused_and_costs_nothing(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    for how in ("deleted", "disabled"):
        anna, bert = await api.user(f"anna {how}", 2, gold=100), await api.user(f"bert {how}", 1)
        earlier = (await give(anna, bert.id, CANDY, 2, request_id="earlier")).ok()
        lose_rate(server, db, "EXCHANGE_RATE", how)
        refused = await give(anna, bert.id, CANDY, 2, request_id="now")
        assert refused.refusal == (503, "rate_missing"), how
        assert int(refused.headers["Retry-After"]) > 0, how
        assert (await balance(anna), await balance(bert)) == ((90, 0), (0, 5)), how
        assert (await give(anna, bert.id, CANDY, 2, request_id="earlier")).ok() == earlier, how
        assert (await give(anna, bert.id, 99)).refusal == (404, "no_such_gift"), how
        await restore_rate(api, "EXCHANGE_RATE")
        assert (await give(anna, bert.id, CANDY, 2, request_id="now")).ok()["gold"] == 80, how
        assert await balance(bert) == (0, 10), how


@gen_test
async def test_a_missing_rate_is_down_on_readyz_and_in_the_console(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    assert (await api.request("GET", "/readyz")).ok()["dependencies"]["rates"]["state"] == "ok"
    for key in RATE_KEYS:
        lose_rate(server, db, key, "deleted")
        ready, overview = await api.request("GET", "/readyz"), await api.ops("GET", "overview")
        for page in (ready.ok(), overview.ok()):
            state = page["dependencies"]["rates"]["state"]
            assert (page["status"], state) == ("degraded", "down"), key
        await restore_rate(api, key)
        assert (await api.request("GET", "/readyz")).ok()["status"] == "ok", key


@gen_test
async def test_profile_shows_0_without_the_withdraw_rate(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna = await api.user("anna", 2)
    lose_rate(server, db, "WITHDRAW_RATE", "deleted")
    assert (await anna.get("qlive_user/get_userinfo/")).ok()["rate"] == "0"


@gen_test
async def test_the_last_enabled_row_of_a_rate_cannot_be_taken_away(api: ApiFixture) -> None:
    for key in RATE_KEYS:
        row = await rate_row(api, key)
        path = f"configs/{row['id']}"
        for change in ({"enabled": False}, {"key": "OTHER"}, {"value": 1, "enabled": False}):
            reply = await api.ops("PATCH", path, **change)
            assert reply.refusal == (409, "rate_required"), (key, change)
        assert (await api.ops("DELETE", path)).refusal == (409, "rate_required"), key
        assert await rate_row(api, key) == row
        changed = await api.ops("PATCH", path, key=key, value=0.25, enabled=True)
        assert changed.ok()["value"] == 0.25, key


@gen_test
async def test_a_rate_with_another_enabled_row_can_be_disabled_and_deleted(api: ApiFixture) -> None:
    first = (await rate_row(api, "EXCHANGE_RATE"))["id"]
    second = (await api.ops("POST", "configs", key="EXCHANGE_RATE", value=0.3)).ok()["id"]
    (await api.ops("PATCH", f"configs/{first}", enabled=False)).ok()
    assert (await api.ops("DELETE", f"configs/{second}")).refusal == (409, "rate_required")
    (await api.ops("DELETE", f"configs/{first}")).ok()
