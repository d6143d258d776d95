"""Callbacks of Tencent IM and CSS; tests/tencent/test_callbacks.py shows what is refused."""

import time
from typing import Any
from unittest.mock import AsyncMock

import pytest

from core.limits import Rate, TokenBuckets
from rooms.members import GracePolicy
from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture, Socket
from tests.support.callbacks import CallbackSender, message, proposed
from tests.support.chat import group_of, until_delivered
from tests.support.client import Reply
from tests.support.mic import stream_of, take_seat
from tests.support.waiting import until

OK_IM = {"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0}
STATE_CHANGE = {
    "CallbackCommand": "State.StateChange",
    "EventTime": 1629883332497,
    "Info": {"Action": "Disconnect", "To_Account": "u_10001", "Reason": "LinkClose"},
}
STREAM_START = {"event_type": 1, "stream_id": "room_1", "sequence": "66", "event_time": 1700000000}


@pytest.fixture
def presence(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> AsyncMock:
    """Presence to which every event is news."""
    presence = AsyncMock()
    for name in ("on_im_state", "on_stream_event"):
        getattr(presence, name).return_value = "done"
        monkeypatch.setattr(server.context.services.rooms.presence, name, getattr(presence, name))
    return presence


@pytest.fixture
def callbacks(api: ApiFixture, server: ServerProcess) -> CallbackSender:
    """All refused callbacks are stored, not only a few of an address in a minute."""
    server.context.refused_callback_limit = TokenBuckets(Rate(0, 0))
    return CallbackSender(api, server.settings)


@pytest.fixture
def grace() -> GracePolicy:
    return GracePolicy(shown=100, guest=500)


def stored_callbacks(db: Any) -> list[tuple[str, str, str, int]]:
    rows = db.inbox.find()
    return sorted((row["source"], row["outcome"], row["reason"], row["times"]) for row in rows)


# ---- refused callbacks


async def test_refused_callbacks_are_stored_with_their_reason_and_block_no_genuine_one(
    callbacks: CallbackSender, presence: AsyncMock, db: Any
) -> None:
    for reply in (
        await callbacks.im(STATE_CHANGE, Sign="0" * 64),
        await callbacks.live(STREAM_START, t=1700000000),
        await callbacks.post("live/callback/", b'{"a": "\\ud800"}'),
        await callbacks.post("im/callback/?Sign=%ff&$where=1&a.b=%00&CallbackCommand=%fe", b"[1]"),
    ):
        assert reply.refusal == (403, "callback_refused")
    assert (await callbacks.post("live/callback/", b" " * 65537)).refusal == (413, "too_large")
    assert stored_callbacks(db) == [
        *[("im", "refused", "sign", 1)] * 2,
        ("live", "refused", "stale", 1),
        ("live", "refused", "unreadable", 1),
    ]
    presence.on_stream_event.assert_not_awaited()
    presence.on_im_state.assert_not_awaited()
    assert (await callbacks.im(STATE_CHANGE)).ok() == OK_IM
    presence.on_im_state.assert_awaited_once()


async def test_forged_callbacks_of_an_address_are_stored_at_a_limited_rate_only(
    callbacks: CallbackSender, presence: AsyncMock, server: ServerProcess, db: Any
) -> None:
    server.context.refused_callback_limit = TokenBuckets(Rate(0.001, 3))
    forged = [await callbacks.im(STATE_CHANGE | {"n": n}, Sign="0" * 64) for n in range(6)]
    assert {reply.refusal for reply in forged} == {(403, "callback_refused")}
    assert stored_callbacks(db) == [("im", "refused", "sign", 1)] * 3
    series = 'qlive_callbacks_refused_total{reason="sign",source="im"}'
    assert (await callbacks.api.metrics())[series] == 6
    assert (await callbacks.im(STATE_CHANGE)).ok() == OK_IM


# ---- effect on the room


async def guest_on_mic(api: ApiFixture, host: ApiClient) -> tuple[ApiClient, str]:
    """A guest on mic without a socket, and the stream of the guest."""
    anna = await api.guest("anna", 2, host.live_id)
    await take_seat(anna)
    return anna, stream_of((await accept(anna)).ok())


async def assert_evicted(socket: Socket, guest: ApiClient) -> None:
    assert (await socket.next("member_away"))["data"]["user_id"] == guest.id
    event = (await socket.next("micro_leave"))["data"]
    assert (event["user_id"], event["reason"]) == (guest.id, "offline")


async def test_guest_without_a_socket_loses_the_seat_after_im_logout_or_the_end_of_the_stream(
    api: ApiFixture, callbacks: CallbackSender, db: Any
) -> None:
    host = await api.host()
    anna, stream = await guest_on_mic(api, host)
    socket = await host.watch()
    stream_event = {"stream_id": stream, "sequence": "67", "event_time": int(time.time())}
    stream_event["user_ip"] = "203.0.113.9"
    for change in (
        {"event_type": 1},
        {"event_type": 0, "sequence": "66"},
        {"event_type": 0, "stream_id": f"{anna.id}_other"},
        {"event_type": 0},
    ):
        (await callbacks.live(stream_event | change)).ok()
    await assert_evicted(socket, anna)
    results = {row["_id"]: row["reason"] for row in db.inbox.find({"raw": ""})}
    assert results == {
        f"live:1:{stream}:67": "",
        f"live:0:{stream}:66": "old_sequence",
        f"live:0:{anna.id}_other:67": "not_the_current_stream",
        f"live:0:{stream}:67": "",
    }
    anna, _ = await guest_on_mic(api, host)
    im_logout = STATE_CHANGE | {"EventTime": int(time.time() * 1000)}
    for user_id in (host.id, anna.id):
        im_logout["Info"] = {"Action": "Logout", "To_Account": user_id, "Reason": "Unregister"}
        (await callbacks.im(im_logout)).ok()
    for type_ in ("micro_apply", "micro_accept"):
        await socket.next(type_)
    await assert_evicted(socket, anna)
    assert stored_callbacks(db)[:2] == [("im", "done", "", 1), ("im", "ignored", "has_a_socket", 1)]
    kept = {(row["query"], row["raw"]) for row in db.inbox.find({"source": "im"})}
    assert kept == {("CallbackCommand=State.StateChange", "")}


# ---- messages between users


TEXT = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "a private word"}}]


