"""The description of the socket is of what rooms/ and realtime/ say."""

import json
import re
from typing import Any

import jsonschema_rs
import pytest

from handlers.description import asyncapi, socket_page
from handlers.routes import BASE
from realtime import frames
from realtime.codes import Code
from rooms.events import VOCABULARY, Numbered
from tests import described
from tests.handlers.test_openapi import references
from tests.phones import Street

FACE = {"user_id": "12345678", "nickname": "", "face_url": "", "gender": 0}
SEAT = {**FACE, "area": "", "age": 0, "play_url": "", "away": False}
ROOM = {
    "status": "live",
    "room_name": "",
    "room_image": "",
    "group_id": "",
    "owner": SEAT,
    "male": None,
    "female": SEAT,
    "applicants": [{**FACE, "applied_at": None, "invited": True, "expires_at": 1}],
    "audience_count": 1,
    "num_list": [0, 0, 0, 0],
}


@pytest.fixture
def document() -> dict[str, Any]:
    return asyncapi.document(f"{BASE}ws/")


def test_the_document_is_built_as_asyncapi_3_wants_it(document: dict[str, Any]) -> None:
    """As the JSON schema of AsyncAPI 3.0.0 has it, for the parts that are used here."""
    assert document["asyncapi"] == "3.0.0"
    assert set(document) == {
        *("asyncapi", "info", "defaultContentType", "channels", "operations", "components")
    }
    assert {type(document["info"][name]) for name in ("title", "version", "description")} == {str}
    for channel in document["channels"].values():
        assert set(channel) == {"address", "messages", "bindings"}
        assert channel["bindings"]["ws"]["method"] in ("GET", "POST")
        assert channel["bindings"]["ws"]["query"]["type"] == "object"
        assert set(channel["bindings"]["ws"]) == {"method", "query"}
    for operation in document["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert set(operation) == {"action", "channel", "summary", "security", "messages"}
        own = f"{operation['channel']['$ref']}/messages/"
        assert all(message["$ref"].startswith(own) for message in operation["messages"])
    assert set(document["components"]) == {"schemas", "messages", "securitySchemes"}
    for name, message in document["components"]["messages"].items():
        assert re.fullmatch(r"[\w.-]+", name)
        assert set(message) <= {"name", "summary", "payload"}
    for scheme in document["components"]["securitySchemes"].values():
        assert scheme == {"type": "httpApiKey", "in": "header", "name": "Authorization"}
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.validator_for(schema | {"components": document["components"]})


def test_every_word_of_a_room_is_described(document: dict[str, Any]) -> None:
    assert set(VOCABULARY) < set(document["components"]["messages"])
    room = document["channels"]["room"]
    assert room["address"] == f"{BASE}ws/"
    assert set(room["messages"]) == set(document["components"]["messages"])


def test_each_message_is_said_or_heard(document: dict[str, Any]) -> None:
    spoken = {
        operation["action"]: {ref["$ref"].rpartition("/")[2] for ref in operation["messages"]}
        for operation in document["operations"].values()
    }
    assert spoken["receive"] == {"auth", "ping"}
    assert spoken["send"] | spoken["receive"] == set(document["components"]["messages"])


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in references(document):
        found: Any = document
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
        assert found


def test_the_closing_codes_are_told(document: dict[str, Any]) -> None:
    about = document["info"]["description"]
    told = dict(re.findall(r"^- (\d+) `\w+`: (.*)$", about, re.MULTILINE))
    assert told.pop("4401") == "log in first, then come back"
    for code in set(Code) - {Code.TOKEN}:
        assert told.pop(str(int(code))) == ("come back" if code.reconnect else "do not come back")
    assert not told


EVENT = {"live_id": 1, "epoch": "e", "seq": 1, "ts": 1}
FRAMES = {
    "snapshot": frames.snapshot(1, "e", 1, ROOM, None),
    "reset": frames.snapshot(1, "e", 1, ROOM, "too_old"),
    "resumed": frames.resumed(1, "e", 1, 0),
    "audience": frames.audience(1, 1, [0, 0, 0, 0]),
    "heartbeat": frames.heartbeat(1),
    "pong": frames.pong(1),
    "event": frames.event(1, Numbered("e", 1, 1, "live_pause", FACE)),
    **{f"bye {code.reason}": frames.bye(code, 1) for code in Code},
}


WORDS = [
    *(("micro_leave", "reason", word) for word in ("left", "host", "offline", "banned")),
    *(("micro_refuse", "reason", word) for word in ("refused", "withdrawn", "expired", "host")),
    *(("micro_refuse", "reason", word) for word in ("left", "offline", "banned")),
    *(("live_end", "reason", word) for word in ("host", "operator", "offline", "banned")),
    *(("member_back", "role", word) for word in ("host", "male", "female")),
]


@pytest.mark.parametrize(("type_", "field", "word"), WORDS)
def test_the_words_of_the_events_are_described(type_: str, field: str, word: str) -> None:
    described.check_frame(json.dumps({**EVENT, "type": type_, "data": {**FACE, field: word}}))


@pytest.mark.parametrize("name", FRAMES)
def test_what_realtime_says_is_described(name: str) -> None:
    described.check_frame(FRAMES[name][FRAMES[name].index(b"{") :])


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "something"},
        {"type": "pong"},
        {"type": "pong", "n": "1"},
        {"type": "pong", "n": 1, "more": 1},
        {**EVENT, "type": "live_pause", "data": {}},
        {**EVENT, "type": "micro_leave", "data": {**FACE, "reason": "bored"}},
        {**EVENT, "type": "micro_refuse", "data": {**FACE, "reason": "operator"}},
        {**EVENT, "type": "live_end", "data": {**FACE, "reason": "left"}},
        {**EVENT, "type": "member_away", "data": {**FACE, "role": "viewer"}},
        {"type": "bye", "code": 4999, "reason": "ended", "retry_ms": 1, "reconnect": True},
    ],
)
def test_a_frame_that_is_not_as_described_is_noticed(frame: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="described"):
        described.check_frame(json.dumps(frame))


@pytest.mark.gen_test
async def test_the_document_is_served(street: Street, document: dict[str, Any]) -> None:
    assert (await street.ask("GET", "/docs/asyncapi.json")).ok() == document


@pytest.mark.gen_test
async def test_the_page_shows_every_message_and_loads_nothing(
    street: Street, document: dict[str, Any]
) -> None:
    page = (await street.ask("GET", "/docs/socket/")).text
    assert page == socket_page.page(document)
    for name in document["components"]["messages"]:
        assert f'<h3 id="{name}">' in page
    assert not re.findall(r"<script|src=|//", page)
    for address in re.findall(r'href="(/[^"]*(?:css|json|/))"', page):
        assert (await street.ask("GET", address)).status == 200, address
    assert "`" not in page
    assert "<code>seq</code>" in page
    links = set(re.findall(r'href="#([^"]*)"', page))
    assert links
    assert links <= set(re.findall(r'id="([^"]*)"', page))
