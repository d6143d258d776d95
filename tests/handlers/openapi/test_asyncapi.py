"""The AsyncAPI document matches the events of rooms/ and the frames of realtime/."""

import re
from typing import Any

import jsonschema_rs
import pytest

from handlers.openapi import asyncapi
from handlers.routes import BASE
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
