"""The AsyncAPI document matches the events of rooms/ and the frames of realtime/."""

import json
import re
from typing import Any

import jsonschema_rs
import pytest

from handlers.openapi import asyncapi
from handlers.routes import BASE
from realtime.frames import CloseCode
from rooms.events import EVENT_PAYLOADS
from tests.support import openapi_checks
from tests.support.api import ApiFixture
from tests.support.openapi_checks import references, resolve

PROFILE = {"user_id": "12345678", "nickname": "", "face_url": "", "gender": 0}


@pytest.fixture
def document() -> dict[str, Any]:
    return asyncapi.document(f"{BASE}ws/")


def test_document_follows_asyncapi_3(document: dict[str, Any]) -> None:
    """Checks the parts used here against the JSON schema of AsyncAPI 3.0.0."""
    assert document["asyncapi"] == "3.0.0"
    for operation in document["operations"].values():
        assert set(operation) == {"action", "channel", "summary", "security", "messages"}
        prefix = f"{operation['channel']['$ref']}/messages/"
        assert all(message["$ref"].startswith(prefix) for message in operation["messages"])
    components = document["components"]
    for schema in components["schemas"].values():
        jsonschema_rs.validator_for(schema | {"components": components})
    for reference in references(document):
        assert resolve(document, reference)


def test_every_event_and_message_belongs_to_the_channel_and_to_an_operation(
    document: dict[str, Any],
) -> None:
    documented = set(document["components"]["messages"])
    assert set(EVENT_PAYLOADS) < documented
    room = document["channels"]["room"]
    assert (room["address"], set(room["messages"])) == (f"{BASE}ws/", documented)
    messages = {
        operation["action"]: {ref["$ref"].rpartition("/")[2] for ref in operation["messages"]}
        for operation in document["operations"].values()
    }
    assert messages["receive"] == {"auth", "ping"}
    assert messages["send"] | messages["receive"] == documented


def test_close_codes_are_documented(document: dict[str, Any]) -> None:
    description = document["info"]["description"]
    documented = dict(re.findall(r"^- (\d+) `\w+`: (.*)$", description, re.MULTILINE))
    assert documented.pop("4401") == "log in, then reconnect"
    for code in set(CloseCode) - {CloseCode.TOKEN}:
        assert documented.pop(str(int(code))) == (
            "reconnect" if code.reconnect else "do not reconnect"
        )
    assert not documented


EVENT = {"live_id": 1, "epoch": "e", "seq": 1, "ts": 1}


ENUM_VALUES = [
    *(("micro_leave", "reason", value) for value in ("left", "host", "offline", "banned")),
    *(("micro_refuse", "reason", value) for value in ("refused", "withdrawn", "expired", "host")),
    *(("micro_refuse", "reason", value) for value in ("left", "offline", "banned")),
    *(("live_end", "reason", value) for value in ("host", "operator", "offline", "banned")),
    *(("member_back", "role", value) for value in ("host", "male", "female")),
]


def test_enum_values_of_events_are_documented_and_no_others() -> None:
    for type_, field, value in ENUM_VALUES:
        frame = {**EVENT, "type": type_, "data": {**PROFILE, field: value}}
        openapi_checks.check_frame(json.dumps(frame))
    for wrong in (
        {"type": "something"},
        {"type": "pong", "n": "1"},
        {"type": "pong", "n": 1, "more": 1},
        {**EVENT, "type": "micro_leave", "data": {**PROFILE, "reason": "bored"}},
        {"type": "bye", "code": 4999, "reason": "ended", "retry_ms": 1, "reconnect": True},
    ):
        with pytest.raises(AssertionError, match="described"):
            openapi_checks.check_frame(json.dumps(wrong))


async def test_socket_page_shows_every_message_and_loads_nothing(
    api: ApiFixture, document: dict[str, Any]
) -> None:
    assert (await api.request("GET", "/docs/asyncapi.json")).ok() == document
    page = (await api.request("GET", "/docs/socket/")).text
    assert page == asyncapi.page(document)
    for name in document["components"]["messages"]:
        assert f'<h3 id="{name}">' in page
    assert not re.findall(r"<script|src=|//", page)
    for address in re.findall(r'href="(/[^"]*(?:css|json|/))"', page):
        assert (await api.request("GET", address)).status == 200, address
    assert "`" not in page
    assert "<code>seq</code>" in page
    links = set(re.findall(r'href="#([^"]*)"', page))
    assert links
    assert links <= set(re.findall(r'id="([^"]*)"', page))
