import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handlers.routes import OPERATORS
from rooms.keeper import now_ms
from rooms.people import Person
from rooms.room import Room
from server import Server
from tests.phones import Reply, Street

GRANT = {"gold": 10, "reason": "a birthday", "request_id": "one"}


async def raw(street: Street, method: str, path: str, **kwargs: Any) -> Reply:
    """A call of an operator whose body is written by hand."""
    headers = {"Authorization": f"Bearer {street._ops_token}"}
    return await street.ask(method, f"/ops/api/{path}", headers=headers, **kwargs)


async def entries(street: Street) -> list[dict[str, Any]]:
    """The audit, but for the calls that read it."""
    items = (await street.ops("GET", "audit")).ok()["items"]
    return [item for item in items if item["what"] != "GET AuditLog"]


# ---- the door


@pytest.mark.gen_test(timeout=20)
async def test_only_operators_come_in(street: Street, db: Any) -> None:
    anna = await street.person("anna", 2)
    for header in (
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {anna.token}",
        f"QLiveToken {anna.token}",
        f"QLiveToken {street._ops_token}",
        f"Bearer {street._ops_token}x",
        "Bearer ключ",
    ):
        headers = {} if header is None else {"Authorization": header}
        for pattern, handler in OPERATORS:
            path = "/ops/api/" + re.sub(r"\(.*?\)", "12345678", pattern)
            method = "GET" if "get" in vars(handler) else "POST"
            method = "PATCH" if method == "POST" and "patch" in vars(handler) else method
            answer = await street.ask(method, path, headers=headers)
            assert answer.refusal == (401, "ops_token"), (header, path)
            assert "WWW-Authenticate" in answer.headers
    assert db.audit.count_documents({}) == 0


@pytest.mark.gen_test(timeout=20)
async def test_an_operators_token_opens_no_call_of_the_contract(street: Street) -> None:
    headers = {"Authorization": f"QLiveToken {street._ops_token}"}
    answer = await street.ask("GET", "/wx/api/qlive/get_configs/", headers=headers)
    assert answer.refusal == (401, "token")


# ---- people


@pytest.mark.gen_test(timeout=20)
async def test_people_are_found_by_number_or_by_the_start_of_their_name(street: Street) -> None:
    anna = await street.person("anna", 2)
    for wanted in (anna.id, anna.id[:7], "an", "anna"):
        found = (await raw(street, "GET", "users", params={"q": wanted})).ok()["items"]
        assert anna.id in [row["id"] for row in found], wanted
    none = (await raw(street, "GET", "users", params={"q": "nobody is called so"})).ok()
    assert none == {"items": [], "next": None}
    for odd in (".*", "$ne", "\x00", "(", "😀"):
        assert (await raw(street, "GET", "users", params={"q": odd})).ok()["items"] == []


@pytest.mark.gen_test(timeout=30)
async def test_more_people_than_a_page_are_read_by_the_cursor(street: Street, db: Any) -> None:
    await street.person("anna", 2)
    row = db.users.find_one()
    rows = [{**row, "_id": str(20_000_000 + n), "openid": f"o{n}"} for n in range(120)]
    db.users.insert_many(rows)
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = (await raw(street, "GET", "users", params={"after": cursor})).ok()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
    assert seen == sorted(row["_id"] for row in db.users.find())


@pytest.mark.gen_test(timeout=20)
async def test_one_person_is_shown_and_changed(street: Street) -> None:
    anna = await street.person("anna", 2)
    shown = (await street.ops("GET", f"users/{anna.id}")).ok()
    assert (shown["id"], shown["nickname"], shown["is_matchmaker"]) == (anna.id, "anna", False)
    made = (await street.ops("PATCH", f"users/{anna.id}", is_matchmaker=True)).ok()
    assert made["is_matchmaker"] is True
    assert (await street.ops("PATCH", f"users/{anna.id}")).ok() == made
    assert (await anna.get("qlive_user/get_userinfo/")).ok()["is_matchmaker"] is True
    for method in ("GET", "PATCH"):
        nobody = await street.ops(method, "users/10000000")
        assert nobody.refusal == (404, "no_such_user")
    wrong = await street.ops("PATCH", f"users/{anna.id}", banned="perhaps")
    assert wrong.refusal == (400, "bad_parameter")


