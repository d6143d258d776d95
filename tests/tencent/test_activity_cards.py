"""What is asked of WeChat for tickets, and what counts as no answer."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from devtools.simulator.wire import SimulatorReply
from tencent import wechat
from tencent.activity_cards import ActivityCardClient
from tencent.errors import ServiceUnavailable
from tencent.service_client import ServiceClient
from tencent.wechat import AccessTokenCache, WechatApi
from tests.support.pictures import jpeg, png
from tests.support.tencent import ScriptedService

APP, PAGE, SCENE = "wxd678efh567hg6787", "pages/room/room", "K7" * 16
TOKEN = {"access_token": "t", "expires_in": 7200}
UNTIL = datetime(2026, 12, 2, 16, tzinfo=UTC)
Scripted = Callable[..., tuple[ActivityCardClient, ScriptedService]]


@pytest.fixture
def client_at(
    make_service_client: Callable[..., ServiceClient], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], ActivityCardClient]:
    monkeypatch.setattr(wechat, "BUSY_PAUSE_SECONDS", 0.001)

    def build(url: str) -> ActivityCardClient:
        client = make_service_client("activity_cards", url, service="wechat")
        return ActivityCardClient(WechatApi(client, AccessTokenCache(client, {APP: "s3cret"})))

    return build


def body_reply(body: bytes) -> SimulatorReply:
    return SimulatorReply(200, {"Content-Type": "image/jpeg"}, body)


async def test_an_activity_is_asked_for_in_the_name_of_its_sender(scripted: Scripted) -> None:
    client, service = scripted(TOKEN, {"activity_id": "a1", "expiration_time": 1_700_086_400})
    assert await client.activity_id(APP, "oAlice") == "a1"
    request = service.requests[1]
    assert (request.method, request.path) == ("GET", "/cgi-bin/message/wxopen/activityid/create")
    assert request.query == {"access_token": "t", "openid": "oAlice"}


async def test_a_link_names_the_page_and_ends_at_a_time(scripted: Scripted) -> None:
    busy, link = {"errcode": -1}, {"errcode": 0, "url_link": "https://wxaurl.cn/abc"}
    client, service = scripted(TOKEN, busy, link)
    assert await client.url_link(APP, PAGE, UNTIL) == "https://wxaurl.cn/abc"
    assert service.requests[2].path == "/wxa/generate_urllink"
    expiry = {"expire_type": 0, "expire_time": 1_796_227_200}
    page = {"path": "/pages/room/room", "query": ""}
    assert service.requests[2].json_object() == page | expiry


@pytest.mark.parametrize("body", [jpeg(), png()])
async def test_a_code_is_the_picture_of_the_answer(scripted: Scripted, body: bytes) -> None:
    client, service = scripted(TOKEN, body_reply(body))
    assert await client.code(APP, PAGE, SCENE) == body
    assert service.requests[1].path == "/wxa/getwxacodeunlimit"
    expected = {"scene": SCENE, "page": PAGE}
    assert service.requests[1].json_object() == expected


@pytest.mark.parametrize(
    ("reply", "errcode"),
    [
        *(({"errcode": code}, code) for code in (45009, -1)),
        ({"errcode": 0}, "unreadable"),
        (body_reply(b"<html>"), "unreadable"),
        (SimulatorReply(502, {}, b"bad gateway"), "no answer"),
    ],
)
async def test_an_answer_without_the_part_is_logged_with_its_errcode(
    scripted: Scripted, reply: Any, errcode: object
) -> None:
    client, _ = scripted(TOKEN, reply)
    for call in (
        lambda: client.activity_id(APP, "oAlice"),
        lambda: client.url_link(APP, PAGE, UNTIL),
        lambda: client.code(APP, PAGE, SCENE),
    ):
        with capture_logs() as logs, pytest.raises(ServiceUnavailable):
            await call()
        failures = [entry for entry in logs if entry["event"] == "wechat_call_failed"]
        assert [entry["errcode"] for entry in failures] == [errcode]
