"""WeChat's content security: requests, answers and events."""

import pytest

from rooms.moderation import Verdict
from tencent import wechat
from tencent.errors import Unreadable
from tencent.wechat import (
    AccessTokenCache,
    ContentSecurityClient,
    NotChecked,
    parse_media_event,
)

APP = "wxd678efh567hg6787"
ALICE = (APP, "oAlice")
TOKEN = {"access_token": "t", "expires_in": 7200}
PASS = {"errcode": 0, "trace_id": "t1", "result": {"suggest": "pass", "label": 100}}
URL = "https://pictures.example.com/a.jpg"


@pytest.fixture
def client_at(make_service_client):
    def build(url):
        service = make_service_client("wechat", url)
        return ContentSecurityClient(service, AccessTokenCache(service, {APP: "s3cret"}))

    return build


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(wechat, "BUSY_PAUSE_SECONDS", 0)


async def test_a_text_is_sent_as_it_is_in_the_name_of_its_author(scripted):
    client, service = scripted(TOKEN, PASS)
    assert await client.check_text(*ALICE, "你好") == Verdict("pass", "100", "t1")
    request = service.requests[1]
    assert (request.path, request.query) == ("/wxa/msg_sec_check", {"access_token": "t"})
    assert "你好".encode() in request.body
    assert request.json_object() == {
        "content": "你好",
        "version": 2,
        "scene": 1,
        "openid": "oAlice",
    }


async def test_busy_is_asked_again_and_a_rejected_token_renewed(scripted):
    client, service = scripted(TOKEN, {"errcode": -1}, {"errcode": 40001}, TOKEN, PASS)
    assert (await client.check_text(*ALICE, "hi")).suggestion == "pass"
    assert len(service.requests) == 5


@pytest.mark.parametrize(
    "answer",
    [
        {"errcode": -1},
        {"errcode": 61010},
        {"errcode": 45009},
        {"errcode": 0},
        {"errcode": 0, "result": {"suggest": "new word"}},
        [],
    ],
)
async def test_an_answer_without_a_result_is_not_a_pass(scripted, answer):
    client, _ = scripted(TOKEN, answer)
    with pytest.raises(NotChecked):
        await client.check_text(*ALICE, "hi")
    with pytest.raises(NotChecked):
        await client.send_picture(*ALICE, URL)


async def test_an_outage_is_not_a_pass(client_at):
    with pytest.raises(NotChecked):
        await client_at("http://127.0.0.1:9").check_text(*ALICE, "hi")


def test_events_are_read_in_every_form():
    event = {"trace_id": "t1", "result": {"suggest": "risky", "label": "20002"}, "detail": []}
    assert parse_media_event(event) == ("t1", Verdict("risky", "20002", "t1"))
    unread = ("t1", None)
    assert parse_media_event({**event, "detail": [{"errcode": -1008}]}) == unread
    assert parse_media_event({**event, "status_code": 4294966288}) == unread  # the old form
    assert parse_media_event({"trace_id": "t1"}) == unread
    with pytest.raises(Unreadable):
        parse_media_event({"result": {}})