@pytest.mark.gen_test(timeout=20)
async def test_a_grant_is_carried_out_once(street: Street) -> None:
    anna = await street.person("anna", 2)
    path = f"users/{anna.id}/grant"
    for _ in range(3):
        assert (await street.ops("POST", path, **GRANT)).ok() == {"gold": 10, "income": 0}
    other = await street.ops("POST", path, **GRANT | {"gold": 11})
    assert other.refusal == (409, "request_id_reused")
    more = await street.ops("POST", path, **GRANT | {"request_id": "two"})
    assert more.ok() == {"gold": 20, "income": 0}
    bert = await street.person("bert", 1)
    elsewhere = await street.ops("POST", f"users/{bert.id}/grant", **GRANT)
    assert elsewhere.refusal == (409, "request_id_reused")


@pytest.mark.gen_test(timeout=20)
async def test_a_grant_needs_gold_a_reason_and_a_request_id(street: Street) -> None:
    anna = await street.person("anna", 2)
    for field, value in (
        ("gold", 0),
        ("gold", -5),
        ("gold", 1.5),
        ("gold", 10**12),
        ("reason", ""),
        ("request_id", ""),
        ("request_id", "x" * 65),
    ):
        answer = await street.ops("POST", f"users/{anna.id}/grant", **GRANT | {field: value})
        assert answer.refusal == (400, "bad_parameter"), (field, value)
        assert answer.json["fields"].keys() == {field}
    nobody = await street.ops("POST", "users/10000000/grant", **GRANT)
    assert nobody.refusal == (404, "no_such_user")
    assert (await anna.get("qlive_user/get_userinfo/")).ok()["gold"] == 0


# ---- bans


