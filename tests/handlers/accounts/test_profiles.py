"""Profiles, the current room, and likes."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from runtime.process import ServerProcess
from services.room_changes import RoomChanges
from tests.support.api import ApiFixture
from tests.support.chat import decode_usersig
from tests.support.races import run_after, run_before
from tests.support.waiting import until

INFO, UPDATE = "qlive_user/get_userinfo/", "qlive_user/update_userinfo/"
FACE = "https://example.com/h.png"


def parse_time(text: str) -> datetime:
    """A time of the API contract, which has no offset and is China's (UTC+8)."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text)
    return datetime.fromisoformat(text + "+08:00")


# ---- update_userinfo


async def test_update_changes_only_the_given_fields_also_at_im(
    api: ApiFixture, server: ServerProcess
) -> None:
    anna = await api.user("anna", 2)
    face = "https://example.com/".ljust(512, "x")
    info = (await anna.post(UPDATE, age="120", area=310100, face_url=face)).ok()
    assert (info["age"], info["area"], info["face_url"]) == (120, "310100", face)
    assert (info["nickname"], info["gender"], info["user_id"]) == ("anna", 2, anna.id)
    longest = "安 娜" + 17 * "字"
    renamed = (await anna.post(UPDATE, nickname=f"  {longest} ")).ok()
    assert (renamed["nickname"], renamed["age"]) == (longest, 120)
    kept = (await anna.get(INFO)).ok()
    assert (kept["nickname"], kept["area"], kept["face_url"]) == (longest, "310100", face)
    (await anna.post(UPDATE, height=100)).ok()
    assert (await anna.post(UPDATE, height=250)).ok()["height"] == 250
    assert (await anna.post(UPDATE, height=None)).ok()["height"] == 0
    untouched = (await anna.post(UPDATE, nickname="", age="")).ok()
    assert (untouched["nickname"], untouched["age"]) == (longest, 120)
    assert server.simulator
    accounts = server.simulator.im.accounts
    await until(lambda: accounts.get(anna.id, {}).get("Tag_Profile_IM_Nick") == longest)


async def test_an_age_below_18_that_was_stored_before_counts_as_not_set(
    api: ApiFixture, server: ServerProcess
) -> None:
    anna = await api.user("anna", 2)
    users = server.context.database.collection("users")
    await users.update_one({"_id": anna.id}, {"$set": {"age": 17}})
    assert (await anna.get(INFO)).ok()["age"] == 0


INVALID_VALUES: dict[str, list[Any]] = {
    "nickname": ["   ", "x" * 21, "a\nb", "a\x00b", "\u202eabc", "an\u200bna", ["a"]],
    "gender": [0, 3, "man", -1, 1.5],
    "height": [0, 99, 251, "tall", 170.5, True],
    "age": [0, 17, 121, "old", -5, 2**70, True, "1_0", " 2", "2 "],
    "area": ["31010", "3101000", "abcdef", "３１０１００"],
    "face_url": [
        *("ftp://example.com/a", "javascript:alert(1)", "https://a b", 'https://a"><b>'),
        *("x" * 20, "https://example.com/".ljust(513, "x"), "https:///evil.cn/1.jpg"),
        *("uploads/x", "uploads/face/1.jpg", "uploads/face/../../sim/face.jpg"),
    ],
}


async def test_invalid_field_is_named_and_the_profile_is_unchanged(
    api: ApiFixture, db: Any
) -> None:
    anna = await api.user("anna", 2)
    before = db.users.find_one({"_id": anna.id})
    for field, values in INVALID_VALUES.items():
        for value in values:
            reply = await anna.post(UPDATE, **{"age": 30, field: value})
            assert reply.refusal == (400, "bad_parameter"), (field, value)
            assert reply.json["fields"].keys() == {field}, (field, value)
            assert reply.json["fields"][field], (field, value)
    assert db.users.find_one({"_id": anna.id}) == before


