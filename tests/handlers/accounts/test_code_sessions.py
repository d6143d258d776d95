"""Login and registration with the same code of wx.login."""

import asyncio
from typing import Any

import pytest

from runtime.process import ServerProcess
from storage.accounts.tokens import CODE_LIFETIME
from tests.support.api import BASE, ApiFixture, Reply


@pytest.fixture
def api(http_api: ApiFixture) -> ApiFixture:
    return http_api


async def log_in(api: ApiFixture, login: dict[str, str]) -> Reply:
    body = {"appId": login["appId"], "code": login["code"]}
    return await api.request("POST", f"{BASE}qlive_user/login/", json=body)


async def register(api: ApiFixture, login: dict[str, str]) -> Reply:
    return await api.request("POST", f"{BASE}qlive_user/", json=login)


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


async def test_of_two_registrations_at_once_one_uses_the_session(api: ApiFixture) -> None:
    login = await api.wechat("anna", 2)
    assert (await log_in(api, login)).ok()["status"] == 1
    replies = await asyncio.gather(*(register(api, login) for _ in range(5)))
    assert sorted(reply.status for reply in replies) == [200, 401, 401, 401, 401]


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


async def test_a_registration_needs_no_data_of_wechat(api: ApiFixture) -> None:
    login = await api.wechat("anna", 2)
    account = (await register(api, {"appId": login["appId"], "code": login["code"]})).ok()
    headers = {"Authorization": f"QLiveToken {account['token']}"}
    path = f"{BASE}qlive_user/get_userinfo/"
    info = (await api.request("GET", path, headers=headers)).ok()
    assert (info["nickname"], info["gender"], info["face_url"]) == ("", 0, "")


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