async def test_im_is_told_before_a_message_who_is_muted_and_nothing_is_stored_of_it(
    api: ApiFixture, callbacks: CallbackSender, db: Any
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    to_group = {"GroupId": await group_of(anna)}
    assert (await callbacks.im(proposed(anna.id, **to_group))).ok() == OK_IM
    mute = {"live_id": host.live_id, "user_id": anna.id, "minutes": 5}
    (await host.post("qlive_room/mute/", **mute)).ok()

    async def is_refused() -> bool:
        answer = (await callbacks.im(proposed(anna.id, **to_group))).ok()
        return answer == {"ActionStatus": "OK", "ErrorInfo": "muted", "ErrorCode": 10101}

    await until(is_refused)
    assert (await callbacks.im(proposed(anna.id, To_Account=host.id))).ok() == OK_IM
    forged = await callbacks.im(proposed(anna.id, **to_group), Sign="0" * 64)
    assert forged.refusal == (403, "callback_refused")
    assert [(row["reason"], row["raw"]) for row in db.inbox.find()] == [("sign", "")]
    assert (await api.metrics())['qlive_messages_refused_total{reason="muted"}'] == 1


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"not JSON",
        b"[" * 100_000,
        b'{"CallbackCommand": "Group.CallbackBeforeSendMsg"}',
        b'{"a": "' + b"\\u0001" * 50_000 + b'"}',
    ],
    ids=["bytes", "text", "deep", "shape", "long"],
)
async def test_a_message_that_cannot_be_read_is_refused_as_im_understands_it(
    callbacks: CallbackSender, db: Any, body: bytes
) -> None:
    command = {"CallbackCommand": "Group.CallbackBeforeSendMsg"}
    answer = {"ActionStatus": "OK", "ErrorInfo": "words", "ErrorCode": 10105}
    assert (await callbacks.im(body, **command)).ok() == answer
    assert db.inbox.count_documents({}) == 0
    forged = await callbacks.im(body, **command, Sign="0" * 64)
    assert forged.refusal == (403, "callback_refused")


