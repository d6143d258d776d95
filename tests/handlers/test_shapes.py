"""The contract's own example answers, kept as JSON, against what the server answers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.phones import BASE, Street

SHAPES = {
    path.stem: json.loads(path.read_text())
    for path in (Path(__file__).parents[1] / "shapes").glob("*.json")
}

ADDED = {
    # what we say beyond the example
    "accept_micro": {"gender", "face_url"},
    "get_users_info[]": {"nickname"},
}
TYPES = {
    # where the example has "" for a number, or null for a time that we know
    "login.live_id": int,
    "qlive_pay[].id": int,
    "qlive_pay[].gold": int,
    "accept_micro.age": int,
    "matchmaker_enter.live_id": int,
    "update_userinfo.last_login_time": str,
    "get_userinfo.last_login_time": str,
    "get_userinfo.user_sig_expired": str,
}


def differences(where: str, example: Any, ours: Any) -> Iterator[str]:
    """Every place where our answer has other keys or another JSON type than the example."""
    if where in TYPES:
        if type(ours) is not TYPES[where]:
            yield f"{where}: {ours!r} is no {TYPES[where].__name__}"
    elif type(example) is not type(ours):
        yield f"{where}: {ours!r} instead of {example!r}"
    elif isinstance(example, dict):
        yield from _of_objects(where, example, ours)
    elif isinstance(example, list):
        if not ours:
            yield f"{where} is empty"
        for item in ours:
            yield from differences(f"{where}[]", example[0], item)


def _of_objects(where: str, example: dict[str, Any], ours: dict[str, Any]) -> Iterator[str]:
    for name in example.keys() ^ (ours.keys() - ADDED.get(where, set())):
        yield f"{where}.{name} stands in one of them only"
    for name in example.keys() & ours.keys():
        yield from differences(f"{where}.{name}", example[name], ours[name])


def differ(where: str, example: Any, ours: Any) -> bool:
    return bool(list(differences(where, example, ours)))


def test_a_difference_is_seen() -> None:
    assert differ("a", {"b": 1}, {"b": "1"})
    assert differ("a", {"b": 1}, {"b": 1, "c": 1})
    assert differ("a", {"b": 1}, {})
    assert differ("a", [{"b": 1}], [{"b": 1}, {"b": None}])
    assert differ("a", [1], [])
    assert differ("qlive_pay", [{"id": ""}], [{"id": "1"}])
    assert not differ("a", [{"b": {"c": 1}}], [{"b": {"c": 2}}])


@pytest.mark.parametrize("changes", [{"pages": {"size": 3}}])
@pytest.mark.gen_test(timeout=20)
async def test_every_answer_has_the_shape_of_the_contracts_example(street: Street) -> None:
    heard = dict(await play(street))
    assert heard.keys() == SHAPES.keys()
    wrong = {name: list(differences(name, SHAPES[name], heard[name])) for name in heard}
    assert {name: lines for name, lines in wrong.items() if lines} == {}


async def play(street: Street) -> list[tuple[str, Any]]:
    """Every call of the contract once, in an order in which it succeeds."""
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id, gold=1000)
    bert = await street.guest("bert", 1, host.live_id)
    here = {"live_id": host.live_id}
    heard = [
        ("create_user", await _create(street)),
        ("matchmaker_enter", await host.post("qlive_room/matchmaker_enter/")),
        ("update_userinfo", await anna.post("qlive_user/update_userinfo/", age=27)),
        ("get_userinfo", await anna.get("qlive_user/get_userinfo/")),
        ("get_livelist", await anna.get("get_livelist/")),
        ("qlive_gift", await anna.get("qlive_gift/")),
        ("qlive_pay", await anna.get("qlive_pay/")),
        ("order", await anna.post("qlive_pay/", block_id=1)),
        ("get_configs", await anna.get("get_configs/")),
        ("like", await anna.post("qlive_like/", user_id=bert.id, like_state=1)),
        ("like_state", await anna.get("qlive_like/", user_id=bert.id)),
        ("get_users_info", await anna.get("qlive_user/get_users_info/", **here, gender=1)),
        ("apply_micro", await anna.post("qlive_room/apply_micro/", **here)),
        ("accept_micro", await anna.post("qlive_room/accept_micro/", **here)),
        ("apply_micro", await bert.post("qlive_room/apply_micro/", **here)),
        ("accept_micro", await bert.post("qlive_room/accept_micro/", **here)),
        ("get_playurl", await anna.get("get_playurl/", **here)),
        ("get_user_state", await anna.get("qlive_user/get_user_state/")),
        ("login", await _login(street, "anna")),
        ("push_gift", await anna.get("qlive_gift/push_gift/", user_id=host.id, gift_id=1, num=2)),
        ("leave_micro", await anna.get("qlive_room/leave_micro/", **here)),
        ("refuse_micro", await anna.post("qlive_room/refuse_micro/", **here)),
        ("leave_room", await anna.get("qlive_room/leave_room/", **here)),
        ("live_end", await host.post("qlive_room/live_end/", **here)),
        ("logout", await host.get("qlive_user/logout/")),
    ]
    return [(name, reply.ok()) for name, reply in heard]


async def _create(street: Street) -> Any:
    return await street.ask("POST", f"{BASE}qlive_user/", json=await street.wechat("carl", 1))


async def _login(street: Street, name: str) -> Any:
    got = await street.wechat(name)
    body = {"appId": got["appId"], "code": got["code"]}
    return await street.ask("POST", f"{BASE}qlive_user/login/", json=body)


@pytest.mark.gen_test(timeout=20)
async def test_an_empty_seat_is_an_empty_object_and_no_room_an_empty_text(street: Street) -> None:
    host = await street.host()
    seen = (await host.get("get_playurl/", live_id=host.live_id)).ok()
    empty = SHAPES["get_playurl"] | {"male": {}, "female": {}}
    assert not differ("get_playurl", empty, seen)
    phone = await street.person("anna", 2)
    state = (await phone.get("qlive_user/get_user_state/")).ok()
    assert not differ("get_user_state", SHAPES["get_user_state"] | {"live_id": ""}, state)
