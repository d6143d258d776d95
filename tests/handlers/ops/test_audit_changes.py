"""Before and after of each kind of change in the audit log."""

from typing import Any

import pytest

from runtime.process import ServerProcess
from storage.documents import token_id
from tests.support.api import ApiFixture
from tests.support.operators import GRANT
from tests.support.payments import create_order, notification_statuses, pay_order

gen_test = pytest.mark.gen_test(timeout=30)
GIFT = {"name": "rose", "gold": 5, "image": "", "effect": ""}
CONFIG = {"key": "ODD", "value": {"a": 1}, "enabled": True, "remark": ""}


async def latest_change(api: ApiFixture) -> tuple[Any, Any]:
    """(before, after) of the newest entry."""
    entry = (await api.ops("GET", "audit")).ok()["items"][0]
    assert entry["done"]
    return entry["before"], entry["after"]


@gen_test
async def test_changes_of_users_store_what_differs(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    path = f"users/{anna.id}"
    (await api.ops("PATCH", path, banned=True, ban_reason="rude")).ok()
    banned = {"banned": True, "ban_reason": "rude"}
    assert await latest_change(api) == ({"banned": False, "ban_reason": ""}, banned)
    (await api.ops("PATCH", path, banned=True)).ok()
    assert await latest_change(api) == ({}, {}), "nothing has changed"
    for gold in ({"gold": 0}, {"gold": 10}), ({}, {}):
        (await api.ops("POST", f"{path}/grant", **GRANT)).ok()
        assert await latest_change(api) == gold, "the same request_id grants once"


@gen_test
async def test_ended_sessions_are_named_by_their_ids(api: ApiFixture) -> None:
    phone, tablet = await api.user("anna", 2), await api.user("anna", 2)
    one, other = token_id(phone.token), token_id(tablet.token)
    (await api.ops("DELETE", f"users/{phone.id}/sessions", id=one, reason="stolen")).ok()
    before, after = await latest_change(api)
    assert (set(before["sessions"]), after) == ({one, other}, {"sessions": [other]})


CATALOGUE_CHANGES = (
    ("gifts", GIFT, {"gold": 6}, ({"gold": 5}, {"gold": 6})),
    ("blocks", {"gold": 7, "price": "6.00"}, {"price": "7.00"}, ({"fen": 600}, {"fen": 700})),
    ("configs", CONFIG, {"value": [True]}, ({"value": {"a": 1}}, {"value": [True]})),
)
"""Catalogue, new row, change, and (before, after) in the audit log."""


@gen_test
async def test_catalogue_rows_are_stored_as_created_changed_and_deleted(api: ApiFixture) -> None:
    for catalogue, new, change, stored in CATALOGUE_CHANGES:
        created = (await api.ops("POST", catalogue, **new)).ok()
        before, after = await latest_change(api)
        name = "key" if catalogue == "configs" else "gold"
        assert (before, after["id"], after[name]) == ({}, created["id"], new[name]), catalogue
        path = f"{catalogue}/{created['id']}"
        (await api.ops("PATCH", path, **change)).ok()
        assert await latest_change(api) == stored, catalogue
        (await api.ops("DELETE", path)).ok()
        assert await latest_change(api) == (after | stored[1], {}), catalogue


@gen_test
async def test_room_bans_and_the_end_of_a_live_are_stored(api: ApiFixture) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    path = f"rooms/{host.live_id}"
    (await api.ops("POST", f"{path}/put_out", user_id=bert.id, reason="rude")).ok()
    before, after = await latest_change(api)
    assert before == {"banned_until": None}
    (await api.ops("POST", f"{path}/let_in", user_id=bert.id, reason="sorry")).ok()
    assert await latest_change(api) == (after, before)
    (await api.ops("POST", f"{path}/end", reason="rude")).ok()
    before, after = await latest_change(api)
    assert (before["live"], after["live"]) == (True, False)


@gen_test
async def test_reversals_and_reprocessed_notifications_are_stored(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna = await api.user("anna", 2, gold=10)
    (grant,) = (await api.ops("GET", f"ledger?user_id={anna.id}")).ok()["items"]
    (await api.ops("POST", "ledger/reverse", entry=grant["id"], reason="mistake")).ok()
    assert await latest_change(api) == ({"reversed": False}, {"reversed": True})
    order_id = (await pay_order(api, await create_order(anna), "wrong_amount"))["order"]
    await notification_statuses(server)
    (message,) = (await api.ops("GET", "inbox?outcome=refused")).ok()["items"]
    db.orders.update_one({"_id": order_id}, {"$set": {"fen": 601}})
    (await api.ops("POST", "inbox/again", id=message["id"])).ok()
    before = {"outcome": "refused", "reason": "amount"}
    assert await latest_change(api) == (before, {"outcome": "done", "reason": ""})


@gen_test
async def test_a_change_that_is_refused_has_no_outcome(api: ApiFixture) -> None:
    for method, path in (("PATCH", "gifts/999"), ("DELETE", "users/10000000/sessions")):
        assert (await api.ops(method, path, reason="x")).status == 404
        entry = (await api.ops("GET", "audit")).ok()["items"][0]
        assert (entry["done"], entry["before"], entry["after"]) == (False, {}, {})
