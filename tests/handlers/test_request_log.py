import json
import shutil
import signal
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from tests.support.api import BASE, ApiClient, ApiFixture
from tests.support.server_program import ServerProgram, exit_status

DATABASE = "qlive_request_log"


async def exercise_api(api: ApiFixture, database: Any) -> dict[str, str]:
    """Send requests that succeed and fail in many ways; returns the secrets that they contain."""
    host = await api.host()
    first_login = await api.wechat("anna", 2)
    account = (await api.request("POST", f"{BASE}qlive_user/", json=first_login)).ok()
    anna = ApiClient(api, "anna", account)
    second_login = await api.wechat("anna", 2)
    body = {"appId": second_login["appId"], "code": second_login["code"]}
    login = (await api.request("POST", f"{BASE}qlive_user/login/", params=body)).ok()
    used = await api.request("POST", f"{BASE}qlive_user/login/", json=body)
    assert used.status == 401
    forged = {**await api.wechat("anna", 2), "encryptedData": second_login["encryptedData"]}
    assert (await api.request("POST", f"{BASE}qlive_user/", json=forged)).status == 400
    info = (await anna.get("qlive_user/get_userinfo/")).ok()
    room_params = {"live_id": host.live_id}
    (await anna.get("get_playurl/", **room_params)).ok()
    (await anna.post("qlive_room/apply_micro/", **room_params)).ok()
    seat = (await anna.post("qlive_room/accept_micro/", **room_params)).ok()
    socket = await anna.connect(host.live_id)
    await socket.next("snapshot")
    late_auth = await api.socket(host.live_id)
    await late_auth.send(type="auth", token=login["token"])
    await late_auth.next("snapshot")
    grant = {"gold": 10, "reason": "test", "request_id": "one"}
    (await api.ops("POST", f"users/{anna.id}/grant", **grant)).ok()
    (await anna.get("qlive_gift/push_gift/", user_id=host.id, gift_id=1, num=1)).ok()
    order = (await anna.post("qlive_pay/", block_id=1)).ok()
    login_in_outage = await api.wechat("bert", 1)
    for service in ("wechat", "im", "pay"):
        await api.outage(service, status=500)
    unavailable = await api.request("POST", f"{BASE}qlive_user/", json=login_in_outage)
    assert unavailable.status == (await anna.post("qlive_pay/", block_id=2)).status == 503
    database.users.update_one({"_id": anna.id}, {"$unset": {"create_time": 1}})
    same_user = ApiClient(api, "anna", login)
    assert [(await client.get("get_configs/")).status for client in (anna, same_user)] == [500, 500]
    database.tokens.update_many({"user_id": anna.id}, {"$unset": {"expires_at": 1}})
    assert [(await client.get("get_configs/")).status for client in (anna, same_user)] == [500, 500]
    invalid_token = {"Authorization": "QLiveToken " + "5" * 40}
    assert (await api.request("GET", f"{BASE}get_configs/", headers=invalid_token)).status == 401
    (await host.get("qlive_user/logout/")).ok()
    return {
        "token of the host": host.token,
        "token of anna": anna.token,
        "token of a login": login["token"],
        "invalid token": "5" * 40,
        "user_sign": login["user_sign"],
        "user_sig": info["user_sig"],
        "code": first_login["code"],
        "code in the query": second_login["code"],
        "code during an outage": login_in_outage["code"],
        "encryptedData": first_login["encryptedData"][:40],
        "refused encryptedData": forged["encryptedData"][:40],
        "iv": first_login["iv"],
        "signature of push_url": seat["push_url"].split("txSecret=")[1][:32],
        "sign of an order": order["sign"],
        "paySign": json.loads(order["content"])["paySign"],
    }


async def test_secrets_are_never_logged(mongo_uri: str, secrets_file: Path, tmp_path: Path) -> None:
    """Covers the log on stderr; with JSON nothing is printed on stdout."""
    shutil.copy(secrets_file, tmp_path / "dev-secrets.json")
    program = ServerProgram(
        tmp_path,
        mongodb__uri=mongo_uri,
        mongodb__database=DATABASE,
        logging__level="debug",
        logging__json="true",
    )
    async with program.serving() as (process, address):
        generated = json.loads((tmp_path / "dev-secrets.json").read_text())
        api = ApiFixture(address)
        with MongoClient[dict[str, Any]](mongo_uri) as client:
            secrets = await exercise_api(api, client[DATABASE])
            client.drop_database(DATABASE)
        await api.close()
        process.send_signal(signal.SIGTERM)
        await exit_status(process)
    log = (tmp_path / "server.log").read_text()
    assert log.count("request_completed") > 20
    assert "create_time" in log
    assert "service_state_changed" in log
    for name, secret in generated.items():
        secrets[name] = secret.splitlines()[1] if "private_key" in name else secret
    assert [name for name, secret in secrets.items() if secret in log] == []
    assert "PRIVATE KEY" not in log
    assert "session_key" not in log
