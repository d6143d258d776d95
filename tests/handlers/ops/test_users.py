"""Operators' endpoints for users: search, changes, grants, bans."""

from typing import Any

import pytest

from rooms.members import Person
from rooms.room import Room
from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.mic import take_seat
from tests.support.operators import GRANT, operator_request

# ---- users and grants


@pytest.mark.gen_test(timeout=20)
async def test_users_are_found_by_id_prefix_or_nickname_prefix(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    for query in (anna.id, anna.id[:7], "an", "anna"):
        found = (await operator_request(api, "GET", "users", params={"q": query})).ok()["items"]
        assert anna.id in [row["id"] for row in found], query
    empty = (await operator_request(api, "GET", "users", params={"q": "unknown nickname"})).ok()
    assert empty == {"items": [], "next": None}
    for query in (".*", "$ne", "\x00", "(", "😀"):
        found = (await operator_request(api, "GET", "users", params={"q": query})).ok()["items"]
        assert found == [], query


@pytest.mark.gen_test(timeout=30)
async def test_users_are_paged_with_a_cursor(api: ApiFixture, db: Any) -> None:
    await api.user("anna", 2)
    row = db.users.find_one()
    rows = [{**row, "_id": str(20_000_000 + n), "openid": f"o{n}"} for n in range(120)]
    db.users.insert_many(rows)
    pages: list[list[str]] = []
    cursor = ""
    while cursor is not None:
        page = (await operator_request(api, "GET", "users", params={"after": cursor})).ok()
        pages.append([item["id"] for item in page["items"]])
        cursor = page["next"]
    assert [len(page) for page in pages] == [50, 50, 21]
    assert [user_id for page in pages for user_id in page] == sorted(
        row["_id"] for row in db.users.find()
    )


@pytest.mark.gen_test(timeout=20)
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


@pytest.mark.gen_test(timeout=20)
async def test_grant_with_the_same_request_id_is_applied_once(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    path = f"users/{anna.id}/grant"
    for _ in range(3):
        assert (await api.ops("POST", path, **GRANT)).ok() == {"gold": 10, "income": 0}
    changed = await api.ops("POST", path, **GRANT | {"gold": 11})
    assert changed.refusal == (409, "request_id_reused")
    second = await api.ops("POST", path, **GRANT | {"request_id": "two"})
    assert second.ok() == {"gold": 20, "income": 0}
    bert = await api.user("bert", 1)
    other_user = await api.ops("POST", f"users/{bert.id}/grant", **GRANT)
    assert other_user.refusal == (409, "request_id_reused")


@pytest.mark.gen_test(timeout=20)
async def test_grant_requires_gold_a_reason_and_a_request_id(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    for field, value in (
        ("gold", 0),
        ("gold", -5),
        ("gold", 1.5),
        ("gold", 10**12),
        ("reason", ""),
        ("request_id", ""),
        ("request_id", "x" * 65),
    ):
        reply = await api.ops("POST", f"users/{anna.id}/grant", **GRANT | {field: value})
        assert reply.refusal == (400, "bad_parameter"), (field, value)
        assert reply.json["fields"].keys() == {field}
    unknown = await api.ops("POST", "users/10000000/grant", **GRANT)
    assert unknown.refusal == (404, "no_such_user")
    assert (await anna.get("qlive_user/get_userinfo/")).ok()["gold"] == 0


# ---- bans


@pytest.mark.gen_test(timeout=20)
async def test_banning_a_host_ends_the_live_and_closes_the_socket(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    socket, host_socket = await anna.connect(), await host.connect()
    await socket.next("snapshot")
    (await api.ops("PATCH", f"users/{host.id}", banned=True, ban_reason="fraud")).ok()
    assert (await socket.next("live_end"))["data"]["reason"] == "banned"
    assert await host_socket.close_code() == 4503
    assert (await anna.get("get_livelist/")).ok() == []
    reply = await host.post("qlive_room/live_end/", live_id=host.live_id)
    assert reply.refusal == (403, "banned")


@pytest.mark.gen_test(timeout=20)
async def test_banning_a_guest_frees_the_seat_and_closes_the_socket(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    await take_seat(anna)
    socket, guest_socket = await host.connect(), await anna.connect()
    await socket.next("snapshot")
    (await api.ops("PATCH", f"users/{anna.id}", banned=True)).ok()
    event = (await socket.next("micro_leave"))["data"]
    assert (event["user_id"], event["reason"]) == (anna.id, "banned")
    assert await guest_socket.close_code() == 4503
    room = (await host.get("get_playurl/", live_id=host.live_id)).ok()
    assert (room["female"], room["num_list"]) == ({}, [0, 0, 0, 0])
    reply = await anna.get("qlive_gift/push_gift/", user_id=host.id, gift_id=1, num=1)
    assert reply.refusal == (403, "banned")


@pytest.mark.gen_test(timeout=20)
async def test_lifting_a_ban_lets_the_user_log_in_and_enter_again(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    banned = await api.ops("PATCH", f"users/{anna.id}", banned=True, ban_reason="rude")
    assert (banned.ok()["banned"], banned.ok()["ban_reason"]) == (True, "rude")
    lifted = (await api.ops("PATCH", f"users/{anna.id}", banned=False)).ok()
    assert (lifted["banned"], lifted["ban_reason"]) == (False, "")
    anna = await api.user("anna", 2)
    assert (await anna.get("get_playurl/", live_id=host.live_id)).ok()["user_type"] == 1


@pytest.mark.gen_test(timeout=20)
async def test_revoking_the_matchmaker_role_ends_the_live(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    socket = await anna.connect()
    await socket.next("snapshot")
    (await api.ops("PATCH", f"users/{host.id}", is_matchmaker=False)).ok()
    assert (await socket.next("live_end"))["data"]["reason"] == "operator"
    reply = await host.post("qlive_room/matchmaker_enter/")
    assert reply.refusal == (403, "not_matchmaker")


@pytest.mark.gen_test(timeout=20)
async def test_ban_during_room_entry_is_enforced(api: ApiFixture, server: ServerProcess) -> None:
    host = await api.host()
    bert = await api.user("bert", 1)
    enter = server.context.keeper.enter

    async def enter_then_ban(live_id: int, person: Person) -> Room:
        room = await enter(live_id, person)
        await server.context.stores.users.update(bert.id, banned=True)
        return room

    server.context.keeper.enter = enter_then_ban  # type: ignore[method-assign]
    entered = await bert.get("get_playurl/", live_id=host.live_id)
    assert entered.refusal == (403, "banned")
    assert await server.context.stores.members.get(bert.id) is None
