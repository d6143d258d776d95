"""Checks HTTP responses and WebSocket frames against the OpenAPI and AsyncAPI documents.

`install` checks all that a server in this process sends, also to browsers and Node. The clients of
tests/support/api.py and websockets.py check what they receive, also from other processes.
The documents allow additional fields; these checks do not: an undeclared field is an error.
"""

import functools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jsonschema_rs
import pytest
from tornado.escape import utf8

from handlers.base import Handler
from handlers.openapi import asyncapi
from handlers.pages import openapi_text
from handlers.routes import BASE, ROUTES
from realtime import frames
from runtime import development
from runtime.process import ServerProcess

Json = dict[str, Any]


def install(patch: pytest.MonkeyPatch) -> list[str]:
    """A list that collects violations from now on; the server itself is not disturbed."""
    violations: list[str] = []
    start, finish, frame = ServerProcess.start, Handler.finish, frames.frame

    def checked_finish(handler: Handler, chunk: Any = None) -> Any:
        with _collected(violations):
            last = json.dumps(chunk) if isinstance(chunk, dict) else chunk or b""
            body = b"".join(handler._write_buffer) + utf8(last)
            check_response(
                handler.request.method or "",
                handler.request.path,
                handler.get_status(),
                handler._headers.get("Content-Type", ""),
                body.decode(errors="replace"),
            )
        return finish(handler, chunk)

    def checked_frame(payload: bytes) -> bytes:
        with _collected(violations):
            check_frame(payload)
        return frame(payload)

    async def start_with_checks(server: ServerProcess) -> None:
        patch.setattr(frames, "frame", checked_frame)  # not before: unit tests send fake frames
        await start(server)

    patch.setattr(ServerProcess, "start", start_with_checks)
    patch.setattr(Handler, "finish", checked_finish)
    return violations


@contextmanager
def _collected(violations: list[str]) -> Iterator[None]:
    try:
        yield
    except AssertionError as violation:
        violations.append(str(violation))


def check_response(method: str, path: str, status: int, media_type: str, text: str) -> None:
    """Raises AssertionError if the document does not allow the response; `path` without query."""
    operations = _operations(path)
    if operations is None or method == "HEAD":  # the response has no body
        return
    operation = operations.get(method.lower())
    if operation is None:
        operation = next(iter(operations.values())) if status == 405 else None
    if operation is None:
        return
    subject = f"{method} {path} answered {status}"
    response = operation["responses"].get(str(status))
    assert response, f"{subject}, which is not described"
    contents = _resolved(response).get("content")
    if not contents:
        assert not text, f"{subject} with a body"
        return
    media_type = media_type.partition(";")[0]
    assert media_type in contents, f"{subject} as {media_type}, which is not described"
    content = contents[media_type]
    if media_type == "application/json":
        _check(_validator(json.dumps(content["schema"])), text, subject)
    if codes := content.get("examples"):
        assert json.loads(text)["code"] in codes, (
            f"{subject} with a code that is not described: {text!r}"
        )


def check_frame(text: str | bytes) -> None:
    """Raises AssertionError if the AsyncAPI document does not allow the frame."""
    frame = json.loads(text)
    type_ = frame.get("type")
    if type_ in ("snapshot", "resumed") and "user_id" in frame:
        type_ = f"user_{type_}"
    messages = _asyncapi_document()["components"]["messages"]
    assert type_ in messages, f"a frame of a type that is not described: {text!r}"
    _check(_frame_validator(type_), text, f"the frame {type_}")


def _check(validator: Any, text: str | bytes, subject: str) -> None:
    try:
        validator.validate(json.loads(text))
    except (jsonschema_rs.ValidationError, ValueError) as error:
        raise AssertionError(f"{subject} not as described: {error}\n{text!r}") from None


@functools.cache
def document() -> Json:
    """The OpenAPI document of the server with the simulator."""
    return json.loads(openapi_text((*ROUTES, *development.DOCUMENTED), development.INTRO))


@functools.cache
def _asyncapi_document() -> Json:
    return asyncapi.document(f"{BASE}ws/")


@functools.cache
def _paths() -> list[tuple[re.Pattern[str], Json]]:
    return [
        (re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path.rstrip("/"))) + "/?"), operations)
        for path, operations in document()["paths"].items()
    ]


@functools.lru_cache(4096)
def _operations(path: str) -> Json | None:
    return next((operations for pattern, operations in _paths() if pattern.fullmatch(path)), None)


def _resolved(response: Json) -> Json:
    name = response.get("$ref", "").rpartition("/")[2]
    return document()["components"]["responses"][name] if name else response


@functools.cache
def _validator(schema: str) -> Any:
    """Compiled once per schema, which is given as text to be hashable."""
    return _compiled(json.loads(schema), document()["components"]["schemas"])


@functools.cache
def _frame_validator(type_: str) -> Any:
    components = _asyncapi_document()["components"]
    return _compiled(components["messages"][type_]["payload"], components["schemas"])


def _compiled(schema: Json, components: Json) -> Any:
    closed = {name: _closed(component) for name, component in components.items()}
    whole = {**schema, "components": {"schemas": closed}}
    return jsonschema_rs.validator_for(whole, validate_formats=True)


def _closed(schema: Json) -> Json:
    """Allows no additional fields."""
    return {"additionalProperties": False, **schema} if "properties" in schema else schema


def references(part: Any) -> Iterator[str]:
    """Every `$ref` within `part`."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    for inside in part if isinstance(part, list) else ():
        yield from references(inside)


def resolve(document: dict[str, Any], reference: str) -> Any:
    """The part of the document that a reference names; a KeyError if there is none."""
    found: Any = document
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found
