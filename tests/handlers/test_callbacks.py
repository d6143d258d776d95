import asyncio
import hashlib
import json
import time
from typing import Any
from urllib.parse import urlencode

import pytest

from rooms.refusals import TryAgain
from server import Server
from storage.database import Database
from storage.inbox import Inbox
from tests.phones import BASE, Phone, Reply, Socket, Street

a_callback = pytest.mark.gen_test(timeout=30)

OK_IM = {"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0}
OK_LIVE = {"code": 0}
STATE = {
    "CallbackCommand": "State.StateChange",
    "EventTime": 1629883332497,
    "Info": {"Action": "Disconnect", "To_Account": "u_10001", "Reason": "LinkClose"},
}
LEFT = {
    "CallbackCommand": "Group.CallbackAfterMemberExit",
    "GroupId": "g",
    "ExitMemberList": [{"Member_Account": "u1"}, {"Member_Account": "u2"}],
    "EventTime": "5",
}
PUSH = {"event_type": 1, "stream_id": "room_1", "sequence": "66", "event_time": 1700000000}


class Listener:
    """Presence as the handlers see it: what it heard, and the words that it says next."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.words: list[str | Exception] = []

    async def heard_state(
        self, user_id: str, *, online: bool, at_ms: int, group_id: str | None = None
    ) -> str:
        return self._say(user_id, online, at_ms, *([group_id] if group_id else []))

    async def heard_stream(self, stream: str, *, on: bool, sequence: str, at_s: int) -> str:
        return self._say(stream, on, sequence, at_s)

    def _say(self, *heard: Any) -> str:
        self.heard.append(heard)
        word = self.words.pop(0) if self.words else "done"
        if isinstance(word, Exception):
            raise word
        return word


@pytest.fixture
def listener(server: Server) -> Listener:
    server.parts.presence = listener = Listener()  # type: ignore[assignment]
    return listener


class Tencent:
    """Whoever knows the keys."""

    def __init__(self, street: Street, server: Server) -> None:
        self.street = street
        self.settings = server.settings

    async def im(self, content: Any, **query: str) -> Reply:
        """A callback of IM, signed now, but for what `query` says otherwise."""
        im, stamp = self.settings.im, query.get("RequestTime", str(int(time.time())))
        asked = {
            "SdkAppid": str(im.sdk_app_id),
            "CallbackCommand": content.get("CallbackCommand", "x"),
            "contenttype": "json",
            "ClientIP": "203.0.113.7",
            "OptPlatform": "IOS",
            "Sign": hashlib.sha256(f"{im.callback_token}{stamp}".encode()).hexdigest(),
            "RequestTime": stamp,
            **query,
        }
        return await self.post(f"im/callback/?{urlencode(asked)}", json.dumps(content).encode())

    async def live(self, content: dict[str, Any], **other: Any) -> Reply:
        """A callback of CSS, signed for ten minutes from now, but for what `other` says."""
        expires = other.get("t", int(time.time()) + 600)
        key = self.settings.live.callback_key
        sign = hashlib.md5(f"{key}{expires}".encode()).hexdigest()
        return await self.post(
            "live/callback/", json.dumps({**content, "t": expires, "sign": sign, **other}).encode()
        )

    async def post(self, path: str, body: bytes) -> Reply:
        return await self.street.ask("POST", BASE + path, data=body)


@pytest.fixture
def tencent(street: Street, server: Server) -> Tencent:
    return Tencent(street, server)


@pytest.fixture
def changes() -> dict[str, Any]:
    """Nobody waits long for a guest."""
    soon = {"shown_after_seconds": 0.2, "guest_seconds": 1}
    return {"presence": soon}


def kept(db: Any) -> list[tuple[str, str, str, int]]:
    rows = db.inbox.find().sort("_id", 1)
    return [(row["source"], row["outcome"], row["reason"], row["times"]) for row in rows]


# ---- what is genuine


@a_callback
async def test_who_goes_offline_in_im_is_told_to_presence(
    tencent: Tencent, listener: Listener, db: Any
) -> None:
    assert (await tencent.im(STATE)).ok() == OK_IM
    assert listener.heard == [("u_10001", False, 1629883332497)]
    (row,) = db.inbox.find()
    assert (row["source"], row["outcome"], row["reason"]) == ("im", "done", "")
    assert json.loads(row["raw"]) == STATE
    assert "CallbackCommand=State.StateChange" in row["query"]
    assert "Sign" not in row["query"]


@a_callback
async def test_everybody_who_left_a_group_is_told_to_presence(
    tencent: Tencent, listener: Listener, db: Any
) -> None:
    listener.words = ["not_in_a_room", "done"]
    assert (await tencent.im(LEFT)).ok() == OK_IM
    assert listener.heard == [("u1", False, 5, "g"), ("u2", False, 5, "g")]
    assert kept(db) == [("im", "done", "", 1)]


@a_callback
async def test_a_group_of_whom_nobody_was_here_is_ignored_for_the_first_reason(
    tencent: Tencent, listener: Listener, db: Any
) -> None:
    listener.words = ["has_a_socket", "not_in_a_room"]
    await tencent.im(LEFT)
    await tencent.im(LEFT | {"ExitMemberList": []})
    reasons = {reason for _, outcome, reason, _ in kept(db) if outcome == "ignored"}
    assert reasons == {"has_a_socket", "nobody"}


@a_callback
async def test_a_stream_that_begins_and_ends_is_told_to_presence(
    tencent: Tencent, listener: Listener, db: Any
) -> None:
    assert (await tencent.live(PUSH)).ok() == OK_LIVE
    assert (
        await tencent.live(PUSH | {"event_type": 0, "event_time": "1700000300"})
    ).ok() == OK_LIVE
    assert listener.heard == [
        ("room_1", True, "66", 1700000000),
        ("room_1", False, "66", 1700000300),
    ]
    assert [row["_id"] for row in db.inbox.find().sort("_id", 1)] == [
        "live:0:room_1:66",
        "live:1:room_1:66",
    ]


@a_callback
async def test_the_word_of_presence_is_kept(tencent: Tencent, listener: Listener, db: Any) -> None:
    listener.words = ["not_the_current_stream"]
    assert (await tencent.live(PUSH)).ok() == OK_LIVE
    assert kept(db) == [("live", "ignored", "not_the_current_stream", 1)]


@a_callback
async def test_what_does_not_concern_us_is_answered_and_kept(
    tencent: Tencent, listener: Listener, db: Any
) -> None:
    assert (await tencent.im({"CallbackCommand": "C2C.CallbackAfterSendMsg"})).ok() == OK_IM
    assert (await tencent.live({"event_type": 100, "stream_id": "room_1"})).ok() == OK_LIVE
    assert listener.heard == []
    assert sorted(kept(db)) == [
        ("im", "ignored", "unknown_command", 1),
        ("live", "ignored", "unknown_event", 1),
    ]


@a_callback
async def test_twelve_repetitions_have_one_effect(
    tencent: Tencent, listener: Listener, db: Any
) -> None:
    now = int(time.time())
    for number in range(12):
        assert (await tencent.live(PUSH, t=now + 600 + 60 * number)).ok() == OK_LIVE
        assert (await tencent.im(STATE, RequestTime=str(now - number))).ok() == OK_IM
    assert len(listener.heard) == 2
    assert sorted(kept(db)) == [("im", "done", "", 12), ("live", "done", "", 12)]


@a_callback
async def test_repetitions_at_the_same_time_are_kept_as_one(
    tencent: Tencent, listener: Listener, db: Any
) -> None:
    answers = await asyncio.gather(*(tencent.live(PUSH) for _ in range(12)))
    assert [answer.ok() for answer in answers] == [OK_LIVE] * 12
    assert kept(db) == [("live", "done", "", 12)]


@a_callback
async def test_an_effect_that_fails_is_carried_out_by_the_repetition(
    tencent: Tencent, listener: Listener, db: Any
) -> None:
    listener.words = [TryAgain()]
    assert (await tencent.im(STATE)).refusal == (503, "try_again")
    assert kept(db) == [("im", "received", "", 1)]
    assert (await tencent.im(STATE)).ok() == OK_IM
    assert kept(db) == [("im", "done", "", 2)]
    assert len(listener.heard) == 2


@a_callback
async def test_while_the_database_is_away_tencent_is_asked_to_repeat(
    tencent: Tencent,
    server: Server,
    listener: Listener,
    db: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Between two of the driver's attempts, which are 500 ms apart: none is cut short by the end.
    monkeypatch.setattr("storage.database.OPERATION_MS", 750)
    away = Database("mongodb://127.0.0.1:9/", "away")
    inbox, server.parts.inbox = server.parts.inbox, Inbox(away)
    try:
        for answer in await asyncio.gather(tencent.im(STATE), tencent.live(PUSH)):
            assert answer.refusal == (503, "storage_away")
            assert int(answer.headers["Retry-After"]) > 0
        assert listener.heard == []  # what is not stored first is not carried out
    finally:
        server.parts.inbox = inbox
        await away.close()
    assert (await tencent.im(STATE)).ok() == OK_IM
    assert (await tencent.live(PUSH)).ok() == OK_LIVE
    assert len(listener.heard) == 2


# ---- what is not


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"Sign": "0" * 64}, "sign"),
        ({"Sign": ""}, "sign"),
        ({"RequestTime": "1700000000"}, "stale"),
        ({"SdkAppid": "1"}, "app"),
        ({"CallbackCommand": "Group.CallbackAfterMemberExit"}, "command"),
        ({"RequestTime": "now"}, "unreadable"),
    ],
)
@a_callback
async def test_a_refused_callback_of_im_is_kept_with_its_reason(
    tencent: Tencent, listener: Listener, db: Any, query: dict[str, str], reason: str
) -> None:
    for _ in range(2):
        assert (await tencent.im(STATE, **query)).refusal == (403, "callback_refused")
    assert listener.heard == []
    assert kept(db) == [("im", "refused", reason, 2)]
    assert json.loads(db.inbox.find_one()["raw"]) == STATE


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"sign": "0" * 32}, "sign"),
        ({"sign": None}, "sign"),
        ({"t": 1700000000}, "stale"),
        ({"t": 99_999_999_999}, "stale"),
        ({"sequence": None}, "unreadable"),
    ],
)
@a_callback
async def test_a_refused_callback_of_css_is_kept_with_its_reason(
    tencent: Tencent, listener: Listener, db: Any, other: dict[str, Any], reason: str
) -> None:
    assert (await tencent.live(PUSH, **other)).refusal == (403, "callback_refused")
    assert listener.heard == []
    assert kept(db) == [("live", "refused", reason, 1)]


@a_callback
async def test_a_forgery_does_not_stand_in_the_way_of_the_genuine_one(
    tencent: Tencent, listener: Listener, db: Any
) -> None:
    assert (await tencent.im(STATE, Sign="forged")).status == 403
    assert (await tencent.im(STATE)).ok() == OK_IM
    assert (await tencent.im(STATE, Sign="forged")).status == 403
    assert len(listener.heard) == 1
    assert sorted(kept(db)) == [("im", "done", "", 1), ("im", "refused", "sign", 2)]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\x00", b"[1]", b'{"a": "\\ud800"}', b"[" * 50_000, b"a=1&b=2"]
)
@a_callback
async def test_a_body_that_is_no_object_is_refused_and_kept(
    tencent: Tencent, db: Any, body: bytes
) -> None:
    assert (await tencent.post("live/callback/", body)).refusal == (403, "callback_refused")
    assert (await tencent.post("im/callback/", body)).refusal == (403, "callback_refused")
    assert sorted(kept(db)) == [
        ("im", "refused", "sign", 1),
        ("live", "refused", "unreadable", 1),
    ]


@a_callback
async def test_a_query_in_no_alphabet_is_refused_and_kept(tencent: Tencent, db: Any) -> None:
    query = "Sign=%ff&SdkAppid=%ed%a0%80&$where=1&a.b=%00&CallbackCommand=%fe"
    answer = await tencent.post(f"im/callback/?{query}", json.dumps(STATE).encode())
    assert answer.refusal == (403, "callback_refused")
    assert kept(db) == [("im", "refused", "sign", 1)]


@a_callback
async def test_more_than_64_kb_is_too_large(tencent: Tencent, db: Any) -> None:
    for path in ("im/callback/", "live/callback/"):
        assert (await tencent.post(path, b"{" + b" " * 65536)).refusal == (413, "too_large")
    assert kept(db) == []


@a_callback
async def test_a_callback_is_posted(tencent: Tencent) -> None:
    answer = await tencent.street.ask("GET", f"{BASE}im/callback/")
    assert (answer.refusal, answer.headers["Allow"]) == ((405, "wrong_method"), "POST")


@a_callback
async def test_without_keys_of_ours_nothing_is_believed(
    tencent: Tencent, server: Server, listener: Listener, db: Any
) -> None:
    settings = server.parts.settings
    im = settings.im.model_copy(update={"callback_token": ""})
    live = settings.live.model_copy(update={"callback_key": ""})
    empty = settings.model_copy(update={"im": im, "live": live})
    server.parts.settings = tencent.settings = empty
    assert (await tencent.im(STATE)).refusal == (403, "callback_refused")
    assert (await tencent.live(PUSH)).refusal == (403, "callback_refused")
    assert listener.heard == []
    assert sorted(kept(db)) == [("im", "refused", "no_key", 1), ("live", "refused", "no_key", 1)]


# ---- with everything behind it


async def guest_on_mic(street: Street) -> tuple[Phone, Socket, str]:
    """Somebody on mic who never opened a socket, the host's socket, and the guest's stream."""
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    (await anna.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    seat = (await anna.post("qlive_room/accept_micro/", live_id=host.live_id)).ok()
    socket = await host.connect()
    await socket.next("snapshot")
    return anna, socket, seat["push_url"].split("?")[0].rpartition("/")[2]


async def assert_goes(socket: Socket, guest: Phone) -> None:
    assert (await socket.next("member_away"))["data"]["user_id"] == guest.id
    left = (await socket.next("micro_leave"))["data"]
    assert (left["user_id"], left["reason"]) == (guest.id, "offline")


@a_callback
async def test_a_guest_whose_im_is_gone_loses_the_seat(
    street: Street, tencent: Tencent, db: Any
) -> None:
    anna, socket, _ = await guest_on_mic(street)
    gone = STATE | {"EventTime": int(time.time() * 1000)}
    gone["Info"] = {"Action": "Logout", "To_Account": anna.id, "Reason": "Unregister"}
    for _ in range(2):
        (await tencent.im(gone)).ok()
    await assert_goes(socket, anna)
    assert kept(db) == [("im", "done", "", 2)]


@a_callback
async def test_a_guest_whose_push_has_ended_loses_the_seat(
    street: Street, tencent: Tencent, db: Any
) -> None:
    anna, socket, stream = await guest_on_mic(street)
    push = {"stream_id": stream, "sequence": "67", "event_time": int(time.time())}
    (await tencent.live(push | {"event_type": 1})).ok()
    (await tencent.live(push | {"event_type": 0, "sequence": "66"})).ok()
    (await tencent.live(push | {"event_type": 0, "stream_id": f"{anna.id}_other"})).ok()
    (await tencent.live(push | {"event_type": 0})).ok()
    await assert_goes(socket, anna)
    words = {row["_id"]: row["reason"] for row in db.inbox.find()}
    assert words == {
        f"live:1:{stream}:67": "",
        f"live:0:{stream}:66": "old_sequence",
        f"live:0:{anna.id}_other:67": "not_the_current_stream",
        f"live:0:{stream}:67": "",
    }


@a_callback
async def test_who_has_a_socket_or_is_in_no_room_is_left_alone(
    street: Street, tencent: Tencent, db: Any
) -> None:
    host = await street.host()
    await (await host.connect()).next("snapshot")
    left = LEFT | {"ExitMemberList": [{"Member_Account": host.id}]}
    (await tencent.im(left)).ok()
    (await tencent.im(STATE)).ok()
    assert {reason for _, _, reason, _ in kept(db)} == {"has_a_socket", "not_in_a_room"}
