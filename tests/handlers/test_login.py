import asyncio
import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runtime.process import ServerProcess
from tencent.wechat import WechatLogin
from tests.support.api import BASE, ApiClient, ApiFixture, Reply
from tests.support.usersig import decode_usersig

APP = "wxca891295c56f2c79"
OTHER_APP = "wx0123456789abcdef"


async def login(api: ApiFixture, name: str, **options: Any) -> Reply:
    wechat_login = await api.wechat(name, **options)
    body = {"appId": wechat_login["appId"], "code": wechat_login["code"]}
    return await api.request("POST", f"{BASE}qlive_user/login/", json=body)


async def create(api: ApiFixture, wechat_login: dict[str, str]) -> Reply:
    return await api.request("POST", f"{BASE}qlive_user/", json=wechat_login)


@pytest.mark.gen_test(timeout=20)
async def test_login_without_an_account_returns_status_1(api: ApiFixture) -> None:
    assert (await login(api, "anna")).ok() == {
        "status": 1,
        "token": "",
        "user_id": "",
        "user_sign": "",
        "sdk_app_id": "",
        "login_type": 0,
    }


@pytest.mark.gen_test(timeout=20)
async def test_login_returns_a_token_and_user_sign(api: ApiFixture, server: ServerProcess) -> None:
    anna = await api.user("anna", 2)
    reply = (await login(api, "anna")).ok()
    assert (reply["status"], reply["login_type"]) == (0, 0)
    assert re.fullmatch(r"[0-9a-f]{40}", reply["token"])
    assert reply["token"] != anna.token
    assert re.fullmatch(r"[0-9]{8}", reply["user_id"])
    assert reply["user_id"] == anna.id
    assert reply["sdk_app_id"] == str(server.settings.im.sdk_app_id)
    assert decode_usersig(reply["user_sign"])["TLS.expire"] == 24 * 3600
    assert "live_id" not in reply
    client = ApiClient(api, "anna", reply)
    assert (await client.get("qlive_user/get_userinfo/")).ok()["user_id"] == anna.id


@pytest.mark.gen_test(timeout=20)
async def test_login_returns_the_room_the_user_is_still_in(api: ApiFixture) -> None:
    host = await api.host()
    await api.guest("anna", 2, host.live_id)
    anna = (await login(api, "anna")).ok()
    state = (await host.get("qlive_user/get_user_state/")).ok()
    assert anna["login_type"] == 1
    assert anna["user_type"] == 1
    assert anna["live_room_name"] == "红娘"
    assert anna["live_id"] == host.live_id
    assert anna["group_id"] == state["group_id"] != ""
    assert (await login(api, "红娘")).ok()["user_type"] == 5
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    assert (await login(api, "anna")).ok()["login_type"] == 0


@pytest.mark.gen_test(timeout=20)
async def test_wechat_code_works_once(api: ApiFixture) -> None:
    await api.user("anna", 2)
    wechat_login = await api.wechat("anna")
    body = {"appId": wechat_login["appId"], "code": wechat_login["code"]}
    assert (await api.request("POST", f"{BASE}qlive_user/login/", json=body)).ok()["status"] == 0
    used = await api.request("POST", f"{BASE}qlive_user/login/", json=body)
    assert used.refusal == (401, "wechat_code")
    assert used.headers["WWW-Authenticate"] == "QLiveToken"
    assert (await create(api, wechat_login)).refusal == (401, "wechat_code")


@pytest.mark.gen_test(timeout=20)
async def test_unknown_app_is_refused_without_calling_wechat(api: ApiFixture) -> None:
    wechat_login = {**await api.wechat("anna"), "appId": "wx0000000000000000"}
    assert (await create(api, wechat_login)).refusal == (400, "unknown_app")
    body = {"appId": wechat_login["appId"], "code": wechat_login["code"]}
    reply = await api.request("POST", f"{BASE}qlive_user/login/", json=body)
    assert reply.refusal == (400, "unknown_app")
    assert (await api.request("GET", "/sim/log")).ok()["items"] == []