async def test_room_shows_a_new_face_whose_update_was_cut_short(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await api.host()
    socket = await host.watch()
    change_room = RoomChanges.change_with

    async def die_in_request(self: RoomChanges, *args: Any, **more: Any) -> Any:
        if "request_id" in structlog.contextvars.get_contextvars():
            raise ConnectionError
        return await change_room(self, *args, **more)

    monkeypatch.setattr(RoomChanges, "change_with", die_in_request)
    assert (await host.post(UPDATE, face_url=FACE)).status == 500
    event = (await socket.next("profile"))["data"]
    assert (event["user_id"], event["face_url"]) == (host.id, FACE)


@pytest.mark.parametrize("paused_jobs", [("im_outbox",)])
async def test_outdated_nickname_is_not_published_after_a_newer_one(
    api: ApiFixture, server: ServerProcess
) -> None:
    """The first request is delayed, for example by a stopped process, and overtaken.

    The job, which publishes names too, might show the first one before it is outdated.
    """
    host = await api.host()
    socket = await host.watch()

    async def overtake() -> None:
        (await host.post(UPDATE, nickname="later")).ok()

    run_after(server.context.stores.users, "update_with", overtake)
    (await host.post(UPDATE, nickname="earlier")).ok()
    (await host.post(UPDATE, nickname="last")).ok()
    nicknames = [(await socket.next("profile"))["data"]["nickname"] for _ in range(2)]
    assert nicknames == ["later", "last"]


async def test_user_sig_is_signed_before_the_update_and_not_returned_to_a_banned_user(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, steps = await api.user("anna", 2), []
    context = server.context
    sign = context.tencent.im.user_sig

    async def ban() -> None:
        await context.services.rooms.removals.change_user(anna.id, {"banned": True})
        steps.append("update")

    def sign_step(user_id: str, seconds: int) -> str:
        if user_id == anna.id:
            steps.append("sign")
        return sign(user_id, seconds)

    run_before(context.services.accounts.profiles, "update", ban)
    monkeypatch.setattr(context.tencent.im, "user_sig", sign_step)
    reply = await anna.post(UPDATE, age=30)
    assert reply.refusal == (403, "banned")
    assert steps == ["sign", "update"]


# ---- get_userinfo


async def test_cached_token_of_an_ended_session_or_a_banned_user_reads_no_user_sig(
    api: ApiFixture, db: Any
) -> None:
    anna, bert = await api.user("anna", 2), await api.user("bert", 1)
    for client in (anna, bert):
        (await client.get("qlive_user/get_user_state/")).ok()
    db.tokens.update_many({"user_id": anna.id}, {"$set": {"revoked": True}})
    db.users.update_one({"_id": bert.id}, {"$set": {"banned": True}})
    (await anna.get(INFO, user_id=bert.id)).ok()
    assert (await bert.get(INFO, user_id=anna.id)).refusal == (403, "banned")
    for client, refusal in ((anna, (401, "token")), (bert, (403, "banned"))):
        for params in ({}, {"user_id": client.id}):
            assert (await client.get(INFO, **params)).refusal == refusal


async def test_only_the_own_profile_includes_balance_and_user_sig(api: ApiFixture) -> None:
    anna, bert = await api.user("anna", 2, gold=12), await api.user("bert", 1)
    for reply in (await anna.get(INFO), await anna.get(INFO, user_id=anna.id)):
        own = reply.ok()
        assert (own["user_id"], own["gold"], own["income"]) == (anna.id, 12, 0)
        assert own["rate"] == "0.1"
        sig = decode_usersig(own["user_sig"])
        assert (sig["TLS.identifier"], sig["TLS.expire"]) == (anna.id, 24 * 3600)
        now = datetime.now(UTC)
        valid_for = parse_time(own["user_sig_expired"]) - now
        assert timedelta(hours=23) < valid_for <= timedelta(hours=24, seconds=1)
        for name in ("create_time", "last_login_time"):
            assert timedelta(0) <= now - parse_time(own[name]) < timedelta(seconds=60)
    other = (await bert.get(INFO, user_id=anna.id)).ok()
    assert (other["user_sig"], other["user_sig_expired"]) == ("", None)
    assert (other["gold"], other["income"]) == (None, None)
    assert (other["user_id"], other["nickname"], other["gender"]) == (anna.id, "anna", 2)
    assert other.keys() == own.keys()
    assert (await anna.get(INFO, user_id="10000000")).refusal == (404, "no_such_user")


# ---- likes


async def test_a_like_of_oneself_or_of_nobody_is_refused(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    for user_id, refusal in (
        (anna.id, (400, "bad_parameter")),
        ("10000000", (404, "no_such_user")),
    ):
        assert (await anna.get("qlive_like/", user_id=user_id)).refusal == refusal
        reply = await anna.post("qlive_like/", user_id=user_id, like_state=1)
        assert reply.refusal == refusal
