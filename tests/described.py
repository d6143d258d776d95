"""Whatever a server says in the tests is held against the API description.

In this process it is what leaves the server (`watched`), whoever asked: browsers and Node as well.
What tests/phones.py and tests/realtime/wire.py hear is held against it wherever the server runs.
The description lets answers grow; here they may not: what is not in it is an error.
"""

import functools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
import pytest
from tornado.escape import utf8

from handlers.base import Handler
from handlers.description import asyncapi, openapi
from handlers.routes import BASE, CALLS
from realtime import frames
from server import Server

Json = dict[str, Any]
_INSIDE: set[int | None] = set()
"""Ports of the servers in this process, whose answers are checked as they leave."""


def is_inside(port: int | None) -> bool:
    """Whether what comes from this port has been checked."""
    return port in _INSIDE


def watched(patch: pytest.MonkeyPatch) -> list[str]:
    """What is not as described from now on, as sentences; the server itself goes on."""
    wrong: list[str] = []
    start, finish, frame = Server.start, Handler.finish, frames.frame
    _INSIDE.clear()

    def finished(handler: Handler, chunk: Any = None) -> Any:
        with _noted(wrong):
            _check_leaving(handler, chunk)
        return finish(handler, chunk)

    def framed(payload: bytes) -> bytes:
        with _noted(wrong):
            check_frame(payload)
        return frame(payload)

    async def started(server: Server) -> None:
        patch.setattr(frames, "frame", framed)  # without a server it is fakes that speak
        await start(server)
        _INSIDE.add(urlsplit(server.address).port)

    patch.setattr(Server, "start", started)
    patch.setattr(Handler, "finish", finished)
    return wrong


@contextmanager
def _noted(wrong: list[str]) -> Iterator[None]:
    try:
        yield
    except AssertionError as why:
        wrong.append(str(why))


def _check_leaving(handler: Handler, chunk: Any) -> None:
    last = json.dumps(chunk) if isinstance(chunk, dict) else chunk or b""
    body = b"".join(handler._write_buffer) + utf8(last)
    request, kind = handler.request, handler._headers.get("Content-Type", "")
    check_answer(
        request.method or "", request.path, handler.get_status(), kind, body.decode("utf-8")
    )


def check_answer(method: str, path: str, status: int, kind: str, text: str) -> None:
    """An AssertionError for what the description does not allow; `path` is without its query."""
    described = _described(path)
    if described is None or method == "HEAD":  # an answer without its body
        return
    operation = described.get(method.lower())
    if operation is None:
        operation = next(iter(described.values())) if status == 405 else None
    if operation is None:
        return
    what = f"{method} {path} answered {status}"
    response = operation["responses"].get(str(status))
    assert response, f"{what}, which is not described"
    contents = _resolved(response).get("content")
    if not contents:
        assert not text, f"{what} with a body"
        return
    said = kind.partition(";")[0]
    assert said in contents, f"{what} as {said}, which is not described"
    if said == "application/json":
        _check(_validator(json.dumps(contents[said]["schema"])), text, what)
    if codes := contents[said].get("examples"):
        assert json.loads(text)["code"] in codes, f"{what} with a word not described: {text!r}"


def check_frame(text: str | bytes) -> None:
    """An AssertionError for a frame that the description does not allow."""
    type_ = json.loads(text).get("type")
    payloads = _frames()["components"]["messages"]
    assert type_ in payloads, f"a frame that is not described: {text!r}"
    _check(_frame_validator(type_), text, f"the frame {type_}")


def _check(validator: Any, text: str | bytes, what: str) -> None:
    try:
        validator.validate(json.loads(text))
    except (jsonschema_rs.ValidationError, ValueError) as wrong:
        raise AssertionError(f"{what} not as described: {wrong}\n{text!r}") from None


@functools.cache
def document() -> Json:
    written: Json = json.loads(openapi.text(openapi.document(CALLS, with_simulator=True)))
    return written


@functools.cache
def _frames() -> Json:
    return asyncapi.document(f"{BASE}ws/")


@functools.cache
def _paths() -> list[tuple[re.Pattern[str], Json]]:
    return [
        (re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path.rstrip("/"))) + "/?"), calls)
        for path, calls in document()["paths"].items()
    ]


@functools.lru_cache(4096)
def _described(path: str) -> Json | None:
    return next((calls for pattern, calls in _paths() if pattern.fullmatch(path)), None)


def _resolved(response: Json) -> Json:
    name = response.get("$ref", "").rpartition("/")[2]
    found: Json = document()["components"]["responses"][name] if name else response
    return found


@functools.cache
def _validator(schema: str) -> Any:
    """Compiled once; the schema is given as text, which can be remembered."""
    return _compiled(json.loads(schema), document()["components"]["schemas"])


@functools.cache
def _frame_validator(type_: str) -> Any:
    components = _frames()["components"]
    return _compiled(components["messages"][type_]["payload"], components["schemas"])


def _compiled(schema: Json, shapes: Json) -> Any:
    closed = {name: _closed(shape) for name, shape in shapes.items()}
    whole = {**schema, "components": {"schemas": closed}}
    return jsonschema_rs.validator_for(whole, validate_formats=True)


def _closed(shape: Json) -> Json:
    return {"additionalProperties": False, **shape} if "properties" in shape else shape
