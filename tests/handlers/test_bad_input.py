import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import aiohttp
import pytest
from pydantic import BaseModel

from handlers.admission import SignedIn
from handlers.base import Handler
from handlers.routes import CONTRACT, HEALTH, OPERATORS
from handlers.users import Logout
from tests.phones import BASE, Phone, Reply, Street

METHODS = ("GET", "POST", "PATCH", "DELETE")
MEGABYTE = b'{"live_id": "' + b"1" * 1_000_000 + b'"}'


@dataclass(frozen=True)
class Call:
    """One method of one path; `asks` is the model of its parameters."""

    method: str
    path: str
    handler: type[Handler]
    asks: type[BaseModel] | None


def own_methods(handler: type[Handler]) -> list[str]:
    methods = [(name, getattr(handler, name.lower())) for name in METHODS]
    return [name for name, own in methods if own is not getattr(Handler, name.lower())]


def calls() -> Iterator[Call]:
    for path, handler in CONTRACT:
        for method in own_methods(handler):
            asks = getattr(getattr(handler, method.lower()), "asks", None)
            yield Call(method, BASE + path, handler, asks)


CALLS = list(calls())
ASKING = [call for call in CALLS if call.asks]
PATHS = [
    *((BASE + path, handler) for path, handler in CONTRACT),
    *((f"/ops/api/{path}", handler) for path, handler in OPERATORS),
    *((f"/{path}", handler) for path, handler in HEALTH),
]


def seen(reply: Reply, *context: object) -> Reply:
    """The reply, after a look at what every answer has."""
    assert reply.headers["Cache-Control"] == "no-store", context
    assert reply.headers["Content-Type"].startswith("application/json"), (context, reply.text)
    assert reply.status < 500, (context, reply.text)
    if reply.status >= 400:
        assert isinstance(reply.json["detail"], str), context
        assert isinstance(reply.json["code"], str), context
        assert "Traceback" not in reply.text, context
    return reply


async def send(street: Street, call: Call, phone: Phone | None, **kwargs: Any) -> Reply:
    headers = {"Authorization": f"QLiveToken {phone.token}"} if phone else {}
    headers |= kwargs.pop("headers", {})
    path = call.path + kwargs.pop("query", "")
    reply = await street.ask(call.method, path, headers=headers, **kwargs)
    return seen(reply, call.method, call.path, kwargs)


async def member(street: Street) -> tuple[Phone, dict[str, Any]]:
    """Somebody in a room, and right parameters of every name for them."""
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    right = {"live_id": host.live_id, "user_id": host.id, "gift_id": 1, "num": 1, "block_id": 1}
    right |= {"gender": 2, "page": 1, "like_state": 1, "request_id": "one", "nickname": "anna"}
    return anna, right | {"age": 27, "area": "310100", "face_url": "https://example.com/a"}


# ---- what is no JSON object


NO_OBJECT = [
    b"{",
    b"{'live_id': 1}",
    b'{"live_id": 1} {}',
    b"[1]",
    b'"live_id"',
    b"null",
    b"12",
    b"\xff\xfe\x00",
    b'{"live_id": "\xff"}',
    b'{"live_id": NaN}',
    b'{"live_id": -Infinity}',
    b'{"live_id": ' + b"9" * 5000 + b"}",
    b"[" * 50_000,
    b'{"live_id":' * 5_500,
    b'{"live_id":' * 5_000 + b"1" + b"}" * 5_000,
]


@pytest.mark.gen_test(timeout=20)
async def test_a_body_that_is_no_json_object_is_refused_everywhere(street: Street) -> None:
    anna = await street.person("anna", 2)
    for call, body in product(ASKING, NO_OBJECT):
        for kind in ("application/json", "text/plain"):
            headers = {"Content-Type": kind}
            answer = await send(street, call, anna, data=body, headers=headers)
            assert answer.refusal == (400, "bad_request"), (call, body[:40])