@pytest.mark.gen_test(timeout=20)
async def test_a_banned_hosts_live_ends_at_once(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    socket, own = await anna.connect(), await host.connect()
    await socket.next("snapshot")
    (await street.ops("PATCH", f"users/{host.id}", banned=True, ban_reason="fraud")).ok()
    assert (await socket.next("live_end"))["data"]["reason"] == "banned"
    assert await own.closed() == 4503
    assert (await anna.get("get_livelist/")).ok() == []
    answer = await host.post("qlive_room/live_end/", live_id=host.live_id)
    assert answer.refusal == (403, "banned")


@pytest.mark.gen_test(timeout=20)
async def test_a_banned_guest_leaves_the_mic_at_once(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    (await anna.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    (await anna.post("qlive_room/accept_micro/", live_id=host.live_id)).ok()
    socket, own = await host.connect(), await anna.connect()
    await socket.next("snapshot")
    (await street.ops("PATCH", f"users/{anna.id}", banned=True)).ok()
    told = (await socket.next("micro_leave"))["data"]
    assert (told["user_id"], told["reason"]) == (anna.id, "banned")
    assert await own.closed() == 4503
    seen = (await host.get("get_playurl/", live_id=host.live_id)).ok()
    assert (seen["female"], seen["num_list"]) == ({}, [0, 0, 0, 0])
    given = await anna.get("qlive_gift/push_gift/", user_id=host.id, gift_id=1, num=1)
    assert given.refusal == (403, "banned")


@pytest.mark.gen_test(timeout=20)
async def test_a_ban_can_be_lifted(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    banned = await street.ops("PATCH", f"users/{anna.id}", banned=True, ban_reason="rude")
    assert (banned.ok()["banned"], banned.ok()["ban_reason"]) == (True, "rude")
    lifted = (await street.ops("PATCH", f"users/{anna.id}", banned=False)).ok()
    assert (lifted["banned"], lifted["ban_reason"]) == (False, "")
    assert (await anna.get("get_playurl/", live_id=host.live_id)).ok()["user_type"] == 1


@pytest.mark.gen_test(timeout=20)
async def test_a_matchmaker_no_more_ends_the_live(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    socket = await anna.connect()
    await socket.next("snapshot")
    (await street.ops("PATCH", f"users/{host.id}", is_matchmaker=False)).ok()
    assert (await socket.next("live_end"))["data"]["reason"] == "operator"
    again = await host.post("qlive_room/matchmaker_enter/")
    assert again.refusal == (403, "not_matchmaker")


# ---- rooms


@pytest.mark.gen_test(timeout=20)
async def test_live_rooms_are_listed_and_looked_into(street: Street) -> None:
    assert (await street.ops("GET", "rooms")).ok() == {"items": [], "next": None}
    one, two = await street.host("one"), await street.host("two")
    rows = (await street.ops("GET", "rooms")).ok()["items"]
    assert [row["id"] for row in rows] == [two.live_id, one.live_id]
    row = (await street.ops("GET", f"rooms/{one.live_id}")).ok()
    assert (row.pop("put_out"), row.pop("events")) == ([], [])
    assert row in rows
    socket = await one.connect()
    assert (await socket.next("snapshot"))["data"]["owner"].keys() == row["room"]["owner"].keys()
    (await one.post("qlive_room/live_end/", live_id=one.live_id)).ok()
    rows = (await street.ops("GET", "rooms")).ok()["items"]
    assert [row["id"] for row in rows] == [two.live_id]
    assert (await street.ops("GET", f"rooms/{one.live_id}")).ok()["id"] == one.live_id
    assert (await street.ops("GET", "rooms/4711")).refusal == (404, "no_such_room")


async def happened(street: Street, live_id: int, **since: Any) -> list[tuple[int, str]]:
    """The number and type of the events that a look answers."""
    seen = (await raw(street, "GET", f"rooms/{live_id}", params=since)).ok()
    return [(event["seq"], event["type"]) for event in seen["events"]]


@pytest.mark.gen_test(timeout=20)
async def test_a_look_inside_answers_what_has_happened_since_the_last(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await street.host()
    bert = await street.guest("bert", 1, host.live_id)
    path, room = f"rooms/{host.live_id}", {"live_id": host.live_id}
    socket = await host.connect()
    await socket.next("snapshot")
    (await bert.post("qlive_room/apply_micro/", **room)).ok()
    first = (await street.ops("GET", path)).ok()
    told = await socket.next("micro_apply")
    assert first["events"] == [{name: told[name] for name in ("seq", "ts", "type", "data")}]
    (await bert.post("qlive_room/accept_micro/", **room)).ok()
    (await bert.get("qlive_room/leave_micro/", **room)).ok()
    since = {"epoch": first["epoch"], "since": 1}
    both = [(2, "micro_accept"), (3, "micro_leave")]
    assert await happened(street, host.live_id, **since) == both
    assert await happened(street, host.live_id, since=1) == both
    assert await happened(street, host.live_id, **since | {"since": 3}) == []
    monkeypatch.setattr("handlers.ops.live.LATEST", 2)
    for older in ({}, {"since": 99}, {"epoch": "another", "since": 3}):
        assert await happened(street, host.live_id, **older) == both, older
    for wrong in ({"since": -1}, {"since": "x"}, {"since": ""}):
        refused = await raw(street, "GET", path, params=wrong)
        assert refused.refusal == (400, "bad_parameter"), wrong
    (await street.ops("POST", f"{path}/end", reason="x")).ok()
    assert await happened(street, host.live_id, **since | {"since": 3}) == [(4, "live_end")]


@pytest.mark.gen_test(timeout=20)
async def test_an_operator_ends_a_live(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    socket = await anna.connect()
    await socket.next("snapshot")
    path = f"rooms/{host.live_id}/end"
    assert (await street.ops("POST", path)).refusal == (400, "bad_parameter")
    for _ in range(2):
        assert (await street.ops("POST", path, reason="complaints")).ok() == {"detail": "OK"}
    assert (await socket.next("live_end"))["data"]["reason"] == "operator"
    assert (await street.ops("POST", "rooms/4711/end", reason="x")).refusal == (404, "no_such_room")
    opened = (await host.post("qlive_room/matchmaker_enter/")).ok()
    assert opened["live_id"] == host.live_id


@pytest.mark.gen_test(timeout=20)
async def test_an_operator_puts_somebody_out_of_one_room_and_lets_them_in_again(
    street: Street,
) -> None:
    host = await street.host()
    bert = await street.guest("bert", 1, host.live_id)
    socket = await bert.connect()
    await socket.next("snapshot")
    for step in ("apply", "accept"):
        (await bert.post(f"qlive_room/{step}_micro/", live_id=host.live_id)).ok()
        await socket.next(f"micro_{step}")
    room, before = f"rooms/{host.live_id}", now_ms()
    said = await street.ops("POST", f"{room}/put_out", user_id=bert.id, minutes=5, reason="rude")
    assert said.ok() == {"detail": "OK"}
    assert (await socket.next("micro_leave"))["data"]["reason"] == "banned"
    assert await socket.closed() == 4503
    assert (await bert.get("get_playurl/", live_id=host.live_id)).refusal == (403, "put_out")
    (kept,) = (await street.ops("GET", room)).ok()["put_out"]
    assert (kept["user_id"], kept["nickname"]) == (bert.id, "bert")
    assert before + 300_000 <= kept["until"] <= now_ms() + 300_000
    for _ in range(2):
        said = await street.ops("POST", f"{room}/let_in", user_id=bert.id, reason="said sorry")
        assert said.ok() == {"detail": "OK"}
    assert (await street.ops("GET", room)).ok()["put_out"] == []
    (await bert.get("get_playurl/", live_id=host.live_id)).ok()
    deeds = (await street.ops("GET", "audit?changes=true&q=" + bert.id)).ok()["items"]
    said = [(deed["what"], deed["on"], deed["reason"]) for deed in deeds]
    shown, here = ("POST PutOut", str(host.live_id), "rude"), str(host.live_id)
    assert said == [*[("POST LetIn", here, "said sorry")] * 2, shown]


@pytest.mark.gen_test(timeout=20)
async def test_nobody_is_put_out_without_a_reason_nor_the_host_nor_a_stranger(
    street: Street,
) -> None:
    host = await street.host()
    bert = await street.guest("bert", 1, host.live_id)
    path = f"rooms/{host.live_id}/put_out"
    for wrong in ({"reason": ""}, {"minutes": 0}, {"minutes": 1441}, {"user_id": "bert"}):
        asked = {"user_id": bert.id, "reason": "rude"} | wrong
        refused = await street.ops("POST", path, **asked)
        assert refused.refusal == (400, "bad_parameter"), wrong
    said = await street.ops("POST", path, user_id=host.id, reason="x")
    assert said.refusal == (400, "bad_parameter")
    said = await street.ops("POST", path, user_id="00000000", reason="x")
    assert said.refusal == (404, "no_such_user")
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    said = await street.ops("POST", path, user_id=bert.id, reason="x")
    assert said.refusal == (409, "not_live")


@pytest.mark.gen_test(timeout=20)
async def test_everybody_in_a_room_is_listed_with_what_they_are_there(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.ops.live.PAGE", 2)
    host = await street.host()
    bert = await street.guest("bert", 1, host.live_id)
    anna = await street.guest("anna", 2, host.live_id)
    (await anna.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    first = (await street.ops("GET", f"rooms/{host.live_id}/people")).ok()
    after = first["next"]
    rest = (await street.ops("GET", f"rooms/{host.live_id}/people?after={after}")).ok()
    assert rest["next"] is None
    found = {row["user_id"]: row["role"] for row in first["items"] + rest["items"]}
    assert found == {host.id: "host", bert.id: "viewer", anna.id: "applied"}
    assert {row["away_at"] for row in first["items"]} == {None}


@pytest.mark.gen_test(timeout=20)
async def test_somebody_in_a_room_is_found_by_the_start_of_a_number_or_part_of_a_name(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.ops.live.PAGE", 2)
    monkeypatch.setattr("handlers.ops.live.SEARCHED", 2)
    host = await street.host()
    guests = [await street.guest(f"Guest {n}", 1 + n % 2, host.live_id) for n in range(5)]
    await street.person("Guest elsewhere", 1)

    async def found(said: str) -> list[str]:
        seen: list[str] = []
        after: str | None = ""
        while after is not None:
            asked = {"q": said, "after": after}
            page = (await raw(street, "GET", f"rooms/{host.live_id}/people", params=asked)).ok()
            assert len(page["items"]) <= 2
            seen += [row["user_id"] for row in page["items"]]
            after = page["next"]
        return seen

    assert await found("gUEST") == sorted(guest.id for guest in guests)
    assert await found("guest 3") == [guests[3].id]
    assert await found(guests[0].id) == [guests[0].id]
    assert guests[0].id in await found(guests[0].id[:4])
    assert await found(guests[0].id[1:]) == []
    assert await found("nobody") == []


# ---- what is on the shelves


SHELVES = {
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


@pytest.mark.parametrize("shelf", SHELVES)
@pytest.mark.gen_test(timeout=20)
async def test_things_are_put_up_changed_and_taken_away(street: Street, shelf: str) -> None:
    new, change, _, missing = SHELVES[shelf]
    made = (await street.ops("POST", shelf, **new)).ok()
    assert made == {"id": made["id"], **new}
    assert made in (await street.ops("GET", shelf)).ok()["items"]
    path = f"{shelf}/{made['id']}"
    changed = (await street.ops("PATCH", path, **change)).ok()
    assert changed == made | change
    assert changed in (await street.ops("GET", shelf)).ok()["items"]
    assert (await street.ops("PATCH", path)).ok() == changed
    assert (await street.ops("DELETE", path)).ok() == {"detail": "OK"}
    ids = [row["id"] for row in (await street.ops("GET", shelf)).ok()["items"]]
    assert made["id"] not in ids
    for method in ("PATCH", "DELETE"):
        assert (await street.ops(method, path)).refusal == (404, missing)
    assert (await street.ops("PATCH", path, **change)).refusal == (404, missing)
    again = (await street.ops("POST", shelf, **new)).ok()
    assert again["id"] > made["id"]


@pytest.mark.parametrize("shelf", SHELVES)
@pytest.mark.gen_test(timeout=20)
async def test_a_wrong_thing_is_not_put_up(street: Street, shelf: str) -> None:
    new, _, wrongs, _ = SHELVES[shelf]
    made = (await street.ops("POST", shelf, **new)).ok()
    before = (await street.ops("GET", shelf)).ok()
    for wrong in wrongs:
        (name,) = wrong
        added = await street.ops("POST", shelf, **new | wrong)
        assert added.refusal == (400, "bad_parameter"), wrong
        assert added.json["fields"].keys() == {name}
        if wrong[name] != "":  # which is not sent at all
            changed = await street.ops("PATCH", f"{shelf}/{made['id']}", **wrong)
            assert changed.refusal == (400, "bad_parameter"), wrong
    assert (await street.ops("POST", shelf)).refusal == (400, "bad_parameter")
    assert (await street.ops("GET", shelf)).ok() == before


@pytest.mark.gen_test(timeout=20)
async def test_a_rate_is_a_number_from_0_to_1(street: Street) -> None:
    rows = (await street.ops("GET", "configs")).ok()["items"]
    rate = next(row["id"] for row in rows if row["key"] == "EXCHANGE_RATE")
    banner = next(row["id"] for row in rows if row["key"] == "INDEX_BANNER")
    for value in (-0.1, 1.1, "much", True, None, [], {}):
        changed = await street.ops("PATCH", f"configs/{rate}", value=value)
        assert changed.refusal == (400, "bad_parameter"), value
        assert changed.json["fields"].keys() == {"value"}
    renamed = await street.ops("PATCH", f"configs/{banner}", key="WITHDRAW_RATE")
    assert renamed.refusal == (400, "bad_parameter")
    assert (await street.ops("PATCH", f"configs/{rate}", value="0.25")).ok()["value"] == "0.25"


ODD = [
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
async def test_an_odd_config_is_kept_as_it_is_or_refused_and_never_breaks_the_rest(
    street: Street,
) -> None:
    anna = await street.person("anna", 2)
    kept = 0
    for body in ODD:
        made = await raw(street, "POST", "configs", data=body)
        shown = (await anna.get("get_configs/")).ok()
        assert (await street.ops("GET", "configs")).status == 200
        assert (await street.ops("GET", "audit")).status == 200
        if made.status == 200:
            kept += 1
            assert shown["ODD"] == made.json["value"]
            (await street.ops("DELETE", f"configs/{made.json['id']}")).ok()
        else:
            assert made.refusal[0] == 400, body[:60]
            assert "ODD" not in shown
    assert 0 < kept < len(ODD)


@pytest.mark.gen_test(timeout=20)
async def test_null_changes_nothing_but_a_value(street: Street) -> None:
    anna = await street.person("anna", 2)
    made = (await street.ops("POST", "configs", key="ODD", value=1)).ok()
    path = f"configs/{made['id']}"
    for change in ({"key": None}, {"enabled": None}, {"remark": None}):
        assert (await street.ops("PATCH", path, **change)).ok() == made
    assert (await street.ops("PATCH", path, value=None)).ok() == {**made, "value": None}
    assert (await anna.get("get_configs/")).ok()["ODD"] is None
    gift = (await street.ops("GET", "gifts")).ok()["items"][0]
    assert (await street.ops("PATCH", f"gifts/{gift['id']}", gold=None)).ok() == gift
    unpictured = (await street.ops("PATCH", f"gifts/{gift['id']}", image="")).ok()
    assert unpictured == {**gift, "image": ""}


# ---- the audit


@pytest.mark.gen_test(timeout=20)
async def test_the_audit_says_who_did_what_to_whom_when_and_why(street: Street) -> None:
    anna = await street.person("anna", 2)
    (await street.ops("POST", f"users/{anna.id}/grant", **GRANT)).ok()
    (await street.ops("PATCH", f"users/{anna.id}", banned=True, ban_reason="rude")).ok()
    refused = await street.ops("POST", f"users/{anna.id}/grant", **GRANT | {"gold": 0})
    assert refused.status == 400
    late, ban, grant = await entries(street)
    assert grant["who"] == ban["who"] == "ops@127.0.0.1"
    assert (grant["what"], grant["on"], grant["reason"]) == (
        "POST GrantGold",
        anna.id,
        "a birthday",
    )
    assert grant["asked"] == GRANT
    assert (ban["what"], ban["reason"]) == ("PATCH OneUser", "rude")
    assert [entry["done"] for entry in (grant, ban, late)] == [True, True, False]
    ago = datetime.now(UTC) - datetime.fromisoformat(grant["at"])
    assert timedelta(0) <= ago < timedelta(seconds=20)


@pytest.mark.gen_test(timeout=20)
async def test_every_call_of_an_operator_stands_in_the_audit(street: Street) -> None:
    called = []
    for pattern, handler in OPERATORS:
        path = re.sub(r"\(.*?\)", "12345678", pattern)
        for method in ("GET", "POST", "PATCH", "DELETE"):
            if method.lower() in vars(handler) and path != "audit":
                assert (await street.ops(method, path)).status in (200, 400, 404)
                called.append(f"{method} {handler.__name__}")
    assert [entry["what"] for entry in reversed(await entries(street))] == called
    assert called


@pytest.mark.gen_test(timeout=20)
async def test_behind_a_trusted_proxy_the_audit_names_the_caller(street: Street) -> None:
    forwarded = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7, 127.0.0.1"}
    headers = {"Authorization": f"Bearer {street._ops_token}", **forwarded}
    (await street.ask("GET", "/ops/api/gifts", headers=headers)).ok()
    assert (await entries(street))[0]["who"] == "ops@198.51.100.7"


@pytest.mark.gen_test(timeout=30)
async def test_the_audit_is_read_page_by_page(street: Street) -> None:
    for _ in range(60):
        (await street.ops("GET", "gifts")).ok()
    first = (await raw(street, "GET", "audit")).ok()
    second = (await raw(street, "GET", "audit", params={"after": first["next"]})).ok()
    ids = [entry["id"] for entry in first["items"] + second["items"]]
    assert ids == sorted(set(ids), reverse=True)
    assert (len(first["items"]), second["next"]) == (50, None)
    assert len(ids) == 61


@pytest.mark.gen_test(timeout=20)
async def test_a_ban_that_comes_while_somebody_is_let_in_holds(
    street: Street, server: Server
) -> None:
    host = await street.host()
    bert = await street.person("bert", 1)
    enter = server.parts.keeper.enter

    async def banned_meanwhile(live_id: int, person: Person) -> Room:
        room = await enter(live_id, person)
        await server.parts.users.update(bert.id, banned=True)
        return room

    server.parts.keeper.enter = banned_meanwhile  # type: ignore[method-assign]
    entered = await bert.get("get_playurl/", live_id=host.live_id)
    assert entered.refusal == (403, "banned")
    assert await server.parts.members.get(bert.id) is None
