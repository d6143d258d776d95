"""Login, registration, tokens and logout."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from runtime.process import ServerProcess
from storage.accounts.tokens import CODE_LIFETIME
from tencent.wechat import WechatLogin
from tests.support.api import BASE, ApiClient, ApiFixture, Reply
from tests.support.chat import decode_usersig
from tests.support.mic import take_seat, user_type
from tests.support.races import run_before
from tests.support.waiting import until

APP = "wxca891295c56f2c79"
OTHER_APP = "wx0123456789abcdef"
LOGOUT = "qlive_user/logout/"


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"wechat": {"apps": {APP: {}, OTHER_APP: {}}}}


async def log_in(api: ApiFixture, login: dict[str, str]) -> Reply:
    body = {"appId": login["appId"], "code": login["code"]}
    return await api.request("POST", f"{BASE}qlive_user/login/", json=body)


async def register(api: ApiFixture, wechat_login: dict[str, str]) -> Reply:
    return await api.request("POST", f"{BASE}qlive_user/", json=wechat_login)


# ---- login


async def test_login_returns_status_1_before_and_a_token_after_the_registration(
    api: ApiFixture, server: ServerProcess
) -> None:
    empty = dict.fromkeys(("token", "user_id", "user_sign", "sdk_app_id"), "")
    assert (await api.log_in("anna")).ok() == {"status": 1, **empty, "login_type": 0}
    anna = await api.user("anna", 2)
    reply = (await api.log_in("anna")).ok()
    assert (reply["status"], reply["login_type"]) == (0, 0)
    assert re.fullmatch(r"[0-9a-f]{40}", reply["token"])
    assert reply["token"] != anna.token
    assert reply["user_id"] == anna.id
    assert reply["sdk_app_id"] == str(server.settings.im.sdk_app_id)
    assert decode_usersig(reply["user_sign"])["TLS.expire"] == 24 * 3600
    assert "live_id" not in reply
    (await ApiClient(api, "anna", reply).get("get_configs/")).ok()


# ---- registration


async def test_new_user_has_the_wechat_profile_or_empty_fields_and_an_account_at_im(
    api: ApiFixture, server: ServerProcess
) -> None:
    assert server.simulator
    accounts = server.simulator.im.accounts
    face = "https://example.com/bert.jpg"
    for profile, expected in (
        ({"gender": 1, "face_url": face}, ("bert", 1, face)),
        ({"gender": 1, "modern": True, "appId": OTHER_APP}, ("", 0, "")),
    ):
        reply = (await register(api, await api.wechat("bert", **profile))).ok()
        assert reply.keys() == {"token", "user_id", "user_sign", "sdk_app_id"}
        info = (await ApiClient(api, "bert", reply).get("qlive_user/get_userinfo/")).ok()
        assert (info["nickname"], info["gender"], info["face_url"]) == expected
        assert (info["gold"], info["income"], info["is_matchmaker"]) == (0, 0, False)
        await until(lambda user_id=reply["user_id"]: user_id in accounts)


async def test_encrypted_data_that_is_invalid_or_of_another_user_creates_no_user(
    api: ApiFixture, server: ServerProcess, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wechat, users_before = server.context.tencent.wechat, db.users.count_documents({})
    exchange = wechat.exchange

    async def exchange_as_another_user(app_id: str, code: str) -> WechatLogin:
        return replace(await exchange(app_id, code), openid="another-openid")

    other = await api.wechat("other", 1)
    for encrypted in ("AAAA", other["encryptedData"]):
        wechat_login = {**await api.wechat("anna", 2), "encryptedData": encrypted}
        assert (await register(api, wechat_login)).refusal == (400, "encrypted_data")
    monkeypatch.setattr(wechat, "exchange", exchange_as_another_user)
    assert (await register(api, await api.wechat("anna", 2))).refusal == (400, "encrypted_data")
    assert db.users.count_documents({}) == users_before


# ---- login and registration with the same code of wx.login


async def test_the_code_of_a_login_that_found_nobody_registers_once(
    api: ApiFixture, db: Any
) -> None:
    login = await api.wechat("anna", 2)
    for _ in range(2):  # a phone that has lost the response sends it again
        assert (await log_in(api, login)).ok()["status"] == 1
    (kept,) = db.code_sessions.find({})
    assert login["code"] not in str(kept)
    assert "openid" not in str(kept)
    user_id = (await register(api, login)).ok()["user_id"]
    assert (await register(api, login)).refusal == (401, "wechat_code")
    assert (await log_in(api, login)).refusal == (401, "wechat_code")
    assert [row["_id"] for row in db.users.find({})] == [user_id]


async def test_a_kept_session_logs_in_once_a_user_who_registered_with_another_code(
    api: ApiFixture,
) -> None:
    login, other = await api.wechat("anna", 2), await api.wechat("anna", 2)
    assert (await log_in(api, login)).ok()["status"] == 1
    user_id = (await register(api, other)).ok()["user_id"]
    assert (await log_in(api, login)).ok()["user_id"] == user_id
    assert (await log_in(api, login)).refusal == (401, "wechat_code")
    assert (await register(api, login)).refusal == (401, "wechat_code")


async def test_a_kept_session_ends_after_five_minutes(api: ApiFixture, db: Any) -> None:
    login = await api.wechat("anna", 2)
    await log_in(api, login)
    (kept,) = db.code_sessions.find({})
    db.code_sessions.update_one({}, {"$set": {"expires_at": kept["expires_at"] - CODE_LIFETIME}})
    assert (await register(api, login)).refusal == (401, "wechat_code")


async def test_one_code_twenty_times_at_once_is_one_user_and_one_exchange(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    login = await api.wechat("anna", 2)
    calls = [log_in(api, login) if n % 2 else register(api, login) for n in range(20)]
    replies = await asyncio.gather(*calls)
    assert {reply.status for reply in replies} <= {200, 401}
    registered = {reply.json["user_id"] for reply in replies[::2] if reply.status == 200}
    assert [row["_id"] for row in db.users.find({})] == [*registered]
    assert server.simulator
    exchanges = [row for row in server.simulator.log if row["path"] == "/sns/jscode2session"]
    assert len(exchanges) == 1


# ---- tokens


async def test_only_a_known_token_with_the_qlivetoken_scheme_is_accepted(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    path = f"{BASE}get_configs/"
    for header in (
        *("", "QLiveToken", "QLiveToken " + "0" * 40, "QLiveToken ключ"),
        *(f"QLiveToken {anna.token[:-1]}", f"QLiveToken {anna.token}0"),
        *(anna.token, f"Bearer {anna.token}"),
    ):
        reply = await api.request("GET", path, headers={"Authorization": header})
        assert reply.refusal == (401, "token"), header
        assert reply.headers["WWW-Authenticate"] == "QLiveToken"
    headers = {"Authorization": f"QLiveToken {anna.token}"}
    assert (await api.request("GET", path, headers=headers)).status == 200


# ---- logout


async def test_logout_revokes_its_own_token_and_leaves_the_room_and_can_be_repeated(
    api: ApiFixture,
) -> None:
    host = await api.host()
    other, anna = await api.user("anna", 2), await api.guest("anna", 2, host.live_id)
    await take_seat(anna)
    socket = await (await api.guest("viewer", 1, host.live_id)).watch()
    for _ in range(2):
        assert (await anna.get(LOGOUT)).ok() == {"detail": "OK"}
    assert (await anna.get("get_configs/")).refusal == (401, "token")
    assert (await other.get("get_configs/")).status == 200
    event = (await socket.next("micro_leave"))["data"]
    assert (event["user_id"], event["reason"]) == (anna.id, "left")
    assert await user_type(other) == 0
    anna.token = "0" * 40
    assert (await anna.get(LOGOUT)).refusal == (401, "token")
    (await host.get(LOGOUT)).ok()
    assert (await socket.next("live_end"))["data"]["reason"] == "host"


async def test_repeated_logout_completes_one_that_was_interrupted(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    await server.context.stores.tokens.revoke(bert.token)  # as if the process had died here
    assert await server.context.stores.members.get(bert.id) is not None
    (await bert.get(LOGOUT)).ok()
    assert await server.context.stores.members.get(bert.id) is None


@pytest.mark.parametrize("ended_by", ["logout", "ban"])
async def test_late_logout_with_an_earlier_token_does_not_affect_a_newer_login(
    api: ApiFixture, server: ServerProcess, ended_by: str
) -> None:
    host = await api.host()
    old = await api.guest("bert", 1, host.live_id)
    if ended_by == "logout":
        (await old.get(LOGOUT)).ok()
    else:
        for banned in (True, False):
            (await api.ops("PATCH", f"users/{old.id}", banned=banned, ban_reason="x")).ok()
    # A stored eviction that arrives after the entry would close the socket, and it would resume.
    await server.context.services.accounts.evictions.receive()
    bert = await api.guest("bert", 1, host.live_id)
    socket = await bert.watch()
    assert (await old.get(LOGOUT)).ok() == {"detail": "OK"}
    (await bert.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    await socket.next("micro_apply")


@pytest.mark.parametrize(
    ("ended_by", "refusal"), [("logout", (401, "token")), ("ban", (403, "banned"))]
)
async def test_logout_or_ban_during_room_entry_is_enforced(
    api: ApiFixture,
    server: ServerProcess,
    ended_by: str,
    refusal: tuple[int, str],
) -> None:
    host, bert = await api.host(), await api.user("bert", 1)
    context = server.context
    end: dict[str, Callable[[], Awaitable[object]]] = {
        "logout": lambda: bert.get(LOGOUT),
        "ban": lambda: context.stores.users.update(bert.id, banned=True),
    }
    run_before(context.room_changes, "enter", end[ended_by])
    assert (await bert.get("get_playurl/", live_id=host.live_id)).refusal == refusal
    assert await context.stores.members.get(bert.id) is None