@pytest.mark.gen_test(timeout=20)
async def test_a_megabyte_is_too_large_everywhere(street: Street) -> None:
    anna = await street.person("anna", 2)
    for call in ASKING:
        for kind in ("application/json", "application/x-www-form-urlencoded"):
            headers = {"Content-Type": kind}
            answer = await send(street, call, anna, data=MEGABYTE, headers=headers)
            assert answer.refusal == (413, "too_large"), call


NO_FORM = [
    ("multipart/form-data", b"x"),
    ("multipart/form-data; boundary=", b"x"),
    ("multipart/form-data; boundary=x", b"no boundary in here"),
    ("multipart/form-data; boundary=x", b"--x\r\nno header\r\n--x--\r\n"),
    ("multipart/form-data; boundary=x", b"--x\r\n\r\nvalue\r\n--x--\r\n"),
    ("application/x-www-form-urlencoded", b"\xff=1&live_id=%ff"),
    ("application/x-www-form-urlencoded; charset=nonsense", b"live_id=%zz"),
]


@pytest.mark.gen_test(timeout=20)
async def test_a_form_that_is_none_is_a_refusal_of_the_caller(street: Street) -> None:
    anna = await street.person("anna", 2)
    for call, (kind, body) in product(ASKING, NO_FORM):
        required = any(field.is_required() for field in call.asks.model_fields.values())
        answer = await send(street, call, anna, data=body, headers={"Content-Type": kind})
        assert answer.status == 400 if required else answer.status in (200, 400), call


# ---- parameters


HOSTILE: list[Any] = [
    None,
    [],
    {},
    [1],
    {"$gt": ""},
    "\x00",
    "1\x00",
    "\ud800",
    "x" * 20_000,
    10**100,
    -(10**18),
    2**63,
    1.5,
    "1e400",
    "٣",
    "NaN",
    "../../etc",
    "$where",
]


@pytest.mark.gen_test(timeout=40)
async def test_one_wrong_parameter_never_breaks_anything(street: Street) -> None:
    anna, right = await member(street)
    for call, value in product(ASKING, HOSTILE):
        fields = call.asks.model_fields
        for name in fields:
            sent = {field: right[field] for field in fields if field in right} | {name: value}
            answer = await send(street, call, anna, json=sent)
            if isinstance(value, list | dict) or (name in right and type(right[name]) is int):
                optional = value is None and not fields[name].is_required()
                assert optional or answer.refusal[0] == 400, (call, name, value)
    (await anna.get("qlive_user/get_user_state/")).ok()


@pytest.mark.gen_test(timeout=20)
async def test_every_wrong_parameter_is_named_whichever_way_it_came(street: Street) -> None:
    anna = await street.person("anna", 2)
    for call in ASKING:
        wrong = {name: "x" * 600 for name in call.asks.model_fields if name != "encryptedData"}
        multipart = aiohttp.FormData(wrong, default_to_multipart=True)
        for way in ({"json": wrong}, {"data": wrong}, {"data": multipart}, {"params": wrong}):
            answer = await send(street, call, anna, **way)
            assert answer.refusal == (400, "bad_parameter"), call
            assert wrong.keys() <= answer.json["fields"].keys(), call
            assert all(answer.json["fields"].values())


@pytest.mark.gen_test(timeout=20)
async def test_nothing_is_the_same_as_empty_texts(street: Street) -> None:
    anna = await street.person("anna", 2)
    for call in ASKING:
        empty = dict.fromkeys(call.asks.model_fields, "")
        nothing = await send(street, call, anna)
        ways = [
            await send(street, call, anna, json=empty),
            await send(street, call, anna, data=empty),
            await send(street, call, anna, params=empty),
        ]
        required = {name for name, field in call.asks.model_fields.items() if field.is_required()}
        assert nothing.status == (400 if required else 200), call
        for answer in ways:
            assert answer.status == nothing.status, call
            if required:
                assert answer.json["fields"].keys() == required, call


