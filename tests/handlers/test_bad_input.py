import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import aiohttp
import pytest
from pydantic import BaseModel, ValidationError
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from handlers.accounts.sign_in import LogoutHandler
from handlers.base import ActiveUserHandler, Handler
from handlers.pages import WEB
from handlers.routes import API_ROUTES, HEALTH_ROUTES, OPS_ROUTES
from tests.support.api import BASE, ApiClient, ApiFixture, Reply

METHODS = ("GET", "POST", "PATCH", "DELETE")
MEGABYTE = b'{"live_id": "' + b"1" * 1_000_000 + b'"}'


@dataclass(frozen=True)
class Call:
    """One method of one path, with the model of its parameters."""

    method: str
    path: str
    handler: type[Handler]
    request_model: type[BaseModel] | None


def own_methods(handler: type[Handler]) -> list[str]:
    methods = [(name, getattr(handler, name.lower())) for name in METHODS]
    return [name for name, method in methods if method is not getattr(Handler, name.lower())]


def calls() -> Iterator[Call]:
    for path, handler, *_ in API_ROUTES:
        for method in own_methods(handler):
            function: Any = getattr(handler, method.lower())
            yield Call(method, BASE + path, handler, function.call.request)


CALLS = list(calls())
CALLS_WITH_PARAMETERS = [call for call in CALLS if call.request_model]
LIVE_CALL = next(
    call for call in CALLS_WITH_PARAMETERS if "live_id" in call.request_model.model_fields
)
"""One of those with a `live_id`, which is logged before it is validated."""
PATHS = [
    *((BASE + path, handler) for path, handler, *_ in API_ROUTES),
    *((f"/ops/api/{path}", handler) for path, handler, *_ in OPS_ROUTES),
    *((f"/{path}", handler) for path, handler, *_ in HEALTH_ROUTES),
]


def on_every_endpoint(cases: Sequence[Any]) -> list[tuple[Call, Any]]:
    """All cases for one endpoint, and one for each of the others, whose parser is the same."""
    return [
        (call, case)
        for call in CALLS_WITH_PARAMETERS
        for case in (cases if call is LIVE_CALL else cases[:1])
    ]


def check_envelope(reply: Reply, *context: object) -> Reply:
    """Check the headers and the error envelope that every reply must have."""
    assert reply.headers["Cache-Control"] == "no-store", context
    assert reply.headers["Content-Type"].startswith("application/json"), (context, reply.text)
    assert reply.status < 500, (context, reply.text)
    if reply.status >= 400:
        assert isinstance(reply.json["detail"], str), context
        assert isinstance(reply.json["code"], str), context
        assert "Traceback" not in reply.text, context
    return reply


async def send(api: ApiFixture, call: Call, client: ApiClient | None, **kwargs: Any) -> Reply:
    headers = {"Authorization": f"QLiveToken {client.token}"} if client else {}
    headers |= kwargs.pop("headers", {})
    path = call.path + kwargs.pop("query", "")
    reply = await api.request(call.method, path, headers=headers, **kwargs)
    return check_envelope(reply, call.method, call.path, kwargs)


async def guest_with_valid_parameters(api: ApiFixture) -> tuple[ApiClient, dict[str, Any]]:
    """A guest in a room, and a valid value for every parameter name."""
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    valid = {"live_id": host.live_id, "user_id": host.id, "gift_id": 1, "num": 1, "block_id": 1}
    valid |= {"gender": 2, "page": 1, "like_state": 1, "request_id": "one", "nickname": "anna"}
    return anna, valid | {"age": 27, "area": "310100", "face_url": "https://example.com/a"}


# ---- malformed bodies


INVALID_BODIES = [
    b"{",
    b"{'live_id': 1}",
    b'{"live_id": 1} {}',
    b"[1]",
    b'"live_id"',
    b"null",
    b"12",
    b"\xff\xfe\x00",
    b'{"live_id": "\xff"}',
    b'{"live_id": "\\ud800"}',
    b'{"live_id": NaN}',
    b'{"live_id": -Infinity}',
    b'{"live_id": ' + b"9" * 5000 + b"}",
    b"[" * 50_000,
    b'{"live_id":' * 5_500,
    b'{"live_id":' * 5_000 + b"1" + b"}" * 5_000,
]