@pytest.mark.gen_test(timeout=20)
async def test_wechat_errors_are_mapped_to_status_and_code(api: ApiFixture) -> None:
    await api.user("anna", 2)
    for errcode, status, code in (
        (45011, 429, "too_many"),
        (40226, 403, "wechat_blocked"),
        (-1, 503, "wechat_away"),
        (40029, 401, "wechat_code"),
        (40013, 503, "wechat_away"),
    ):
        for reply in (
            await login(api, "anna", errcode=errcode),
            await create(api, await api.wechat("anna", errcode=errcode)),
        ):
            assert reply.refusal == (status, code), errcode
            assert ("Retry-After" in reply.headers) == (status in (429, 503)), errcode


@pytest.mark.gen_test(timeout=20)
async def test_wechat_outage_does_not_consume_the_code(api: ApiFixture) -> None:
    wechat_login = await api.wechat("anna", 2)
    await api.outage("wechat", status=500)
    reply = await create(api, wechat_login)
    assert reply.refusal == (503, "wechat_away")
    assert int(reply.headers["Retry-After"]) > 0
    assert (await login(api, "anna")).refusal == (503, "wechat_away")
    await api.outage("wechat")
    (await create(api, wechat_login)).ok()


# ---- account creation


@pytest.mark.gen_test(timeout=20)
async def test_new_user_gets_the_wechat_profile(api: ApiFixture) -> None:
    wechat_login = await api.wechat("bert", 1, face_url="https://example.com/bert.jpg")
    reply = (await create(api, wechat_login)).ok()
    assert reply.keys() == {"token", "user_id", "user_sign", "sdk_app_id"}
    info = (await ApiClient(api, "bert", reply).get("qlive_user/get_userinfo/")).ok()
    assert (info["nickname"], info["gender"]) == ("bert", 1)
    assert info["face_url"] == "https://example.com/bert.jpg"
    assert (info["gold"], info["income"], info["is_matchmaker"]) == (0, 0, False)


@pytest.mark.gen_test(timeout=20)
async def test_new_user_without_a_wechat_profile_starts_with_empty_fields(api: ApiFixture) -> None:
    reply = (await create(api, await api.wechat("bert", 1, modern=True))).ok()
    client = ApiClient(api, "bert", reply)
    info = (await client.get("qlive_user/get_userinfo/")).ok()
    assert (info["nickname"], info["gender"], info["face_url"]) == ("", 0, "")
    (await client.post("qlive_user/update_userinfo/", nickname="贝特", gender=1)).ok()
    info = (await client.get("qlive_user/get_userinfo/")).ok()
    assert (info["nickname"], info["gender"]) == ("贝特", 1)


@pytest.mark.gen_test(timeout=20)
async def test_same_openid_returns_the_same_user(api: ApiFixture) -> None:
    first = await api.user("anna", 2)
    (await first.post("qlive_user/update_userinfo/", nickname="安娜")).ok()
    again = await api.user("anna", 1)
    assert (again.id, again.token) != (first.id, first.token)
    assert again.id == first.id
    info = (await again.get("qlive_user/get_userinfo/")).ok()
    assert (info["nickname"], info["gender"]) == ("安娜", 2)


@pytest.mark.gen_test(timeout=20)
async def test_twenty_concurrent_creations_create_one_user(api: ApiFixture, db: Any) -> None:
    logins = [await api.wechat("anna", 2) for _ in range(20)]
    replies = await asyncio.gather(*(create(api, wechat_login) for wechat_login in logins))
    assert len({reply.ok()["user_id"] for reply in replies}) == 1
    assert db.users.count_documents({"nickname": "anna"}) == 1


@pytest.mark.gen_test(timeout=20)
async def test_same_wechat_user_in_another_app_is_another_user(api: ApiFixture) -> None:
    first = (await create(api, await api.wechat("anna", 2, appId=APP))).ok()
    second = (await create(api, await api.wechat("anna", 2, appId=OTHER_APP))).ok()
    assert first["user_id"] != second["user_id"]


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"wechat": {"apps": {APP: {}, OTHER_APP: {}}}}