@pytest.mark.gen_test(timeout=20)
async def test_bytes_that_are_not_utf_8_in_the_query_are_named(street: Street) -> None:
    anna = await street.person("anna", 2)
    for call in ASKING:
        for query in ("?live_id=%ff", "?live_id=%ed%a0%80", "?live_id=1%c3"):
            answer = await send(street, call, anna, query=query)
            assert answer.refusal == (400, "bad_parameter"), call
            assert answer.json["fields"].keys() == {"live_id"}


WAYS: dict[str, Any] = {
    "json": lambda sent: {"json": sent},
    "numbers as strings": lambda sent: {"json": {key: str(it) for key, it in sent.items()}},
    "form": lambda sent: {"data": sent},
    "multipart": lambda sent: {"data": aiohttp.FormData(sent, default_to_multipart=True)},
    "query": lambda sent: {"params": sent},
    "both, the body wins": lambda sent: {"json": sent, "params": dict.fromkeys(sent, "wrong")},
    "plain text": lambda sent: {"data": json.dumps(sent)},
    "JSON that curl calls a form": lambda sent: {
        "data": json.dumps(sent),
        "headers": {"Content-Type": "application/x-www-form-urlencoded"},
    },
    "unknown ones beside": lambda sent: {"json": sent | {"unknown": [1], "appId": "x"}},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.gen_test(timeout=20)
async def test_parameters_are_taken_whichever_way_they_come(street: Street, way: str) -> None:
    host = await street.host()
    anna = await street.person("anna", 2, gold=10)
    here = {"live_id": str(host.live_id)}
    gift = {"user_id": host.id, "gift_id": "1", "num": "2"}
    for method, path, sent in (
        ("POST", "qlive_user/update_userinfo/", {"age": "27", "nickname": "安娜"}),
        ("GET", "qlive_user/get_userinfo/", {"user_id": host.id}),
        ("GET", "get_livelist/", {"page": "1"}),
        ("GET", "get_playurl/", here),
        ("GET", "qlive_user/get_users_info/", here | {"gender": "2", "page": "1"}),
        ("POST", "qlive_room/apply_micro/", here),
        ("POST", "qlive_room/accept_micro/", here),
        ("GET", "qlive_room/leave_micro/", here | {"user_id": anna.id, "gender": "2"}),
        ("POST", "qlive_room/refuse_micro/", here),
        ("GET", "qlive_gift/", {"page": "1"}),
        ("GET", "qlive_gift/push_gift/", gift),
        ("POST", "qlive_pay/", {"block_id": "1"}),
        ("POST", "qlive_like/", {"user_id": host.id, "like_state": "1"}),
        ("GET", "qlive_like/", {"user_id": host.id}),
        ("GET", "qlive_room/leave_room/", here),
    ):
        call = Call(method, BASE + path, Handler, None)
        answer = await send(street, call, anna, **WAYS[way](sent))
        assert answer.status == 200, (path, answer.text)
    info = (await anna.get("qlive_user/get_userinfo/")).ok()
    assert (info["nickname"], info["age"], info["gold"]) == ("安娜", 27, 8)


@pytest.mark.gen_test(timeout=20)
async def test_numbers_may_be_numbers(street: Street) -> None:
    host = await street.host()
    anna = await street.person("anna", 2)
    (await anna.post("qlive_like/", user_id=int(host.id), like_state=1)).ok()
    (await anna.get("get_playurl/", live_id=host.live_id)).ok()
    (await anna.post("qlive_room/apply_micro/", live_id=float(host.live_id))).ok()


# ---- paths, methods, tokens


@pytest.mark.gen_test(timeout=20)
async def test_unknown_paths_are_404_for_every_method(street: Street) -> None:
    for path in (
        "/nope",
        "/wx/api/qlive",
        BASE,
        f"{BASE}nope/",
        f"{BASE}qlive_user/login//",
        f"{BASE}qlive_user/login/x",
        f"{BASE}%00",
        f"{BASE}%ff",
        f"{BASE}get_configs/?/../nope".replace("?", "%3F"),
        "/ops/api/nope",
        "/ops/api/users/123",
        "/static/nope.svg",
    ):
        for method in ("GET", "POST") if "static" not in path else ("GET",):
            answer = await street.ask(method, path)
            assert answer.refusal == (404, "no_such_thing"), (method, path)


@pytest.mark.gen_test(timeout=30)
async def test_a_wrong_method_is_told_which_are_right(street: Street) -> None:
    for pattern, handler in PATHS:
        path = re.sub(r"\(.*?\)", "12345678", pattern)
        own = own_methods(handler)
        assert own, pattern
        for method in {*METHODS, "PUT", "HEAD", "OPTIONS", "BREW"} - set(own):
            # Tornado closes the connection after a method that it has never heard of.
            headers = {"Connection": "close"} if method == "BREW" else {}
            answer = await street.ask(method, path, headers=headers)
            assert answer.status == 405, (method, path)
            assert sorted(answer.headers["Allow"].split(", ")) == sorted(own), (method, path)
            if method != "HEAD":
                assert seen(answer, method, path).refusal == (405, "wrong_method")


@pytest.mark.gen_test(timeout=20)
async def test_every_path_works_with_and_without_its_slash(street: Street) -> None:
    anna = await street.person("anna", 2)
    for call in CALLS:
        if call.path.endswith("logout/"):
            continue
        bare = Call(call.method, call.path.rstrip("/"), call.handler, call.asks)
        with_slash, without = await send(street, call, anna), await send(street, bare, anna)
        assert with_slash.status == without.status != 404, call
        assert (with_slash.status == 200) or with_slash.refusal == without.refusal
    assert (await street.ask("GET", "/healthz/")).status == 200
    headers = {"Authorization": f"QLiveToken {anna.token}"}
    assert (await street.ask("GET", f"{BASE}qlive_user/logout", headers=headers)).status == 200


@pytest.mark.gen_test(timeout=20)
async def test_without_a_token_every_call_for_people_is_401(street: Street) -> None:
    guarded = [call for call in CALLS if issubclass(call.handler, SignedIn | Logout)]
    open_ones = {call.path for call in CALLS} - {call.path for call in guarded}
    reports = ("im/callback/", "live/callback/", "qlive_pay/notify/", "qlive_pay/xpay_notify/")
    callbacks = {BASE + path for path in reports}  # each proves itself otherwise
    people = {f"{BASE}qlive_user/", f"{BASE}qlive_user/login/", f"{BASE}ws/"}
    assert open_ones == people | callbacks
    for call in guarded:
        answer = await send(street, call, None)
        assert answer.refusal == (401, "token"), call
        assert answer.headers["WWW-Authenticate"] == "QLiveToken"


@pytest.mark.gen_test(timeout=20)
async def test_a_request_keeps_its_id_and_gets_one_otherwise(street: Street) -> None:
    path = f"{BASE}get_configs/"
    kept = await street.ask("GET", path, headers={"X-Request-Id": "phone-1.a_B"})
    assert kept.headers["X-Request-Id"] == "phone-1.a_B"
    for odd in ("", "a b", "x" * 65, "ключ"):
        answer = await street.ask("GET", path, headers={"X-Request-Id": odd})
        assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-Id"])


@pytest.mark.gen_test(timeout=20)
async def test_the_socket_path_answers_plain_requests_in_the_envelope(street: Street) -> None:
    answer = await street.ask("GET", f"{BASE}ws/?live_id=1")
    assert answer.refusal == (400, "bad_request")


@pytest.mark.gen_test(timeout=20)
async def test_a_mistake_of_ours_shows_nothing_of_itself(street: Street, db: Any) -> None:
    anna = await street.person("anna", 2)
    db.users.update_one({"_id": anna.id}, {"$unset": {"create_time": 1}})
    answer = await anna.get("get_configs/")
    assert answer.refusal == (500, "internal")
    assert answer.json.keys() == {"detail", "code"}
    assert "create_time" not in answer.text