@pytest.mark.gen_test(timeout=20)
async def test_every_endpoint_rejects_a_body_that_is_not_a_json_object(api: ApiFixture) -> None:
    assert len(CALLS_WITH_PARAMETERS) > 20
    anna = await api.user("anna", 2)
    content_types = ("application/json", "text/plain")
    for call, (body, content_type) in on_every_endpoint([*product(INVALID_BODIES, content_types)]):
        reply = await send(api, call, anna, data=body, headers={"Content-Type": content_type})
        assert reply.refusal == (400, "bad_request"), (call, content_type, body[:40])


@pytest.mark.gen_test(timeout=20)
async def test_every_endpoint_rejects_a_one_megabyte_body(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    for call, content_type in on_every_endpoint(
        ["application/json", "application/x-www-form-urlencoded"]
    ):
        reply = await send(api, call, anna, data=MEGABYTE, headers={"Content-Type": content_type})
        assert reply.refusal == (413, "too_large"), (call, content_type)


INVALID_FORMS = [
    ("multipart/form-data", b"x"),
    ("multipart/form-data; boundary=", b"x"),
    ("multipart/form-data; boundary=x", b"no boundary in here"),
    ("multipart/form-data; boundary=x", b"--x\r\nno header\r\n--x--\r\n"),
    ("multipart/form-data; boundary=x", b"--x\r\n\r\nvalue\r\n--x--\r\n"),
    ("application/x-www-form-urlencoded", b"\xff=1&live_id=%ff"),
    ("application/x-www-form-urlencoded; charset=nonsense", b"live_id=%zz"),
]


@pytest.mark.gen_test(timeout=20)
async def test_malformed_forms_are_client_errors(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    for call, (content_type, body) in on_every_endpoint(INVALID_FORMS):
        required = any(field.is_required() for field in call.request_model.model_fields.values())
        reply = await send(api, call, anna, data=body, headers={"Content-Type": content_type})
        assert reply.status == 400 if required else reply.status in (200, 400), (call, body)


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


def is_valid(model: type[BaseModel], params: dict[str, Any]) -> bool:
    try:
        model.model_validate(params)
    except ValidationError:
        return False
    return True


@pytest.mark.gen_test(timeout=20)
async def test_hostile_parameter_values_never_cause_a_server_error(api: ApiFixture) -> None:
    """What the model of a request refuses needs no request, except for one endpoint."""
    anna, valid = await guest_with_valid_parameters(api)
    for call in CALLS_WITH_PARAMETERS:
        fields = call.request_model.model_fields
        usual = {name: valid[name] for name in fields if name in valid}
        for name, value in product(fields, HOSTILE):
            params, case = usual | {name: value}, (call, name, value)
            permitted = is_valid(call.request_model, params)
            if isinstance(value, list | dict) or type(valid.get(name)) is int:
                assert not permitted or (value is None and not fields[name].is_required()), case
            if permitted or value == {"$gt": ""} or call is LIVE_CALL:
                reply = await send(api, call, anna, json=params)
                assert permitted or reply.refusal[0] == 400, case
    (await anna.get("qlive_user/get_user_state/")).ok()


ENCODINGS: dict[str, Callable[[dict[str, str]], dict[str, Any]]] = {
    "JSON": lambda params: {"json": params},
    "form": lambda params: {"data": params},
    "multipart": lambda params: {"data": aiohttp.FormData(params, default_to_multipart=True)},
    "query": lambda params: {"params": params},
    "body overrides query": lambda params: {
        "json": params,
        "params": dict.fromkeys(params, "wrong"),
    },
    "plain text": lambda params: {"data": json.dumps(params)},
    "JSON with the form content type of curl": lambda params: {
        "data": json.dumps(params),
        "headers": {"Content-Type": "application/x-www-form-urlencoded"},
    },
    "with unknown parameters": lambda params: {"json": params | {"unknown": [1], "appId": "x"}},
}


@pytest.mark.gen_test(timeout=20)
async def test_invalid_parameters_are_named_for_every_encoding(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    for call, encoding in on_every_endpoint(["JSON", "form", "multipart", "query"]):
        invalid = {
            name: "x" * 600 for name in call.request_model.model_fields if name != "encryptedData"
        }
        reply = await send(api, call, anna, **ENCODINGS[encoding](invalid))
        assert reply.refusal == (400, "bad_parameter"), (call, encoding)
        assert invalid.keys() <= reply.json["fields"].keys(), (call, encoding)
        assert all(reply.json["fields"].values()), (call, encoding)


@pytest.mark.gen_test(timeout=20)
async def test_missing_parameters_and_empty_strings_are_equivalent(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    for call, encoding in on_every_endpoint(["query", "JSON", "form"]):
        fields = call.request_model.model_fields
        required = {name for name, field in fields.items() if field.is_required()}
        for params in ({}, dict.fromkeys(fields, "")):
            reply = await send(api, call, anna, **ENCODINGS[encoding](params))
            assert reply.status == (400 if required else 200), (call, encoding, params)
            if required:
                assert reply.json["fields"].keys() == required, (call, encoding, params)


@pytest.mark.gen_test(timeout=20)
async def test_invalid_utf8_in_the_query_names_the_parameter(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    for call, query in on_every_endpoint(["?live_id=%ff", "?live_id=%ed%a0%80", "?live_id=1%c3"]):
        reply = await send(api, call, anna, query=query)
        assert reply.refusal == (400, "bad_parameter"), (call, query)
        assert reply.json["fields"].keys() == {"live_id"}, (call, query)


@pytest.mark.gen_test(timeout=20)
async def test_parameters_are_accepted_in_every_encoding(api: ApiFixture) -> None:
    """Numbers are text, as in a form."""
    host, anna = await api.host(), await api.user("anna", 2, gold=20)
    update = Call("POST", f"{BASE}qlive_user/update_userinfo/", Handler, None)
    give = Call("GET", f"{BASE}qlive_gift/push_gift/", Handler, None)
    for number, (encoding, encode) in enumerate(ENCODINGS.items(), 1):
        profile = {"age": str(20 + number), "nickname": f"安娜 {number}"}
        reply = await send(api, update, anna, **encode(profile))
        stored = {name: str(reply.ok()[name]) for name in profile}
        assert stored == profile, encoding
        gift = {"user_id": host.id, "gift_id": "1", "num": "2"}
        reply = await send(api, give, anna, **encode(gift))
        assert reply.ok()["gold"] == 20 - 2 * number, encoding


@pytest.mark.gen_test(timeout=20)
async def test_endpoints_accept_a_form(api: ApiFixture) -> None:
    host, anna = await api.host(), await api.user("anna", 2, gold=10)
    room = {"live_id": str(host.live_id)}
    gift = {"user_id": host.id, "gift_id": "1", "num": "2"}
    for method, path, params in (
        ("POST", "qlive_user/update_userinfo/", {"age": "27", "nickname": "安娜"}),
        ("GET", "qlive_user/get_userinfo/", {"user_id": host.id}),
        ("GET", "get_livelist/", {"page": "1"}),
        ("GET", "get_playurl/", room),
        ("GET", "qlive_user/get_users_info/", room | {"gender": "2", "page": "1"}),
        ("POST", "qlive_room/apply_micro/", room),
        ("POST", "qlive_room/accept_micro/", room),
        ("GET", "qlive_room/leave_micro/", room | {"user_id": anna.id, "gender": "2"}),
        ("POST", "qlive_room/refuse_micro/", room),
        ("GET", "qlive_gift/", {"page": "1"}),
        ("GET", "qlive_gift/push_gift/", gift),
        ("POST", "qlive_pay/", {"block_id": "1"}),
        ("POST", "qlive_like/", {"user_id": host.id, "like_state": "1"}),
        ("GET", "qlive_like/", {"user_id": host.id}),
        ("GET", "qlive_room/leave_room/", room),
    ):
        reply = await send(api, Call(method, BASE + path, Handler, None), anna, data=params)
        assert reply.status == 200, (path, reply.text)
    info = (await anna.get("qlive_user/get_userinfo/")).ok()
    assert (info["nickname"], info["age"], info["gold"]) == ("安娜", 27, 8)


@pytest.mark.gen_test(timeout=20)
async def test_numeric_parameters_may_be_json_numbers(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.user("anna", 2)
    (await anna.post("qlive_like/", user_id=int(host.id), like_state=1)).ok()
    (await anna.get("get_playurl/", live_id=host.live_id)).ok()
    (await anna.post("qlive_room/apply_micro/", live_id=float(host.live_id))).ok()


# ---- paths, methods, tokens


@pytest.mark.gen_test(timeout=20)
async def test_unknown_paths_are_404_for_every_method(api: ApiFixture) -> None:
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
            reply = await api.request(method, path)
            assert reply.refusal == (404, "no_such_thing"), (method, path)


@pytest.mark.gen_test(timeout=20)
async def test_what_is_no_file_name_is_404(api: ApiFixture) -> None:
    folders = ("static/faces", "static/gifts", "ops", "docs", "demo", "sdk")
    for folder, name in product(
        folders, ("%00", "x%00.svg", "%ff", "%ed%a0%80", "%0a", 5000 * "a")
    ):
        reply = await api.request("GET", f"/{folder}/{name}")
        assert reply.refusal == (404, "no_such_thing"), (folder, name)


@pytest.mark.gen_test(timeout=20)
async def test_a_path_leads_out_of_no_folder_of_images(api: ApiFixture) -> None:
    for folder, path in product(("faces", "gifts"), ("..%2fops/index.html", "../ops/index.html")):
        reply = await api.request("GET", f"/static/{folder}/{path}")
        assert reply.status in (403, 404), (folder, path)


@pytest.mark.gen_test(timeout=20)
async def test_a_request_with_an_unknown_method_is_logged_with_its_id(api: ApiFixture) -> None:
    with capture_logs(processors=[merge_contextvars]) as lines:
        reply = await api.request("BREW" * 2_000, "/healthz")
    [line] = [line for line in lines if line["event"] == "request_completed"]
    assert (reply.status, line["request_id"]) == (405, reply.headers["X-Request-Id"])
    assert line["method"] == "other"


@pytest.mark.gen_test(timeout=20)
async def test_every_answer_forbids_to_guess_its_type(api: ApiFixture, db: Any) -> None:
    anna = await api.user("anna", 2)
    statuses = set()
    for path in (
        *(f"{BASE}get_configs/", f"{BASE}get_livelist/", f"{BASE}get_livelist/?page=x"),
        *("/nope", "/healthz", "/metrics", "/docs/", "/docs/openapi.json", "/ops", "/ops/nope.js"),
        *("/ops/api/overview", "/static/faces/%00", "/", f"{BASE}ws/", "/static/faces/"),
    ):
        headers = {"Authorization": f"QLiveToken {anna.token}"}
        reply = await api.request("GET", path, headers=headers)
        assert reply.headers["X-Content-Type-Options"] == "nosniff", path
        statuses.add(reply.status)
    face = min((WEB / "faces").iterdir()).name
    assert (await api.request("GET", f"/static/faces/{face}")).headers[
        "X-Content-Type-Options"
    ] == "nosniff"
    db.users.update_one({"_id": anna.id}, {"$unset": {"create_time": 1}})
    broken = await anna.get("get_configs/")
    assert (broken.status, broken.headers["X-Content-Type-Options"]) == (500, "nosniff")
    assert statuses >= {200, 400, 401, 403, 404}


@pytest.mark.gen_test(timeout=20)
async def test_405_lists_the_allowed_methods(api: ApiFixture) -> None:
    """Sends every other method to one path, and one to each."""
    for n, (pattern, handler) in enumerate(PATHS):
        path = re.sub(r"\(.*?\)", "12345678", pattern)
        allowed = own_methods(handler)
        assert allowed, pattern
        others = {*METHODS, "HEAD", "OPTIONS", "TRACE", "BREW"} if not n else set()
        for method in {*others, "PUT"} - set(allowed):
            # Tornado closes the connection after a method that it does not know, which is a race.
            headers = {"Connection": "close"} if method in ("BREW", "TRACE") else {}
            reply = await api.request(method, path, headers=headers)
            assert reply.status == 405, (method, path)
            assert sorted(reply.headers["Allow"].split(", ")) == sorted(allowed), (method, path)
            if method != "HEAD":
                assert check_envelope(reply, method, path).refusal == (405, "wrong_method")


@pytest.mark.gen_test(timeout=20)
async def test_every_path_works_with_and_without_its_trailing_slash(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    for call in CALLS:
        if call.path.endswith("logout/"):
            continue
        without_slash = Call(call.method, call.path.rstrip("/"), call.handler, call.request_model)
        with_slash, without = await send(api, call, anna), await send(api, without_slash, anna)
        assert with_slash.status == without.status != 404, call
        assert (with_slash.status == 200) or with_slash.refusal == without.refusal
    assert (await api.request("GET", "/healthz/")).status == 200
    headers = {"Authorization": f"QLiveToken {anna.token}"}
    assert (await api.request("GET", f"{BASE}qlive_user/logout", headers=headers)).status == 200


@pytest.mark.gen_test(timeout=20)
async def test_every_user_endpoint_returns_401_without_a_token(api: ApiFixture) -> None:
    guarded = [
        call for call in CALLS if issubclass(call.handler, ActiveUserHandler | LogoutHandler)
    ]
    open_paths = {call.path for call in CALLS} - {call.path for call in guarded}
    callback_paths = (
        "im/callback/",
        "live/callback/",
        "qlive_pay/notify/",
        "qlive_pay/transfer_notify/",
        "qlive_pay/xpay_notify/",
    )
    callbacks = {BASE + path for path in callback_paths}  # authenticated by signatures
    login_paths = {f"{BASE}qlive_user/", f"{BASE}qlive_user/login/", f"{BASE}ws/"}
    assert open_paths == login_paths | callbacks
    for call in guarded:
        reply = await send(api, call, None)
        assert reply.refusal == (401, "token"), call
        assert reply.headers["WWW-Authenticate"] == "QLiveToken"


@pytest.mark.gen_test(timeout=20)
async def test_valid_request_id_is_echoed_and_an_invalid_one_is_replaced(api: ApiFixture) -> None:
    path = f"{BASE}get_configs/"
    echoed = await api.request("GET", path, headers={"X-Request-Id": "phone-1.a_B"})
    assert echoed.headers["X-Request-Id"] == "phone-1.a_B"
    for invalid in ("", "a b", "x" * 65, "ключ"):
        reply = await api.request("GET", path, headers={"X-Request-Id": invalid})
        assert re.fullmatch(r"[0-9a-f]{32}", reply.headers["X-Request-Id"])


@pytest.mark.gen_test(timeout=20)
async def test_websocket_path_returns_the_error_envelope_to_plain_requests(api: ApiFixture) -> None:
    reply = await api.request("GET", f"{BASE}ws/?live_id=1")
    assert reply.refusal == (400, "bad_request")


@pytest.mark.gen_test(timeout=20)
async def test_internal_error_exposes_no_details(api: ApiFixture, db: Any) -> None:
    anna = await api.user("anna", 2)
    db.users.update_one({"_id": anna.id}, {"$unset": {"create_time": 1}})
    reply = await anna.get("get_configs/")
    assert reply.refusal == (500, "internal")
    assert reply.json.keys() == {"detail", "code"}
    assert "create_time" not in reply.text