def _change_first_character(text: str) -> str:
    return ("B" if text[0] != "B" else "C") + text[1:]


@pytest.mark.gen_test(timeout=20)
async def test_invalid_encrypted_data_creates_no_user(api: ApiFixture, db: Any) -> None:
    users_before = db.users.count_documents({})
    other = await api.wechat("other", 1)
    for invalid in (
        {"encryptedData": "no base64 at all!"},
        {"encryptedData": "AAAA"},
        {"encryptedData": other["encryptedData"]},
        {"encryptedData": other["encryptedData"], "iv": other["iv"]},
        {"iv": "AAAA"},
        {"iv": "???"},
    ):
        wechat_login = {**await api.wechat("anna", 2), **invalid}
        assert (await create(api, wechat_login)).refusal == (400, "encrypted_data"), invalid
    wechat_login = await api.wechat("anna", 2)
    encrypted = wechat_login["encryptedData"]
    wechat_login["encryptedData"] = encrypted[:-24] + _change_first_character(encrypted[-24:])
    assert (await create(api, wechat_login)).refusal == (400, "encrypted_data")
    assert db.users.count_documents({}) == users_before


@pytest.mark.gen_test(timeout=20)
async def test_encrypted_profile_of_another_user_is_rejected(
    api: ApiFixture, server: ServerProcess
) -> None:
    wechat = server.context.tencent.wechat
    exchange = wechat.exchange

    async def exchange_as_another_user(app_id: str, code: str) -> WechatLogin:
        return replace(await exchange(app_id, code), openid="another-openid")

    wechat.exchange = exchange_as_another_user  # type: ignore[method-assign]
    wechat_login = await api.wechat("anna", 2)
    assert (await create(api, wechat_login)).refusal == (400, "encrypted_data")
    (await create(api, await api.wechat("anna", 2, modern=True))).ok()


@pytest.mark.gen_test(timeout=20)
async def test_encrypted_profile_of_another_app_is_rejected(
    api: ApiFixture, server: ServerProcess
) -> None:
    wechat = server.context.tencent.wechat
    exchange = wechat.exchange

    async def exchange_at_the_other_app(_app_id: str, code: str) -> WechatLogin:
        return await exchange(OTHER_APP, code)

    wechat.exchange = exchange_at_the_other_app  # type: ignore[method-assign]
    wechat_login = await api.wechat("anna", 2, appId=OTHER_APP)
    assert (await create(api, wechat_login | {"appId": APP})).refusal == (400, "encrypted_data")


# ---- tokens


@pytest.mark.gen_test(timeout=20)
async def test_sixth_login_revokes_the_oldest_token(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    accounts = [(await login(api, "anna")).ok() for _ in range(5)]
    clients = [anna, *(ApiClient(api, "anna", account) for account in accounts)]
    oldest, *others = [await client.get("get_configs/") for client in clients]
    assert oldest.refusal == (401, "token")
    assert [reply.status for reply in others] == [200] * 5


@pytest.mark.gen_test(timeout=20)
async def test_tokens_are_stored_only_as_hashes(api: ApiFixture, db: Any) -> None:
    anna = await api.user("anna", 2)
    stored = json.dumps(
        {name: list(db[name].find()) for name in db.list_collection_names()}, default=str
    )
    assert hashlib.sha256(anna.token.encode()).hexdigest() in stored
    assert anna.token not in stored


@pytest.mark.gen_test(timeout=20)
async def test_token_expires_thirty_days_after_its_last_use(api: ApiFixture, db: Any) -> None:
    anna = await api.user("anna", 2)
    now = datetime.now(UTC)
    db.tokens.update_many({}, {"$set": {"expires_at": now + timedelta(minutes=5)}})
    (await anna.post("qlive_user/update_userinfo/")).ok()
    expires = db.tokens.find_one({"user_id": anna.id})["expires_at"]
    assert timedelta(days=29, hours=23) < expires - now < timedelta(days=30, hours=1)
    db.tokens.update_many({}, {"$set": {"expires_at": now - timedelta(seconds=1)}})
    assert (await anna.post("qlive_user/update_userinfo/")).refusal == (401, "token")
