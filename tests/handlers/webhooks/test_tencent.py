import asyncio
import json
import time
from typing import Any

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from core.errors import TryAgain
from core.limits import Rate, TokenBuckets
from runtime.process import ServerProcess
from storage.database import Database
from storage.jobs.inbox import InboxStore
from tests.support.api import BASE, ApiClient, ApiFixture, Socket
from tests.support.callbacks import CallbackSender

async_test = pytest.mark.gen_test(timeout=30)

OK_IM = {"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0}
OK_CSS = {"code": 0}
STATE_CHANGE = {
    "CallbackCommand": "State.StateChange",
    "EventTime": 1629883332497,
    "Info": {"Action": "Disconnect", "To_Account": "u_10001", "Reason": "LinkClose"},
}
GROUP_EXIT = {
    "CallbackCommand": "Group.CallbackAfterMemberExit",
    "GroupId": "g",
    "ExitMemberList": [{"Member_Account": "u1"}, {"Member_Account": "u2"}],
    "EventTime": "5",
}
STREAM_START = {"event_type": 1, "stream_id": "room_1", "sequence": "66", "event_time": 1700000000}


class FakePresence:
    """Presence that records its calls and returns `results` in turn, then "done"."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.results: list[str | Exception] = []

    async def on_im_state(
        self, user_id: str, *, online: bool, at_ms: int, group_id: str | None = None
    ) -> str:
        return self._record(user_id, online, at_ms, *([group_id] if group_id else []))

    async def on_stream_event(self, stream: str, *, on: bool, sequence: str, at_s: int) -> str:
        return self._record(stream, on, sequence, at_s)

    def _record(self, *arguments: Any) -> str:
        self.calls.append(arguments)
        result = self.results.pop(0) if self.results else "done"
        if isinstance(result, Exception):
            raise result
        return result


@pytest.fixture
def presence(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> FakePresence:
    presence = FakePresence()
    monkeypatch.setattr(server.context.services.callbacks, "_presence", presence)
    return presence


@pytest.fixture
def callbacks(api: ApiFixture, server: ServerProcess) -> CallbackSender:
    """All refused callbacks are stored, not only a few of an address in a minute."""
    server.context.refused_callback_limit = TokenBuckets(Rate(0, 0))
    return CallbackSender(api, server)


@pytest.fixture
def changes() -> dict[str, Any]:
    """Short grace periods."""
    grace = {"shown_after_seconds": 0.2, "guest_seconds": 1}
    return {"presence": grace}


def stored_callbacks(db: Any) -> list[tuple[str, str, str, int]]:
    rows = db.inbox.find().sort("_id", 1)
    return [(row["source"], row["outcome"], row["reason"], row["times"]) for row in rows]


# ---- genuine callbacks


@async_test
async def test_im_state_change_is_passed_to_presence(
    callbacks: CallbackSender, presence: FakePresence, db: Any
) -> None:
    assert (await callbacks.im(STATE_CHANGE)).ok() == OK_IM
    assert presence.calls == [("u_10001", False, 1629883332497)]
    (row,) = db.inbox.find()
    assert (row["source"], row["outcome"], row["reason"]) == ("im", "done", "")
    assert json.loads(row["raw"]) == STATE_CHANGE
    assert "CallbackCommand=State.StateChange" in row["query"]
    assert "Sign" not in row["query"]


@async_test
async def test_every_member_of_a_group_exit_is_passed_to_presence(
    callbacks: CallbackSender, presence: FakePresence, db: Any
) -> None:
    presence.results = ["not_in_a_room", "done"]
    assert (await callbacks.im(GROUP_EXIT)).ok() == OK_IM
    assert presence.calls == [("u1", False, 5, "g"), ("u2", False, 5, "g")]
    assert stored_callbacks(db) == [("im", "done", "", 1)]


@async_test
async def test_group_exit_without_present_members_is_ignored_with_the_first_reason(
    callbacks: CallbackSender, presence: FakePresence, db: Any
) -> None:
    presence.results = ["has_a_socket", "not_in_a_room"]
    await callbacks.im(GROUP_EXIT)
    await callbacks.im(GROUP_EXIT | {"ExitMemberList": []})
    reasons = {reason for _, outcome, reason, _ in stored_callbacks(db) if outcome == "ignored"}
    assert reasons == {"has_a_socket", "nobody"}


@async_test
async def test_stream_start_and_end_are_passed_to_presence(
    callbacks: CallbackSender, presence: FakePresence, db: Any
) -> None:
    assert (await callbacks.live(STREAM_START)).ok() == OK_CSS
    assert (
        await callbacks.live(STREAM_START | {"event_type": 0, "event_time": "1700000300"})
    ).ok() == OK_CSS
    assert presence.calls == [
        ("room_1", True, "66", 1700000000),
        ("room_1", False, "66", 1700000300),
    ]
    assert [row["_id"] for row in db.inbox.find().sort("_id", 1)] == [
        "live:0:room_1:66",
        "live:1:room_1:66",
    ]


@async_test
async def test_result_of_presence_is_stored(
    callbacks: CallbackSender, presence: FakePresence, db: Any
) -> None:
    presence.results = ["not_the_current_stream"]
    assert (await callbacks.live(STREAM_START)).ok() == OK_CSS
    assert stored_callbacks(db) == [("live", "ignored", "not_the_current_stream", 1)]


@async_test
async def test_unknown_callbacks_are_acknowledged_and_stored(
    callbacks: CallbackSender, presence: FakePresence, db: Any
) -> None:
    assert (await callbacks.im({"CallbackCommand": "C2C.CallbackAfterSendMsg"})).ok() == OK_IM
    assert (await callbacks.live({"event_type": 100, "stream_id": "room_1"})).ok() == OK_CSS
    assert presence.calls == []
    assert sorted(stored_callbacks(db)) == [
        ("im", "ignored", "unknown_command", 1),
        ("live", "ignored", "unknown_event", 1),
    ]


@async_test
async def test_twelve_repeated_callbacks_are_processed_once(
    callbacks: CallbackSender, presence: FakePresence, db: Any
) -> None:
    now = int(time.time())
    for number in range(12):
        assert (await callbacks.live(STREAM_START, t=now + 600 + 60 * number)).ok() == OK_CSS
        assert (await callbacks.im(STATE_CHANGE, RequestTime=str(now - number))).ok() == OK_IM
    assert len(presence.calls) == 2
    assert sorted(stored_callbacks(db)) == [("im", "done", "", 12), ("live", "done", "", 12)]


@async_test
async def test_a_repeated_callback_is_logged_without_an_outcome(
    callbacks: CallbackSender, presence: FakePresence
) -> None:
    presence.results = ["done", "not_in_a_room"]
    with capture_logs(processors=[merge_contextvars]) as logs:
        for _ in range(2):
            await callbacks.im(STATE_CHANGE)
            await callbacks.live(STREAM_START)
            await callbacks.im(STATE_CHANGE, Sign="forged")
    requests = [entry for entry in logs if entry["event"] == "request_completed"]
    outcomes = [entry.get("callback") for entry in requests]
    assert outcomes == ["done", "not_in_a_room", "sign", None, None, "sign"]


@async_test
async def test_concurrent_repeated_callbacks_are_stored_once(
    callbacks: CallbackSender, presence: FakePresence, db: Any
) -> None:
    replies = await asyncio.gather(*(callbacks.live(STREAM_START) for _ in range(12)))
    assert [reply.ok() for reply in replies] == [OK_CSS] * 12
    assert stored_callbacks(db) == [("live", "done", "", 12)]


@async_test
async def test_failed_callback_is_processed_by_its_retry(
    callbacks: CallbackSender, presence: FakePresence, db: Any
) -> None:
    presence.results = [TryAgain()]
    assert (await callbacks.im(STATE_CHANGE)).refusal == (503, "try_again")
    assert stored_callbacks(db) == [("im", "received", "", 1)]
    assert (await callbacks.im(STATE_CHANGE)).ok() == OK_IM
    assert stored_callbacks(db) == [("im", "done", "", 2)]
    assert len(presence.calls) == 2


@async_test
async def test_callbacks_return_503_while_the_database_is_down(
    callbacks: CallbackSender,
    server: ServerProcess,
    presence: FakePresence,
    db: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Ends between two attempts of the driver, which are 500 ms apart.
    monkeypatch.setattr("storage.database.OPERATION_MS", 750)
    unavailable = Database("mongodb://127.0.0.1:9/", "unavailable")
    stores = server.context.stores
    inbox, stores.inbox = stores.inbox, InboxStore(unavailable)
    try:
        for reply in await asyncio.gather(callbacks.im(STATE_CHANGE), callbacks.live(STREAM_START)):
            assert reply.refusal == (503, "storage_away")
            assert int(reply.headers["Retry-After"]) > 0
        assert presence.calls == []  # a callback that is not stored is not processed
    finally:
        stores.inbox = inbox
        await unavailable.close()
    assert (await callbacks.im(STATE_CHANGE)).ok() == OK_IM
    assert (await callbacks.live(STREAM_START)).ok() == OK_CSS
    assert len(presence.calls) == 2


# ---- refused callbacks


def take_stored_callbacks(db: Any) -> list[tuple[str, str, str, int]]:
    """Those stored since the last call."""
    stored = stored_callbacks(db)
    db.inbox.delete_many({})
    return stored


@async_test
async def test_refused_im_callbacks_are_stored_with_their_reason(
    callbacks: CallbackSender, presence: FakePresence, db: Any
) -> None:
    for query, reason in (
        ({"Sign": "0" * 64}, "sign"),
        ({"Sign": ""}, "sign"),
        ({"RequestTime": "1700000000"}, "stale"),
        ({"SdkAppid": "1"}, "app"),
        ({"CallbackCommand": "Group.CallbackAfterMemberExit"}, "command"),
        ({"RequestTime": "now"}, "unreadable"),
    ):
        for _ in range(2):
            reply = await callbacks.im(STATE_CHANGE, **query)
            assert reply.refusal == (403, "callback_refused"), query
        assert json.loads(db.inbox.find_one()["raw"]) == STATE_CHANGE, query
        assert take_stored_callbacks(db) == [("im", "refused", reason, 2)], query
    assert presence.calls == []


@async_test
async def test_refused_css_callbacks_are_stored_with_their_reason(
    callbacks: CallbackSender, presence: FakePresence, db: Any
) -> None:
    overrides: dict[str, Any]
    for overrides, reason in (
        ({"sign": "0" * 32}, "sign"),
        ({"sign": None}, "sign"),
        ({"t": 1700000000}, "stale"),
        ({"t": 99_999_999_999}, "stale"),
        ({"sequence": None}, "unreadable"),
    ):
        reply = await callbacks.live(STREAM_START, **overrides)
        assert reply.refusal == (403, "callback_refused"), overrides
        assert take_stored_callbacks(db) == [("live", "refused", reason, 1)], overrides
    assert presence.calls == []


@async_test
async def test_forged_callbacks_of_an_address_are_stored_at_a_limited_rate_only(
    callbacks: CallbackSender, presence: FakePresence, server: ServerProcess, db: Any
) -> None:
    server.context.refused_callback_limit = TokenBuckets(Rate(0.001, 3))
    forged = [await callbacks.im(STATE_CHANGE | {"n": n}, Sign="0" * 64) for n in range(10)]
    assert {reply.refusal for reply in forged} == {(403, "callback_refused")}
    assert stored_callbacks(db) == [("im", "refused", "sign", 1)] * 3
    metrics = (await callbacks.api.request("GET", "/metrics")).text
    assert 'qlive_callbacks_refused_total{reason="sign",source="im"} 10.0' in metrics
    assert (await callbacks.im(STATE_CHANGE)).ok() == OK_IM
    assert presence.calls == [("u_10001", False, 1629883332497)]


@async_test
async def test_forged_callback_does_not_block_the_genuine_callback(
    callbacks: CallbackSender, presence: FakePresence, db: Any
) -> None:
    assert (await callbacks.im(STATE_CHANGE, Sign="forged")).status == 403
    assert (await callbacks.im(STATE_CHANGE)).ok() == OK_IM
    assert (await callbacks.im(STATE_CHANGE, Sign="forged")).status == 403
    assert len(presence.calls) == 1
    assert sorted(stored_callbacks(db)) == [("im", "done", "", 1), ("im", "refused", "sign", 2)]


@async_test
async def test_bodies_that_are_not_a_json_object_are_refused_and_stored(
    callbacks: CallbackSender, db: Any
) -> None:
    lone_surrogate, deep = b'{"a": "\\ud800"}', b"[" * 50_000
    for body in (b"", b"{", b"\xff\x00", b"[1]", lone_surrogate, deep, b"a=1&b=2"):
        for path in ("live/callback/", "im/callback/"):
            reply = await callbacks.post(path, body)
            assert reply.refusal == (403, "callback_refused"), (path, body[:40])
        assert sorted(take_stored_callbacks(db)) == [
            ("im", "refused", "sign", 1),
            ("live", "refused", "unreadable", 1),
        ], body[:40]


@async_test
async def test_query_with_invalid_utf8_is_refused_and_stored(
    callbacks: CallbackSender, db: Any
) -> None:
    query = "Sign=%ff&SdkAppid=%ed%a0%80&$where=1&a.b=%00&CallbackCommand=%fe"
    reply = await callbacks.post(f"im/callback/?{query}", json.dumps(STATE_CHANGE).encode())
    assert reply.refusal == (403, "callback_refused")
    assert stored_callbacks(db) == [("im", "refused", "sign", 1)]


@async_test
async def test_body_over_64_kb_is_too_large(callbacks: CallbackSender, db: Any) -> None:
    for path in ("im/callback/", "live/callback/"):
        assert (await callbacks.post(path, b"{" + b" " * 65536)).refusal == (413, "too_large")
    assert stored_callbacks(db) == []


@async_test
async def test_callbacks_require_post(callbacks: CallbackSender) -> None:
    reply = await callbacks.api.request("GET", f"{BASE}im/callback/")
    assert (reply.refusal, reply.headers["Allow"]) == ((405, "wrong_method"), "POST")


@async_test
async def test_callbacks_are_refused_without_configured_keys(
    callbacks: CallbackSender, server: ServerProcess, presence: FakePresence, db: Any
) -> None:
    settings = server.context.settings
    im = settings.im.model_copy(update={"callback_token": ""})
    live = settings.live.model_copy(update={"callback_key": ""})
    without_keys = settings.model_copy(update={"im": im, "live": live})
    server.context.settings = callbacks.settings = without_keys
    assert (await callbacks.im(STATE_CHANGE)).refusal == (403, "callback_refused")
    assert (await callbacks.live(STREAM_START)).refusal == (403, "callback_refused")
    assert presence.calls == []
    assert sorted(stored_callbacks(db)) == [
        ("im", "refused", "no_key", 1),
        ("live", "refused", "no_key", 1),
    ]


# ---- effect on the room


async def guest_on_mic(api: ApiFixture) -> tuple[ApiClient, Socket, str]:
    """A guest on mic without a socket, the host's socket, and the stream of the guest."""
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    (await anna.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    seat = (await anna.post("qlive_room/accept_micro/", live_id=host.live_id)).ok()
    socket = await host.connect()
    await socket.next("snapshot")
    return anna, socket, seat["push_url"].split("?")[0].rpartition("/")[2]


async def assert_evicted(socket: Socket, guest: ApiClient) -> None:
    assert (await socket.next("member_away"))["data"]["user_id"] == guest.id
    event = (await socket.next("micro_leave"))["data"]
    assert (event["user_id"], event["reason"]) == (guest.id, "offline")


@async_test
async def test_guest_loses_the_seat_after_im_logout(
    api: ApiFixture, callbacks: CallbackSender, db: Any
) -> None:
    anna, socket, _ = await guest_on_mic(api)
    im_logout = STATE_CHANGE | {"EventTime": int(time.time() * 1000)}
    im_logout["Info"] = {"Action": "Logout", "To_Account": anna.id, "Reason": "Unregister"}
    for _ in range(2):
        (await callbacks.im(im_logout)).ok()
    await assert_evicted(socket, anna)
    assert stored_callbacks(db) == [("im", "done", "", 2)]


@async_test
async def test_guest_loses_the_seat_after_the_stream_ends(
    api: ApiFixture, callbacks: CallbackSender, db: Any
) -> None:
    anna, socket, stream = await guest_on_mic(api)
    stream_event = {"stream_id": stream, "sequence": "67", "event_time": int(time.time())}
    (await callbacks.live(stream_event | {"event_type": 1})).ok()
    (await callbacks.live(stream_event | {"event_type": 0, "sequence": "66"})).ok()
    (await callbacks.live(stream_event | {"event_type": 0, "stream_id": f"{anna.id}_other"})).ok()
    (await callbacks.live(stream_event | {"event_type": 0})).ok()
    await assert_evicted(socket, anna)
    results = {row["_id"]: row["reason"] for row in db.inbox.find()}
    assert results == {
        f"live:1:{stream}:67": "",
        f"live:0:{stream}:66": "old_sequence",
        f"live:0:{anna.id}_other:67": "not_the_current_stream",
        f"live:0:{stream}:67": "",
    }


@async_test
async def test_callbacks_are_ignored_for_connected_users_and_users_outside_rooms(
    api: ApiFixture, callbacks: CallbackSender, db: Any
) -> None:
    host = await api.host()
    await (await host.connect()).next("snapshot")
    group_exit = GROUP_EXIT | {"ExitMemberList": [{"Member_Account": host.id}]}
    (await callbacks.im(group_exit)).ok()
    (await callbacks.im(STATE_CHANGE)).ok()
    assert {reason for _, _, reason, _ in stored_callbacks(db)} == {"has_a_socket", "not_in_a_room"}
