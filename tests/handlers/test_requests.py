"""Every endpoint checks bodies, parameters, paths, methods and headers in the same way."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import aiohttp
from pydantic import BaseModel, ValidationError
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from handlers.accounts.sign_in import LogoutHandler
from handlers.base import ActiveUserHandler, Handler, methods_of
from handlers.pages import WEB
from handlers.routes import API_ROUTES, HEALTH_ROUTES, OPS_ROUTES
from runtime.process import ServerProcess
from tests.support.api import BASE, ApiClient, ApiFixture, Reply
from tests.support.waiting import until


class Call(NamedTuple):
    """One method of one path, with the model of its parameters."""

    method: str
    path: str
    handler: type[Handler] = Handler
    request_model: type[BaseModel] | None = None

    @property
    def fields(self) -> dict[str, Any]:
        return self.request_model.model_fields if self.request_model else {}


def calls() -> Iterator[Call]:
    for path, handler, *_ in API_ROUTES:
        for method in methods_of(handler):
            function: Any = getattr(handler, method)
            yield Call(method.upper(), BASE + path, handler, function.call.request)


CALLS = list(calls())
CALLS_WITH_PARAMETERS = [call for call in CALLS if call.request_model]
LIVE_CALL = next(call for call in CALLS_WITH_PARAMETERS if "live_id" in call.fields)
"""One of those with a `live_id`, which is logged before it is validated."""


async def send(api: ApiFixture, call: Call, client: ApiClient | None, **options: Any) -> Reply:
    """Send a request; checks the headers and the error envelope that every reply must have."""
    headers = (client.headers if client else {}) | options.pop("headers", {})
    path = call.path + options.pop("query", "")
    reply = await api.request(call.method, path, headers=headers, **options)
    assert reply.headers["Cache-Control"] == "no-store", call
    assert "Etag" not in reply.headers
    assert reply.status < 500, (call, options, reply.text)
    if reply.status >= 400:
        assert reply.refusal, (call, options)
    return reply


# ---- bodies


JSON, TEXT = "application/json", "text/plain"
FORM, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"
MALFORMED = [
    *((JSON, body) for body in (b"{", b"{'live_id': 1}", b'{"live_id": 1} {}', b"[1]", b"null")),
    *((JSON, body) for body in (b"\xff\xfe\x00", b'{"live_id": "\xff"}', b'{"live_id": NaN}')),
    (JSON, b'{"live_id": "\\ud800"}'),
    (JSON, b'{"live_id": -Infinity}'),
    (JSON, b'{"live_id": ' + b"9" * 5000 + b"}"),
    (JSON, b"[" * 50_000),
    (JSON, b'{"live_id":' * 5_500),
    (JSON, b'{"live_id":' * 5_000 + b"1" + b"}" * 5_000),
    (TEXT, b"12"),
    ("multipart/form-data; boundary=", b"x"),
    (MULTIPART, b"no boundary in here"),
    (MULTIPART, b"--x\r\nno header\r\n--x--\r\n"),
    (MULTIPART, b"--x\r\n\r\nvalue\r\n--x--\r\n"),
    (FORM, b"\xff=1&live_id=%ff"),
    (f"{FORM}; charset=nonsense", b"live_id=%zz"),
]


async def test_malformed_bodies_and_queries_are_client_errors(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    for content_type, body in MALFORMED:
        headers = {"Content-Type": content_type}
        reply = await send(api, LIVE_CALL, anna, data=body, headers=headers)
        assert reply.status == 400, (content_type, body[:40])
    for query in ("?live_id=%ff", "?live_id=%ed%a0%80", "?live_id=1%c3"):
        reply = await send(api, LIVE_CALL, anna, query=query)
        assert reply.refusal == (400, "bad_parameter"), query
        assert reply.json["fields"].keys() == {"live_id"}, query


async def test_every_endpoint_refuses_wrong_bodies_and_names_wrong_and_missing_parameters(
    api: ApiFixture,
) -> None:
    assert len(CALLS_WITH_PARAMETERS) > 20
    anna = await api.matchmaker()
    for call in CALLS_WITH_PARAMETERS:
        reply = await send(api, call, anna, data=b"[1]", headers={"Content-Type": JSON})
        assert reply.refusal == (400, "bad_request"), call
        reply = await send(api, call, anna, data=b"x" * 66_000, headers={"Content-Type": FORM})
        assert reply.refusal == (413, "too_large"), call
        invalid = dict.fromkeys(call.fields.keys() - {"encryptedData"}, "x" * 600)
        reply = await send(api, call, anna, json=invalid)
        assert reply.refusal == (400, "bad_parameter"), call
        assert invalid.keys() <= reply.json["fields"].keys(), call
        assert all(reply.json["fields"].values()), call
        required = {name for name, field in call.fields.items() if field.is_required()}
        if call.path == f"{BASE}get_playurl/":
            required = {"live_id"}  # unless there is a ticket
        for params in ({}, dict.fromkeys(call.fields, "")):
            reply = await send(api, call, anna, json=params)
            assert reply.status == (400 if required else 200), (call, params)
            assert not required or reply.json["fields"].keys() == required, (call, params)


ENCODINGS: dict[str, Callable[[dict[str, str]], dict[str, Any]]] = {
    "JSON": lambda params: {"json": params},
    "JSON with numbers": lambda params: {
        "json": {name: int(text) if text.isdigit() else text for name, text in params.items()}
    },
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
        "headers": {"Content-Type": FORM},
    },
    "with unknown parameters": lambda params: {"json": params | {"unknown": [1], "appId": "x"}},
}


async def test_parameters_are_accepted_in_every_encoding(api: ApiFixture) -> None:
    host, anna = await api.host(), await api.user("anna", 2, gold=20)
    update = Call("POST", f"{BASE}qlive_user/update_userinfo/")
    give = Call("GET", f"{BASE}qlive_gift/push_gift/")
    for number, (encoding, encode) in enumerate(ENCODINGS.items(), 1):
        profile = {"age": str(20 + number), "nickname": f"安娜 {number}"}
        stored = (await send(api, update, anna, **encode(profile))).ok()
        assert {name: str(stored[name]) for name in profile} == profile, encoding
        gift = {"user_id": host.id, "gift_id": "1", "num": "2"}
        reply = await send(api, give, anna, **encode(gift))
        assert reply.ok()["gold"] == 20 - 2 * number, encoding


HOSTILE: list[Any] = [
    *(None, [], {}, [1], {"$gt": ""}, "\x00", "1\x00", "\ud800", "x" * 20_000, 10**100),
    *(-(10**18), 2**63, 1.5, "1e400", "٣", "NaN", "../../etc", "$where"),
]


def is_valid(model: type[BaseModel], params: dict[str, Any]) -> bool:
    try:
        model.model_validate(params)
    except ValidationError:
        return False
    return True


async def test_hostile_parameter_values_never_cause_a_server_error(api: ApiFixture) -> None:
    """Values that the model of a request refuses are sent to one endpoint only."""
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    valid = {"live_id": host.live_id, "user_id": host.id, "gift_id": 1, "num": 1, "block_id": 1}
    valid |= {"gender": 2, "page": 1, "like_state": 1, "request_id": "one", "nickname": "anna"}
    valid |= {"age": 27, "area": "310100", "face_url": "https://example.com/a"}
    for call in CALLS_WITH_PARAMETERS:
        assert call.request_model
        usual = {name: valid[name] for name in call.fields if name in valid}
        for name, value in product(call.fields, HOSTILE):
            params, case = usual | {name: value}, (call, name, value)
            permitted = is_valid(call.request_model, params)
            if isinstance(value, list | dict) or type(valid.get(name)) is int:
                is_omitted = value is None and not call.fields[name].is_required()
                assert not permitted or is_omitted, case
            if permitted or value == {"$gt": ""} or call is LIVE_CALL:
                reply = await send(api, call, anna, json=params)
                assert permitted or reply.refusal[0] == 400, case
    (await anna.get("qlive_user/get_user_state/")).ok()


# ---- paths and methods


async def test_unknown_paths_and_file_names_are_404(api: ApiFixture) -> None:
    for path in ("/nope", "/wx/api/qlive", BASE, f"{BASE}qlive_user/login//", f"{BASE}%00"):
        for method in ("GET", "POST"):
            reply = await api.request(method, path)
            assert reply.refusal == (404, "no_such_thing"), (method, path)
    folders = ("static/faces", "static/gifts", "ops", "docs", "demo", "sdk", "ops/api")
    for folder, name in product(folders, ("nope", "x%00.svg", "%ed%a0%80", "%0a", 5000 * "a")):
        reply = await api.request("GET", f"/{folder}/{name}")
        assert reply.refusal == (404, "no_such_thing"), (folder, name)
    for folder, path in product(("faces", "gifts"), ("..%2fops/index.html", "../ops/index.html")):
        reply = await api.request("GET", f"/static/{folder}/{path}")
        assert reply.status in (403, 404), (folder, path)


async def test_405_lists_the_allowed_methods(api: ApiFixture) -> None:
    """Sends every other method to one path, and one to each."""
    paths = [
        *((BASE + path, handler) for path, handler, *_ in API_ROUTES),
        *((f"/ops/api/{path}", handler) for path, handler, *_ in OPS_ROUTES),
        *((f"/{path}", handler) for path, handler, *_ in HEALTH_ROUTES),
    ]
    for n, (pattern, handler) in enumerate(paths):
        path = re.sub(r"\(.*?\)", "12345678", pattern)
        allowed = {method.upper() for method in methods_of(handler)}
        assert allowed, pattern
        others = {"GET", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"}
        for method in ({*others, "PUT"} if not n else {"PUT"}) - allowed:
            # Tornado closes the connection after a method that it does not know, which is a race.
            headers = {"Connection": "close"} if method in ("BREW", "TRACE") else {}
            reply = await api.request(method, path, headers=headers)
            assert {*reply.headers["Allow"].split(", ")} == allowed, (method, path)
            assert reply.status == 405, (method, path)
            assert method == "HEAD" or reply.refusal == (405, "wrong_method")


async def test_every_path_works_with_and_without_its_trailing_slash(api: ApiFixture) -> None:
    for call in CALLS:
        short = call._replace(path=call.path.rstrip("/"))
        with_slash, without = await send(api, call, None), await send(api, short, None)
        assert with_slash.status == without.status != 404, call
        assert with_slash.refusal == without.refusal
    assert (await api.request("GET", "/healthz/")).status == 200


async def test_every_user_endpoint_is_refused_without_a_token(api: ApiFixture) -> None:
    guarded = [
        call for call in CALLS if issubclass(call.handler, ActiveUserHandler | LogoutHandler)
    ]
    signed = ("im/callback/", "live/callback/", "qlive_pay/notify/", "qlive_pay/transfer_notify/")
    open_paths = {*signed, "qlive_pay/xpay_notify/", "qlive_user/", "qlive_user/login/", "ws/"}
    all_paths = {call.path for call in CALLS}
    assert all_paths - {call.path for call in guarded} == {BASE + path for path in open_paths}
    for call in guarded:
        reply = await send(api, call, None)
        assert reply.refusal == (401, "token"), call
        assert reply.headers["WWW-Authenticate"] == "QLiveToken"


# ---- headers


async def test_every_answer_forbids_guessing_its_type_and_an_internal_error_has_no_details(
    api: ApiFixture, db: Any
) -> None:
    anna, statuses = await api.user("anna", 2), set()
    face = min((WEB / "faces").iterdir()).name
    for path in (
        *(f"{BASE}get_configs/", f"{BASE}get_livelist/?page=x", f"{BASE}ws/", "/", "/nope"),
        *("/healthz", "/metrics", "/docs/", "/docs/openapi.json", "/ops", "/ops/nope.js"),
        *("/ops/api/overview", "/static/faces/%00", "/static/faces/", f"/static/faces/{face}"),
    ):
        reply = await api.request("GET", path, headers=anna.headers)
        assert reply.headers["X-Content-Type-Options"] == "nosniff", path
        statuses.add(reply.status)
    assert statuses >= {200, 400, 401, 403, 404}
    db.users.update_one({"_id": anna.id}, {"$unset": {"create_time": 1}})
    broken = await anna.get("get_configs/")
    assert broken.refusal == (500, "internal")
    assert broken.headers["X-Content-Type-Options"] == "nosniff"
    assert broken.json.keys() == {"detail", "code"}
    assert "create_time" not in broken.text


async def test_valid_request_id_is_echoed_and_logged_and_an_invalid_one_is_replaced(
    api: ApiFixture,
) -> None:
    path = f"{BASE}get_configs/"
    echoed = await api.request("GET", path, headers={"X-Request-Id": "phone-1.a_B"})
    assert echoed.headers["X-Request-Id"] == "phone-1.a_B"
    for invalid in ("", "a b", "x" * 65, "ключ"):
        reply = await api.request("GET", path, headers={"X-Request-Id": invalid})
        assert re.fullmatch(r"[0-9a-f]{32}", reply.headers["X-Request-Id"])
    with capture_logs(processors=[merge_contextvars]) as lines:
        reply = await api.request("BREW" * 2_000, "/healthz")
    [line] = [line for line in lines if line["event"] == "request_completed"]
    assert (reply.status, line["request_id"]) == (405, reply.headers["X-Request-Id"])
    assert line["method"] == "other"


async def test_requests_of_disconnected_clients_are_released(
    api: ApiFixture, server: ServerProcess
) -> None:
    port = int(server.address.rpartition(":")[2])
    for _ in range(5):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /wx/api/qlive/qlive_user/login/ HTTP/1.1\r\nHost: q\r\n")
        writer.write(b"Content-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    (await api.request("GET", "/healthz")).ok()
    assert await until(lambda: server.context.lifecycle.requests == 0)
