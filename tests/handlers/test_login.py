import asyncio
import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server import Server
from tencent.wechat import Login
from tests.phones import BASE, Phone, Reply, Street

APP = "wxca891295c56f2c79"
OTHER_APP = "wx0123456789abcdef"


async def login(street: Street, name: str, **wish: Any) -> Reply:
    got = await street.wechat(name, **wish)
    body = {"appId": got["appId"], "code": got["code"]}
    return await street.ask("POST", f"{BASE}qlive_user/login/", json=body)


async def create(street: Street, got: dict[str, str]) -> Reply:
    return await street.ask("POST", f"{BASE}qlive_user/", json=got)


@pytest.mark.gen_test(timeout=20)
async def test_a_stranger_is_not_yet_a_user(street: Street) -> None:
    assert (await login(street, "anna")).ok() == {
        "status": 1,
        "token": "",
        "user_id": "",
        "user_sign": "",
        "sdk_app_id": "",
        "login_type": 0,
    }


@pytest.mark.gen_test(timeout=20)
async def test_somebody_known_gets_a_token_and_a_user_sign(street: Street, server: Server) -> None:
    anna = await street.person("anna", 2)
    answer = (await login(street, "anna")).ok()
    assert (answer["status"], answer["login_type"]) == (0, 0)
    assert re.fullmatch(r"[0-9a-f]{40}", answer["token"])
    assert answer["token"] != anna.token
    assert re.fullmatch(r"[0-9]{8}", answer["user_id"])
    assert answer["user_id"] == anna.id
    assert answer["sdk_app_id"] == str(server.settings.im.sdk_app_id)
    assert answer["user_sign"]
    assert "live_id" not in answer
    again = Phone(street, "anna", answer)
    assert (await again.get("qlive_user/get_userinfo/")).ok()["user_id"] == anna.id


@pytest.mark.gen_test(timeout=20)
async def test_whoever_is_still_in_a_room_is_sent_back_there(street: Street) -> None:
    host = await street.host()
    await street.guest("anna", 2, host.live_id)
    anna = (await login(street, "anna")).ok()
    state = (await host.get("qlive_user/get_user_state/")).ok()
    assert anna["login_type"] == 1
    assert anna["user_type"] == 1
    assert anna["live_room_name"] == "红娘"
    assert anna["live_id"] == host.live_id
    assert anna["group_id"] == state["group_id"] != ""
    assert (await login(street, "红娘")).ok()["user_type"] == 5
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    assert (await login(street, "anna")).ok()["login_type"] == 0


@pytest.mark.gen_test(timeout=20)
async def test_a_code_works_once(street: Street) -> None:
    await street.person("anna", 2)
    got = await street.wechat("anna")
    body = {"appId": got["appId"], "code": got["code"]}
    assert (await street.ask("POST", f"{BASE}qlive_user/login/", json=body)).ok()["status"] == 0
    used = await street.ask("POST", f"{BASE}qlive_user/login/", json=body)
    assert used.refusal == (401, "wechat_code")
    assert used.headers["WWW-Authenticate"] == "QLiveToken"
    assert (await create(street, got)).refusal == (401, "wechat_code")


@pytest.mark.gen_test(timeout=20)
async def test_an_unknown_app_is_refused_without_asking_wechat(street: Street) -> None:
    got = {**await street.wechat("anna"), "appId": "wx0000000000000000"}
    assert (await create(street, got)).refusal == (400, "unknown_app")
    body = {"appId": got["appId"], "code": got["code"]}
    answer = await street.ask("POST", f"{BASE}qlive_user/login/", json=body)
    assert answer.refusal == (400, "unknown_app")
    assert (await street.ask("GET", "/sim/log")).ok()["items"] == []


