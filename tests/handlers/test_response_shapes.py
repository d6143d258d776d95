"""Compares responses of the server with the example responses of the API contract."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import BASE, ApiFixture

EXAMPLES = json.loads(Path(__file__).with_name("contract_examples.json").read_text())

TYPES = {
    # the example has "" for a number or null for a time
    "login.live_id": int,
    "qlive_pay[].id": int,
    "qlive_pay[].gold": int,
    "accept_micro.age": int,
    "matchmaker_enter.live_id": int,
    "update_userinfo.last_login_time": str,
    "get_userinfo.last_login_time": str,
    "get_userinfo.user_sig_expired": str,
}


def differences(path: str, example: Any, actual: Any) -> Iterator[str]:
    """Yield each path of the example that is missing, or whose JSON type differs."""
    if path in TYPES:
        if type(actual) is not TYPES[path]:
            yield f"{path}: {actual!r} is not a {TYPES[path].__name__}"
    elif type(example) is not type(actual):
        yield f"{path}: {actual!r} instead of {example!r}"
    elif isinstance(example, dict):
        yield from _object_differences(path, example, actual)
    elif isinstance(example, list):
        if not actual:
            yield f"{path} is empty"
        for item in actual:
            yield from differences(f"{path}[]", example[0], item)


def _object_differences(
    path: str, example: dict[str, Any], actual: dict[str, Any]
) -> Iterator[str]:
    for name in example.keys() - actual.keys():
        yield f"{path}.{name} is missing"
    for name in example.keys() & actual.keys():
        yield from differences(f"{path}.{name}", example[name], actual[name])


@pytest.mark.parametrize("changes", [{"pages": {"size": 3}}])
async def test_every_response_matches_the_shape_of_the_contract_example(api: ApiFixture) -> None:
    responses = dict(await call_every_endpoint(api))
    assert responses.keys() == EXAMPLES.keys()
    for name, response in responses.items():
        assert not list(differences(name, EXAMPLES[name], response))
    for wrong in ({"detail": 1}, {}, ["OK"]):
        assert list(differences("like", EXAMPLES["like"], wrong))


async def call_every_endpoint(api: ApiFixture) -> list[tuple[str, Any]]:
    """Call every endpoint of the contract in an order in which each call succeeds."""
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=1000)
    bert = await api.guest("bert", 1, host.live_id)
    room_params = {"live_id": host.live_id}
    responses = [
        ("create_user", await _create(api)),
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
        ("get_users_info", await anna.get("qlive_user/get_users_info/", **room_params, gender=1)),
        ("apply_micro", await anna.post("qlive_room/apply_micro/", **room_params)),
        ("accept_micro", await anna.post("qlive_room/accept_micro/", **room_params)),
        ("apply_micro", await bert.post("qlive_room/apply_micro/", **room_params)),
        ("accept_micro", await bert.post("qlive_room/accept_micro/", **room_params)),
        ("get_playurl", await anna.get("get_playurl/", **room_params)),
        ("get_user_state", await anna.get("qlive_user/get_user_state/")),
        ("login", await api.log_in("anna")),
        ("push_gift", await anna.get("qlive_gift/push_gift/", user_id=host.id, gift_id=1, num=2)),
        ("leave_micro", await anna.get("qlive_room/leave_micro/", **room_params)),
        ("refuse_micro", await anna.post("qlive_room/refuse_micro/", **room_params)),
        ("leave_room", await anna.get("qlive_room/leave_room/", **room_params)),
        ("live_end", await host.post("qlive_room/live_end/", **room_params)),
        ("logout", await host.get("qlive_user/logout/")),
    ]
    return [(name, reply.ok()) for name, reply in responses]


async def _create(api: ApiFixture) -> Any:
    return await api.request("POST", f"{BASE}qlive_user/", json=await api.wechat("carl", 1))


async def test_empty_seat_is_an_empty_object_and_missing_room_an_empty_string(
    api: ApiFixture,
) -> None:
    host, client = await api.host(), await api.user("anna", 2)
    room = (await host.get("get_playurl/", live_id=host.live_id)).ok()
    assert (room["male"], room["female"]) == ({}, {})
    state = (await client.get("qlive_user/get_user_state/")).ok()
    assert state == {**dict.fromkeys(EXAMPLES["get_user_state"], ""), "user_type": 0}
