"""A custom message from the host over IM, as IM's callback reports it, admits a member."""

import time
from typing import Any

import pytest

from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture
from tests.support.callbacks import CallbackSender

CUSTOM = [{"MsgType": "TIMCustomElem", "MsgContent": {"Data": "{}"}}]
TEXT = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "a private word"}}]


@pytest.fixture
def callbacks(api: ApiFixture, server: ServerProcess) -> CallbackSender:
    return CallbackSender(api, server)


@pytest.fixture
def changes(invitations: bool) -> dict[str, Any]:
    return {"micro": {"im_invitations": invitations}}


@pytest.fixture
def invitations() -> bool:
    return True


def message(sender: ApiClient, receiver: ApiClient, **fields: Any) -> dict[str, Any]:
    return {
        "CallbackCommand": "C2C.CallbackAfterSendMsg",
        "From_Account": sender.id,
        "To_Account": receiver.id,
        "MsgSeq": 48374,
        "MsgRandom": 2837546,
        "MsgTime": int(time.time()),
        "MsgKey": "48374_2837546_1557481126",
        "OnlineOnlyFlag": 0,
        "SendMsgResult": 0,
        "ErrorInfo": "send msg succeed",
        "MsgBody": CUSTOM,
        **fields,
    }


async def accepted(user: ApiClient) -> int:
    """Status of the user's attempt to take the seat."""
    return (await user.post("qlive_room/accept_micro/", live_id=user.live_id)).status


async def test_the_host_invites_over_im(
    api: ApiFixture, callbacks: CallbackSender, db: Any
) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    assert await accepted(bert) == 409
    (await callbacks.im(message(host, bert))).ok()
    assert await accepted(bert) == 200
    assert db.inbox.count_documents({}) == 0  # what users write is not stored


async def test_other_messages_admit_nobody_and_are_not_stored(
    api: ApiFixture, callbacks: CallbackSender, db: Any
) -> None:
    host, stranger = await api.host(), await api.user("stranger", 1)
    bert = await api.guest("bert", 1, host.live_id)
    anna = await api.guest("anna", 2, host.live_id)
    for other in (
        message(host, bert, MsgBody=TEXT),
        message(host, bert, SendMsgResult=20006),
        message(host, bert, MsgTime=int(time.time()) - 61),  # a callback that is sent again
        message(anna, bert),
        message(host, stranger),
    ):
        (await callbacks.im(other)).ok()
    assert await accepted(bert) == 409
    assert db.inbox.count_documents({}) == 0


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"Sign": "0" * 64}, "sign"),
        ({"RequestTime": str(int(time.time()) - 3_600)}, "stale"),
        ({"SdkAppid": "1400000001"}, "app"),
    ],
    ids=["forged", "stale", "foreign"],
)
async def test_callbacks_that_are_not_genuine_are_refused(
    api: ApiFixture, callbacks: CallbackSender, db: Any, query: dict[str, str], reason: str
) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    reply = await callbacks.im(message(host, bert, MsgBody=[*CUSTOM, *TEXT]), **query)
    assert reply.status == 403
    assert await accepted(bert) == 409
    (row,) = db.inbox.find({})
    assert (row["reason"], row["raw"]) == (reason, "")


@pytest.mark.parametrize("invitations", [False])
async def test_the_setting_turns_it_off(api: ApiFixture, callbacks: CallbackSender) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    (await callbacks.im(message(host, bert))).ok()
    assert await accepted(bert) == 409
