"""The AsyncAPI document matches the events of rooms/ and the frames of realtime/."""

import re
from typing import Any

import jsonschema_rs
import pytest

from handlers.openapi import asyncapi
from handlers.routes import BASE
from realtime.frames import CloseCode
from rooms.events import EVENT_PAYLOADS
from tests.support.api import ApiFixture
from tests.support.openapi_checks import references, resolve


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
    room = document["channels"]["room"]
    assert (room["address"], set(room["messages"])) == (f"{BASE}ws/", set(components["messages"]))


def test_every_event_is_sent_by_the_server_and_two_messages_by_the_client(
    document: dict[str, Any],
) -> None:
    messages = {
        operation["action"]: {ref["$ref"].rpartition("/")[2] for ref in operation["messages"]}
        for operation in document["operations"].values()
    }
    assert messages["receive"] == {"auth", "ping"}
    assert set(EVENT_PAYLOADS) < messages["send"]
    assert messages["send"] | messages["receive"] == set(document["components"]["messages"])


def test_close_codes_are_documented(document: dict[str, Any]) -> None:
    description = document["info"]["description"]
    documented = dict(re.findall(r"^- (\d+) `\w+`: (.*)$", description, re.MULTILINE))
    assert documented.pop("4401") == "log in, then reconnect"
    for code in set(CloseCode) - {CloseCode.TOKEN}:
        assert documented.pop(str(int(code))) == (
            "reconnect" if code.reconnect else "do not reconnect"
        )
    assert not documented


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
