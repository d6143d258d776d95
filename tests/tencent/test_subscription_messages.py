"""What is sent to WeChat for a notice, how often, and what its answers and events mean."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from config.settings import Settings
from devtools.simulator.wire import SimulatorReply
from tencent import wechat
from tencent.errors import Unreadable
from tencent.notices import NoticeAnswer, NoticeClient, notice_values, parse_notice_events
from tencent.service_client import ServiceClient
from tencent.wechat import AccessTokenCache, WechatApi
from tests.support.tencent import ScriptedService

APP, PAGE = "wxd678efh567hg6787", "pages/room/room?live_id=1"
TOKEN = {"access_token": "t", "expires_in": 7200}
SENT = {"errcode": 0, "errmsg": "ok", "msgid": 2258372451326271488}
Scripted = Callable[..., tuple[NoticeClient, ScriptedService]]


@pytest.fixture
def client_at(
    make_service_client: Callable[..., ServiceClient], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], NoticeClient]:
    monkeypatch.setattr(wechat, "BUSY_PAUSE_SECONDS", 0.001)

    def build(url: str) -> NoticeClient:
        client = make_service_client("notices", url, service="wechat")
        tokens = AccessTokenCache(client, {APP: "s3cret"})
        return NoticeClient(WechatApi(client, tokens), "T1", is_published=True)

    return build


async def send(client: NoticeClient) -> NoticeAnswer:
    return await client.send(APP, "oAnna", PAGE, {"thing1": "相亲房"})


async def test_a_message_has_its_receiver_template_page_and_values(scripted: Scripted) -> None:
    client, service = scripted(TOKEN, SENT)
    assert await send(client) == NoticeAnswer("sent", "2258372451326271488", 0)
    request = service.requests[1]
    assert (request.path, request.query) == (
        "/cgi-bin/message/subscribe/send",
        {"access_token": "t"},
    )
    assert request.json_object() == {
        "touser": "oAnna",
        "template_id": "T1",
        "page": PAGE,
        "miniprogram_state": "formal",
        "lang": "zh_CN",
        "data": {"thing1": {"value": "相亲房"}},
    }


@pytest.mark.parametrize(
    "reply", [SimulatorReply(502, {}, b"bad gateway"), SimulatorReply(200, {}, b"<html>")]
)
async def test_a_message_without_an_answer_is_lost_and_not_repeated(
    scripted: Scripted, reply: SimulatorReply
) -> None:
    client, service = scripted(TOKEN, reply)
    assert (await send(client)).outcome == "lost"
    assert len(service.requests) == 2


@pytest.mark.parametrize("refused", [{"errcode": -1}, {"errcode": 40001}])
async def test_a_message_that_was_surely_not_sent_is_sent_once_more(
    scripted: Scripted, refused: Any
) -> None:
    renewal = [TOKEN] if refused["errcode"] == 40001 else []
    client, service = scripted(TOKEN, refused, *renewal, SENT)
    assert (await send(client)).outcome == "sent"
    assert len([r for r in service.requests if r.path.endswith("/send")]) == 2
    client, service = scripted(TOKEN, {"errcode": -1})
    assert (await send(client)).outcome == "busy"
    assert len(service.requests) == 3


async def test_no_message_is_ready_without_a_token(scripted: Scripted) -> None:
    client, _ = scripted({"errcode": 40013})
    assert not await client.is_ready(APP)
    client, _ = scripted(TOKEN)
    assert await client.is_ready(APP)


def test_values_are_cut_and_times_are_those_of_china() -> None:
    at = int(datetime(2026, 11, 28, 12, 5, tzinfo=UTC).timestamp() * 1000)
    fields = {"title": "thing4", "host": "thing2", "time": "date3"}
    values = notice_values(fields, "题" * 21, "红娘", at)
    assert values == {"thing4": "题" * 20, "thing2": "红娘", "date3": "2026年11月28日 20:05"}
    assert fields.keys() == Settings().notices.fields.keys()


def test_the_list_of_an_event_is_an_object_or_an_array() -> None:
    event = {"Event": "subscribe_msg_popup_event", "CreateTime": "1610969440"}
    row = {"TemplateId": "T1", "SubscribeStatusString": "acceptWithAudio", "PopupScene": "2"}
    ban = {"TemplateId": "T2", "SubscribeStatusString": "ban"}
    for rows in (row, [row], [row, ban]):
        accepted, *refused = parse_notice_events({**event, "List": rows})
        assert (accepted.template_id, accepted.at, accepted.is_positive) == ("T1", 1610969440, True)
    assert not refused[0].is_positive
    for wrong in ({**event, "List": "x"}, event, {**event, "CreateTime": "now", "List": row}):
        with pytest.raises(Unreadable):
            parse_notice_events(wrong)


@pytest.mark.parametrize(("errcode", "is_positive"), [("0", True), (0, True), ("1", False)])
def test_the_end_of_a_message_has_its_number(errcode: object, is_positive: bool) -> None:
    event = {"Event": "subscribe_msg_sent_event", "CreateTime": 1620963428}
    row = {"TemplateId": "T1", "MsgID": "1700827132819554304", "ErrorCode": errcode}
    [end] = parse_notice_events({**event, "List": row})
    assert (end.msg_id, end.is_positive) == ("1700827132819554304", is_positive)
    with pytest.raises(Unreadable):
        parse_notice_events({**event, "List": {**row, "MsgID": ""}})