async def test_a_message_as_long_as_im_permits_is_checked_however_its_characters_are_escaped(
    api: ApiFixture, callbacks: CallbackSender
) -> None:
    anna, bert = await api.user("anna", 2), await api.user("bert", 1)
    proposal = proposed(anna.id, To_Account=bert.id)
    proposal["MsgBody"][0]["MsgContent"]["Text"] = "\1" * 12_000
    assert (await callbacks.im(proposal)).ok() == OK_IM
    proposal["MsgBody"][0]["MsgContent"]["Text"] = "\1" * 12_000 + "加微信"
    assert (await callbacks.im(proposal)).ok()["ErrorInfo"] == "words"


async def test_a_name_that_a_user_sets_at_im_is_replaced_by_the_checked_one(
    api: ApiFixture, callbacks: CallbackSender, server: ServerProcess, db: Any
) -> None:
    anna = await api.user("anna", 2)
    await until_delivered(server)
    profile = server.simulator.im.accounts[anna.id]  # type: ignore[union-attr]
    profile["Tag_Profile_IM_Nick"] = "官方客服"
    change = {
        "CallbackCommand": "Profile.CallbackPortraitSet",
        "Operator_Account": anna.id,
        "From_Account": anna.id,
        "ProfileItem": [{"Tag": "Tag_Profile_IM_Nick", "Value": "官方客服"}],
    }
    assert (await callbacks.im(change, OptPlatform="RESTAPI")).ok() == OK_IM
    assert await server.context.stores.outbox.oldest() is None
    for n in range(30):
        (await callbacks.im(change | {"EventTime": n}, OptPlatform="Web")).ok()
    await until(lambda: profile["Tag_Profile_IM_Nick"] == "anna")
    assert db.inbox.count_documents({}) == 0


async def accept(user: ApiClient) -> Reply:
    return await user.post("qlive_room/accept_micro/", live_id=user.live_id)


@pytest.mark.parametrize(
    "changed",
    [
        {"MsgBody": TEXT},
        {"SendMsgResult": 20006},
        {"MsgTime": 61},
        {"From_Account": "anna"},
        {"From_Account": "stranger"},
        {"From_Account": "other_host"},
        {"To_Account": "stranger"},
    ],
    ids=lambda changed: "_".join(str(part) for part in [*changed, *changed.values()])[:30],
)
async def test_other_messages_admit_nobody_and_are_not_stored(
    api: ApiFixture, callbacks: CallbackSender, db: Any, changed: dict[str, Any]
) -> None:
    """The time is seconds ago: IM may send a callback again, and anyone may repeat one."""
    host, other_host = await api.host(), await api.host("other_host")
    bert = await api.guest("bert", 1, host.live_id)
    anna, stranger = await api.guest("anna", 2, host.live_id), await api.user("stranger", 1)
    ids = {"anna": anna.id, "stranger": stranger.id, "other_host": other_host.id}
    sent = {name: ids.get(str(value), value) for name, value in changed.items()}
    if "MsgTime" in sent:
        sent["MsgTime"] = int(time.time()) - sent["MsgTime"]
    (await callbacks.im(message(host.id, bert.id) | sent)).ok()
    assert (await accept(bert)).refusal == (409, "not_admitted")
    assert db.inbox.count_documents({}) == 0
