"""What is asked of WeChat for invitations, and what counts as no answer."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from devtools.simulator.wire import SimulatorReply, SimulatorRequest
from tencent import wechat
from tencent.invitations import InvitationClient, NotGiven
from tencent.service_client import ServiceClient
from tencent.wechat import AccessTokenCache
from tests.support.pictures import jpeg, png
from tests.support.tencent import ScriptedService, Serve

APP, PAGE, SCENE = "wxd678efh567hg6787", "pages/room/room", "K7" * 16
TOKEN = {"access_token": "t", "expires_in": 7200}
LINK = {"errcode": 0, "errmsg": "ok", "url_link": "https://wxaurl.cn/abc"}
UNTIL = datetime(2026, 12, 2, 16, tzinfo=UTC)
HTML = SimulatorReply(200, {"Content-Type": "text/html"}, b"<html>")
Scripted = Callable[..., tuple[InvitationClient, ScriptedService]]


@pytest.fixture
def client_at(
    make_service_client: Callable[..., ServiceClient], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], InvitationClient]:
    monkeypatch.setattr(wechat, "BUSY_PAUSE_SECONDS", 0.001)

    def build(url: str) -> InvitationClient:
        client = make_service_client("invitations", url, service="wechat")
        return InvitationClient(client, AccessTokenCache(client, {APP: "s3cret"}))

    return build


def picture(body: bytes, content_type: str = "image/jpeg") -> SimulatorReply:
    return SimulatorReply(200, {"Content-Type": content_type}, body)


async def test_an_activity_is_asked_for_in_the_name_of_its_sender(scripted: Scripted) -> None:
    activity = {"activity_id": "a1", "expiration_time": 1_700_086_400, "errcode": 0}
    client, service = scripted(TOKEN, activity)
    assert await client.activity_id(APP, "oAlice") == "a1"
    request = service.requests[1]
    expected = ("GET", "/cgi-bin/message/wxopen/activityid/create")
    assert (request.method, request.path) == expected
    assert request.query == {"access_token": "t", "openid": "oAlice"}


async def test_a_link_names_the_page_and_ends_at_a_time(scripted: Scripted) -> None:
    client, service = scripted(TOKEN, LINK)
    assert await client.url_link(APP, PAGE, UNTIL) == "https://wxaurl.cn/abc"
    assert service.requests[1].path == "/wxa/generate_urllink"
    assert service.requests[1].json_object() == {
        "path": "/pages/room/room",
        "query": "",
        "env_version": "release",
        "expire_type": 0,
        "expire_time": 1_796_227_200,
    }


@pytest.mark.parametrize("body", [jpeg(), png()])
async def test_a_code_is_the_picture_of_the_answer(scripted: Scripted, body: bytes) -> None:
    client, service = scripted(TOKEN, picture(body))
    assert await client.code(APP, PAGE, SCENE) == body
    assert service.requests[1].path == "/wxa/getwxacodeunlimit"
    expected = {"scene": SCENE, "page": PAGE, "env_version": "release"}
    assert service.requests[1].json_object() == expected


async def test_busy_is_asked_again_and_a_rejected_token_is_renewed(scripted: Scripted) -> None:
    client, service = scripted(TOKEN, {"errcode": -1}, {"errcode": 42001}, TOKEN, LINK)
    assert await client.url_link(APP, PAGE, UNTIL) == "https://wxaurl.cn/abc"
    assert len(service.requests) == 5


@pytest.mark.parametrize(
    ("reply", "errcode"),
    [
        ({"errcode": 45009}, 45009),
        ({"errcode": 44990}, 44990),
        ({"errcode": 40002}, 40002),
        ({"errcode": -1}, -1),
        ({"errcode": 0}, "HTTP 200"),
        (HTML, "HTTP 200"),
        (SimulatorReply(502, {}, b"bad gateway"), "no answer"),
    ],
)
async def test_an_answer_without_the_part_is_logged_with_its_errcode(
    scripted: Scripted, reply: Any, errcode: object
) -> None:
    client, _ = scripted(TOKEN, reply)
    calls = (
        lambda: client.activity_id(APP, "oAlice"),
        lambda: client.url_link(APP, PAGE, UNTIL),
        lambda: client.code(APP, PAGE, SCENE),
    )
    for call in calls:
        with capture_logs() as logs, pytest.raises(NotGiven, match=str(errcode)):
            await call()
        failures = [entry for entry in logs if entry["event"] == "invitation_not_given"]
        assert [entry["errcode"] for entry in failures] == [errcode]
        assert "oAlice" not in repr(logs)


@pytest.mark.parametrize(
    "reply",
    [
        picture(b'{"errcode": 0}', "application/json; encoding=utf-8"),
        picture(b"<html>"),
        picture(b""),
        picture(jpeg(), "application/json"),
    ],
)
async def test_only_a_picture_that_looks_like_one_is_a_code(
    scripted: Scripted, reply: SimulatorReply
) -> None:
    client, _ = scripted(TOKEN, reply)
    with pytest.raises(NotGiven):
        await client.code(APP, PAGE, SCENE)


async def test_a_slow_answer_is_not_waited_for(
    serve: Serve,
    client_at: Callable[[str], InvitationClient],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over = asyncio.Event()

    async def answer(_request: SimulatorRequest) -> SimulatorReply:
        await over.wait()
        return HTML

    monkeypatch.setattr(wechat, "ANSWER_SECONDS", 0.05)
    with pytest.raises(NotGiven, match="no answer"):
        await client_at(serve(answer)).url_link(APP, PAGE, UNTIL)
    over.set()