@pytest.mark.parametrize(
    ("errcode", "refusal"),
    [
        (45011, (429, "too_many")),
        (40226, (403, "wechat_blocked")),
        (-1, (503, "wechat_away")),
        (40029, (401, "wechat_code")),
        (40013, (503, "wechat_away")),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_what_wechat_says_no_to(
    street: Street, errcode: int, refusal: tuple[int, str]
) -> None:
    await street.person("anna", 2)
    answers = [
        await login(street, "anna", errcode=errcode),
        await create(street, await street.wechat("anna", errcode=errcode)),
    ]
    for answer in answers:
        assert answer.refusal == refusal
        assert ("Retry-After" in answer.headers) == (refusal[0] in (429, 503))


@pytest.mark.gen_test(timeout=20)
async def test_wechat_being_down_uses_up_no_code(street: Street) -> None:
    got = await street.wechat("anna", 2)
    await street.outage("wechat", status=500)
    away = await create(street, got)
    assert away.refusal == (503, "wechat_away")
    assert int(away.headers["Retry-After"]) > 0
    assert (await login(street, "anna")).refusal == (503, "wechat_away")
    await street.outage("wechat")
    (await create(street, got)).ok()


# ---- becoming a user


@pytest.mark.gen_test(timeout=20)
async def test_a_new_user_has_what_wechat_knows_of_them(street: Street) -> None:
    got = await street.wechat("bert", 1, face_url="https://example.com/bert.jpg")
    answer = (await create(street, got)).ok()
    assert answer.keys() == {"token", "user_id", "user_sign", "sdk_app_id"}
    info = (await Phone(street, "bert", answer).get("qlive_user/get_userinfo/")).ok()
    assert (info["nickname"], info["gender"]) == ("bert", 1)
    assert info["face_url"] == "https://example.com/bert.jpg"
    assert (info["gold"], info["income"], info["is_matchmaker"]) == (0, 0, False)


@pytest.mark.gen_test(timeout=20)
async def test_todays_wechat_tells_neither_name_nor_gender_nor_face(street: Street) -> None:
    answer = (await create(street, await street.wechat("bert", 1, modern=True))).ok()
    phone = Phone(street, "bert", answer)
    info = (await phone.get("qlive_user/get_userinfo/")).ok()
    assert (info["nickname"], info["gender"], info["face_url"]) == ("", 0, "")
    (await phone.post("qlive_user/update_userinfo/", nickname="贝特", gender=1)).ok()
    info = (await phone.get("qlive_user/get_userinfo/")).ok()
    assert (info["nickname"], info["gender"]) == ("贝特", 1)


@pytest.mark.gen_test(timeout=20)
async def test_the_same_openid_is_the_same_user(street: Street) -> None:
    first = await street.person("anna", 2)
    (await first.post("qlive_user/update_userinfo/", nickname="安娜")).ok()
    again = await street.person("anna", 1)
    assert (again.id, again.token) != (first.id, first.token)
    assert again.id == first.id
    info = (await again.get("qlive_user/get_userinfo/")).ok()
    assert (info["nickname"], info["gender"]) == ("安娜", 2)


@pytest.mark.gen_test(timeout=20)
async def test_twenty_creations_at_once_make_one_user(street: Street, db: Any) -> None:
    got = [await street.wechat("anna", 2) for _ in range(20)]
    answers = await asyncio.gather(*(create(street, one) for one in got))
    assert len({answer.ok()["user_id"] for answer in answers}) == 1
    assert db.users.count_documents({"nickname": "anna"}) == 1


@pytest.mark.gen_test(timeout=20)
async def test_the_same_openid_in_another_app_is_another_user(street: Street) -> None:
    one = (await create(street, await street.wechat("anna", 2, appId=APP))).ok()
    two = (await create(street, await street.wechat("anna", 2, appId=OTHER_APP))).ok()
    assert one["user_id"] != two["user_id"]


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"wechat": {"apps": {APP: {}, OTHER_APP: {}}}}


def _flipped(text: str) -> str:
    return ("B" if text[0] != "B" else "C") + text[1:]


@pytest.mark.gen_test(timeout=20)
async def test_encrypted_data_that_do_not_fit_make_no_user(street: Street, db: Any) -> None:
    before = db.users.count_documents({})
    other = await street.wechat("other", 1)
    for wrong in (
        {"encryptedData": "no base64 at all!"},
        {"encryptedData": "AAAA"},
        {"encryptedData": other["encryptedData"]},
        {"encryptedData": other["encryptedData"], "iv": other["iv"]},
        {"iv": "AAAA"},
        {"iv": "???"},
    ):
        got = {**await street.wechat("anna", 2), **wrong}
        assert (await create(street, got)).refusal == (400, "encrypted_data"), wrong
    got = await street.wechat("anna", 2)
    got["encryptedData"] = got["encryptedData"][:-24] + _flipped(got["encryptedData"][-24:])
    assert (await create(street, got)).refusal == (400, "encrypted_data")
    assert db.users.count_documents({}) == before


@pytest.mark.gen_test(timeout=20)
async def test_somebody_elses_profile_is_not_taken(street: Street, server: Server) -> None:
    wechat = server.parts.wechat
    real = wechat.exchange

    async def of_another(app_id: str, code: str) -> Login:
        return replace(await real(app_id, code), openid="o-of-somebody-else")

    wechat.exchange = of_another  # type: ignore[method-assign]
    stolen = await street.wechat("anna", 2)
    assert (await create(street, stolen)).refusal == (400, "encrypted_data")
    (await create(street, await street.wechat("anna", 2, modern=True))).ok()


@pytest.mark.gen_test(timeout=20)
async def test_a_profile_sealed_for_another_app_is_not_taken(
    street: Street, server: Server
) -> None:
    wechat = server.parts.wechat
    real = wechat.exchange

    async def at_the_other_app(_app_id: str, code: str) -> Login:
        return await real(OTHER_APP, code)

    wechat.exchange = at_the_other_app  # type: ignore[method-assign]
    got = await street.wechat("anna", 2, appId=OTHER_APP)
    assert (await create(street, got | {"appId": APP})).refusal == (400, "encrypted_data")


# ---- tokens


@pytest.mark.gen_test(timeout=20)
async def test_of_six_logins_the_oldest_is_gone(street: Street) -> None:
    anna = await street.person("anna", 2)
    later = [(await login(street, "anna")).ok() for _ in range(5)]
    phones = [anna, *(Phone(street, "anna", answer) for answer in later)]
    oldest, *others = [await phone.get("get_configs/") for phone in phones]
    assert oldest.refusal == (401, "token")
    assert [answer.status for answer in others] == [200] * 5


@pytest.mark.gen_test(timeout=20)
async def test_tokens_are_stored_as_a_hash_only(street: Street, db: Any) -> None:
    anna = await street.person("anna", 2)
    stored = json.dumps(
        {name: list(db[name].find()) for name in db.list_collection_names()}, default=str
    )
    assert hashlib.sha256(anna.token.encode()).hexdigest() in stored
    assert anna.token not in stored


@pytest.mark.gen_test(timeout=20)
async def test_a_token_lives_thirty_days_from_its_last_use(street: Street, db: Any) -> None:
    anna = await street.person("anna", 2)
    now = datetime.now(UTC)
    db.tokens.update_many({}, {"$set": {"expires_at": now + timedelta(minutes=5)}})
    (await anna.post("qlive_user/update_userinfo/")).ok()
    expires = db.tokens.find_one({"user_id": anna.id})["expires_at"]
    assert timedelta(days=29, hours=23) < expires - now < timedelta(days=30, hours=1)
    db.tokens.update_many({}, {"$set": {"expires_at": now - timedelta(seconds=1)}})
    assert (await anna.post("qlive_user/update_userinfo/")).refusal == (401, "token")
