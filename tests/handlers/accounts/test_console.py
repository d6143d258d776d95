"""Operators' endpoints for users: search, changes, grants, sessions."""

from typing import Any

import pytest

from runtime.process import ServerProcess
from storage.documents import token_id
from tests.support.api import ApiFixture
from tests.support.chat import KICKED, OK, chat, until_delivered, user_sig
from tests.support.operators import GRANT
from tests.support.races import run_after
from tests.support.websockets import close_code_of

REASON = {"reason": "the phone was stolen"}


# ---- users and grants


async def test_users_are_found_by_prefix_and_paged_with_a_cursor(api: ApiFixture, db: Any) -> None:
    anna = await api.user("anna", 2)
    for query, found in (("an", [anna.id]), ("\x00", [])):
        reply = await api.ops("GET", "users", params={"q": query})
        assert [row["id"] for row in reply.ok()["items"]] == found, query
    row = db.users.find_one()
    rows = [{**row, "_id": str(20_000_000 + n), "openid": f"o{n}"} for n in range(60)]
    db.users.insert_many(rows)
    first = (await api.ops("GET", "users")).ok()
    second = (await api.ops("GET", f"users?after={first['next']}")).ok()
    assert (len(first["items"]), len(second["items"]), second["next"]) == (50, 11, None)
    ids = [item["id"] for item in first["items"] + second["items"]]
    assert ids == sorted(stored["_id"] for stored in db.users.find())


async def test_operator_reads_and_changes_a_user(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    user = (await api.ops("GET", f"users/{anna.id}")).ok()
    assert (user["id"], user["nickname"], user["is_matchmaker"]) == (anna.id, "anna", False)
    updated = (await api.ops("PATCH", f"users/{anna.id}", is_matchmaker=True)).ok()
    assert updated["is_matchmaker"] is True
    assert (await api.ops("PATCH", f"users/{anna.id}")).ok() == updated
    assert (await anna.get("qlive_user/get_userinfo/")).ok()["is_matchmaker"] is True
    for method in ("GET", "PATCH"):
        unknown = await api.ops(method, "users/10000000")
        assert unknown.refusal == (404, "no_such_user")
    invalid = await api.ops("PATCH", f"users/{anna.id}", banned="perhaps")
    assert invalid.refusal == (400, "bad_parameter")
    for banned in (True, False):
        user = (await api.ops("PATCH", f"users/{anna.id}", banned=banned, ban_reason="rude")).ok()
        assert (user["banned"], user["ban_reason"]) == (banned, "rude" if banned else "")


async def test_grant_is_answered_with_the_balance_and_refused_if_it_is_invalid(
    api: ApiFixture,
) -> None:
    anna = await api.user("anna", 2)
    path = f"users/{anna.id}/grant"
    for _ in range(2):
        assert (await api.ops("POST", path, **GRANT)).ok() == {"gold": 10, "income": 0}
    reused = await api.ops("POST", path, **GRANT | {"gold": 11})
    assert reused.refusal == (409, "request_id_reused")
    invalid = (("gold", 0), ("gold", -5), ("gold", 1.5), ("gold", 10**12), ("reason", ""))
    for field, value in (*invalid, ("request_id", ""), ("request_id", "x" * 65)):
        reply = await api.ops("POST", path, **GRANT | {field: value})
        assert reply.refusal == (400, "bad_parameter"), (field, value)
        assert reply.json["fields"].keys() == {field}
    unknown = await api.ops("POST", "users/10000000/grant", **GRANT)
    assert unknown.refusal == (404, "no_such_user")


# ---- hosts


@pytest.mark.parametrize(
    ("change", "reason", "code"),
    [
        ({"banned": True, "ban_reason": "fraud"}, "banned", 4503),
        ({"is_matchmaker": False}, "operator", 4510),
    ],
    ids=["banned", "no matchmaker any more"],
)
async def test_live_ends_when_its_host_loses_the_right_to_it(
    api: ApiFixture, change: dict[str, Any], reason: str, code: int
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    socket, host_socket = await anna.connect(), await host.connect()
    await socket.next("snapshot")
    (await api.ops("PATCH", f"users/{host.id}", **change)).ok()
    assert (await socket.next("live_end"))["data"]["reason"] == reason
    assert await host_socket.close_code() == code
    assert (await anna.get("get_livelist/")).ok() == []


# ---- sessions


async def test_operator_ends_one_session_and_its_socket_or_all_with_the_user_sigs(
    api: ApiFixture, server: ServerProcess
) -> None:
    host, bert = await api.host(), await api.user("bert", 1)
    phone = await api.guest("anna", 2, host.live_id)
    socket, tablet = await phone.connect(), await api.user("anna", 2)
    await socket.next("snapshot")
    sig, path = await user_sig(tablet), f"users/{phone.id}/sessions"
    for token, ended in ((phone.token, 1), (phone.token, 0), (bert.token, 0)):
        reply = await api.ops("DELETE", path, id=token_id(token), **REASON)
        assert reply.ok() == {"ended": ended}
    assert await close_code_of(socket) == 4401
    for _ in range(2):
        assert (await phone.get("qlive_user/get_userinfo/")).refusal == (401, "token")
    state = (await tablet.get("qlive_user/get_user_state/")).ok()
    assert state["live_id"] == host.live_id, "to be resumed after the next login"
    await until_delivered(server)
    assert await chat(api, phone.id, sig) == OK
    assert (await api.ops("DELETE", path, **REASON)).ok() == {"ended": 1}
    assert (await tablet.get("get_configs/")).refusal == (401, "token")
    (await tablet.get("qlive_user/logout/")).ok()
    (await bert.get("get_configs/")).ok()
    assert (await api.ops("GET", path)).ok() == {"items": [], "next": None}
    await until_delivered(server)
    assert await chat(api, phone.id, sig) == KICKED


async def test_user_sigs_end_although_the_user_logs_in_again_at_once(
    api: ApiFixture, server: ServerProcess
) -> None:
    phone = await api.user("anna", 2)
    sig = await user_sig(phone)
    run_after(server.context.stores.tokens, "end_sessions", lambda: api.user("anna", 2))
    (await api.ops("DELETE", f"users/{phone.id}/sessions", **REASON)).ok()
    await until_delivered(server)
    assert await chat(api, phone.id, sig) == KICKED


async def test_bans_and_movements_of_gold_need_a_reason_that_shows(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    gold = {"gold": 10, "request_id": "one"}
    changes: list[tuple[str, str, str, dict[str, Any]]] = [
        ("PATCH", f"users/{anna.id}", "ban_reason", {"banned": True}),
        ("POST", f"users/{anna.id}/grant", "reason", gold),
        ("POST", f"users/{anna.id}/settle", "reason", {**gold, "paid_by": "house"}),
        ("POST", "ledger/reverse", "reason", {"entry": "grant:one"}),
        ("POST", "refunds", "reason", {"user_id": anna.id, "orders": ["Q1"], "request_id": "one"}),
    ]
    blank = ("", " ", "\u3000\t", "\u200b\u2060", "\u3164", "\ufe0f \u00ad")
    for method, path, field, body in changes:
        for sent in ({}, *({field: reason} for reason in blank)):
            reply = await api.ops(method, path, **body, **sent)
            assert reply.refusal == (400, "bad_parameter"), (path, sent)
            assert list(reply.json["fields"]) == [field]
    user = (await api.ops("GET", f"users/{anna.id}")).ok()
    assert (user["banned"], user["gold"]) == (False, 0)
