"""The audit log: what is recorded of each call, in pages and as a CSV file."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handlers import operator_base
from handlers.operator_base import cell, csv_lines
from handlers.operator_routes import OPS_ROUTES
from handlers.operators import audit
from runtime.process import ServerProcess
from storage.documents import token_id
from tests.support.api import ApiFixture
from tests.support.operators import GRANT
from tests.support.payments import create_order, notification_statuses, pay_order


async def audit_entries(api: ApiFixture) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await api.ops("GET", "audit")).ok()["items"]
    return items


async def test_audit_records_operator_action_target_reason_address_and_time(
    api: ApiFixture,
) -> None:
    anna = await api.user("anna", 2)
    (await api.ops("POST", f"users/{anna.id}/grant", **GRANT)).ok()
    (await api.ops("PATCH", f"users/{anna.id}", banned=True, ban_reason="rude")).ok()
    refused = await api.ops("POST", f"users/{anna.id}/grant", **GRANT | {"gold": 0})
    assert refused.status == 400
    forwarded = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7, 127.0.0.1"}
    login = {"name": "anna", "password": "wrong"}
    await api.request("POST", "/ops/api/login", headers=forwarded, json=login)
    failed_login, failed, ban, grant = await audit_entries(api)
    for entry in (grant, ban):
        assert (entry["who"], entry["role"], entry["address"]) == ("demo", "admin", "127.0.0.1")
    assert (grant["what"], grant["on"], grant["reason"]) == ("POST GrantGold", anna.id, "birthday")
    assert grant["parameters"] == {"gold": 10, "request_id": "one"}
    assert (ban["what"], ban["reason"]) == ("PATCH OneUser", "rude")
    assert [entry["done"] for entry in (grant, ban, failed)] == [True, True, False]
    age = datetime.now(UTC) - datetime.fromisoformat(grant["at"])
    assert timedelta(0) <= age < timedelta(seconds=60)
    assert failed_login["address"] == "198.51.100.7", "behind a trusted proxy"


async def test_every_change_is_audited_and_every_read_is_counted(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    audited, reads = [], []
    for pattern, handler, name, *_ in OPS_ROUTES:
        if name.startswith("ops.login."):  # would log the test out
            continue
        path = re.sub(r"\(.*?\)", "12345678", pattern)
        for method in ("GET", "POST", "PATCH", "DELETE"):
            if method.lower() in vars(handler):
                assert (await api.ops(method, path)).status in (200, 400, 404)
                what = f"{method} {name.rpartition('.')[2]}"
                if method == "GET":
                    reads.append(what)
                if method != "GET" or getattr(handler, "audits_reads", False):
                    audited.append(what)
    assert [entry["what"] for entry in db.audit.find().sort("_id", 1)] == audited
    text = server.context.metrics.text().decode()
    counted = re.findall(r'^qlive_operator_reads_total\{route="(\w+)"\} 1\.0$', text, re.MULTILINE)
    assert sorted(f"GET {route}" for route in counted) == sorted(reads)
    assert {*audited} - {*reads}
    assert reads


# ---- before and after


async def latest_change(api: ApiFixture) -> tuple[Any, Any]:
    """(before, after) of the newest entry."""
    entry = (await audit_entries(api))[0]
    assert entry["done"]
    return entry["before"], entry["after"]


async def test_changes_of_users_and_sessions_store_what_differs(api: ApiFixture) -> None:
    anna, tablet = await api.user("anna", 2), await api.user("anna", 2)
    path = f"users/{anna.id}"
    one, other = token_id(anna.token), token_id(tablet.token)
    (await api.ops("DELETE", f"{path}/sessions", id=one, reason="stolen")).ok()
    before, after = await latest_change(api)
    assert (set(before["sessions"]), after) == ({one, other}, {"sessions": [other]})
    (await api.ops("PATCH", path, banned=True, ban_reason="rude")).ok()
    banned = {"banned": True, "ban_reason": "rude"}
    assert await latest_change(api) == ({"banned": False, "ban_reason": ""}, banned)
    for gold in ({"gold": 0}, {"gold": 10}), ({}, {}):
        (await api.ops("POST", f"{path}/grant", **GRANT)).ok()
        assert await latest_change(api) == gold, "the same request_id grants once"


async def test_catalogue_rows_are_stored_as_created_changed_and_deleted(api: ApiFixture) -> None:
    for catalogue, new, name, value in (
        ("gifts", {"name": "rose", "gold": 5}, "gold", 6),
        ("configs", {"key": "ODD", "value": {"a": 1}}, "value", [True]),
    ):
        created = (await api.ops("POST", catalogue, **new)).ok()
        before, row = await latest_change(api)
        assert (before, row["id"], row[name]) == ({}, created["id"], new[name]), catalogue
        path = f"{catalogue}/{created['id']}"
        (await api.ops("PATCH", path, **{name: value})).ok()
        assert await latest_change(api) == ({name: new[name]}, {name: value}), catalogue
        (await api.ops("DELETE", path)).ok()
        assert await latest_change(api) == (row | {name: value}, {}), catalogue


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


async def test_reversals_and_reprocessed_notifications_are_stored_and_refused_changes_are_not(
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
    for method, path in (("PATCH", "gifts/999"), ("DELETE", "users/10000000/sessions")):
        assert (await api.ops(method, path, reason="x")).status == 404
        entry = (await audit_entries(api))[0]
        assert (entry["done"], entry["before"], entry["after"]) == (False, {}, {})


# ---- pages and the file


async def exported(api: ApiFixture, **query: str) -> list[dict[str, str]]:
    reply = await api.ops("GET", "audit.csv", params=query)
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert reply.headers["Content-Disposition"] == 'attachment; filename="audit.csv"'
    assert reply.text.startswith("\ufeff")
    return [*csv.DictReader(io.StringIO(reply.text.removeprefix("\ufeff"), newline=""))]


async def test_pages_and_long_files_say_how_to_continue(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "PAGE_SIZE", 3)
    for name in ("EXPORT_PAGE", "EXPORT_PAGES"):
        monkeypatch.setattr(operator_base, name, 2)
    for _ in range(5):
        await api.ops("POST", "gifts")
    first = (await api.ops("GET", "audit")).ok()
    second = (await api.ops("GET", f"audit?after={first['next']}")).ok()
    ids = [entry["id"] for entry in first["items"] + second["items"]]
    assert ids == sorted(set(ids), reverse=True)
    assert (len(first["items"]), len(ids), second["next"]) == (3, 5, None)
    rows = await exported(api)
    assert [row["id"] for row in rows] == [*ids[:4], "more"]
    after = rows[-1]["at"].removeprefix("after=")
    assert [row["id"] for row in await exported(api, after=after)] == ids[4:]


async def test_file_has_the_entries_that_the_search_finds(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    path = f"users/{anna.id}"
    (await api.ops("POST", f"{path}/grant", **GRANT | {"reason": "生日\n快乐"})).ok()
    (await api.ops("PATCH", path, banned=True, ban_reason='=HYPERLINK("x")')).ok()
    ban, grant = await exported(api)
    assert (grant["reason"], grant["on"], grant["done"]) == ("生日\n快乐", anna.id, "true")
    assert (grant["before"], grant["after"]) == ('{"gold": 0}', '{"gold": 10}')
    assert ban["reason"] == '\'=HYPERLINK("x")'
    (entry,) = (await api.ops("GET", "audit?what=POST%20GrantGold")).ok()["items"]
    assert grant["id"] == entry["id"]
    for query in ({"q": "生日"}, {"what": "POST GrantGold"}, {"after": ban["id"]}):
        assert await exported(api, **query) == [grant], query
    assert await exported(api, q="nothing") == []


def test_cells_that_begin_like_a_formula_are_text_and_all_are_quoted() -> None:
    formulas = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1"]
    for text in (*formulas, "＝1", "＋1", "－1", "＠A1"):
        assert (cell(text), cell(f"a{text}")) == (f"'{text}", f"a{text}")
    assert csv_lines([["a;=1", "b"]]) == '"a;=1","b"\r\n'
