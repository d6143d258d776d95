import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.phones import BASE, Phone, Street

HERE = Path(__file__).parents[2]
DATABASE = "qlive_evening"


class Evening:
    """A server in a process of its own, whose log is read when it has ended."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.log = folder / "log"
        self.secrets = folder / "dev-secrets.json"
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "server.py"],
                cwd=HERE,
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,  # the welcome shows the operators' token on purpose
                stderr=log,
                text=True,
            )
        assert self._process.stdout
        lines = iter(self._process.stdout.readline, "")
        self.address = next(line.split()[-1] for line in lines if "QLive serves on" in line)

    def end(self) -> str:
        """Everything that was logged."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.communicate(timeout=20)
        return self.log.read_text()


@pytest.fixture(params=["true", "false"], ids=["as JSON", "for people"])
def evening(
    request: pytest.FixtureRequest, mongo_uri: str, secrets_file: Path, tmp_path: Path
) -> Iterator[Evening]:
    if secrets_file.exists():
        (tmp_path / "dev-secrets.json").write_text(secrets_file.read_text())
    evening = Evening(
        tmp_path,
        {
            "QLIVE_SERVER__PORT": "0",
            "QLIVE_SERVER__DRAIN_SECONDS": "1",
            "QLIVE_MONGODB__URI": mongo_uri,
            "QLIVE_MONGODB__DATA_DIR": str(tmp_path / "mongo"),
            "QLIVE_MONGODB__DATABASE": DATABASE,
            "QLIVE_LOGGING__LEVEL": "debug",
            "QLIVE_LOGGING__JSON": request.param,
        },
    )
    yield evening
    evening.end()


async def play(street: Street, database: Any) -> dict[str, str]:
    """Everything that may happen in an evening; answers what no log may hold."""
    host = await street.host()
    got = await street.wechat("anna", 2)
    anna = Phone(street, "anna", (await street.ask("POST", f"{BASE}qlive_user/", json=got)).ok())
    code = await street.wechat("anna", 2)
    body = {"appId": code["appId"], "code": code["code"]}
    login = (await street.ask("POST", f"{BASE}qlive_user/login/", params=body)).ok()
    used = await street.ask("POST", f"{BASE}qlive_user/login/", json=body)
    assert used.status == 401
    forged = {**await street.wechat("anna", 2), "encryptedData": code["encryptedData"]}
    assert (await street.ask("POST", f"{BASE}qlive_user/", json=forged)).status == 400
    info = (await anna.get("qlive_user/get_userinfo/")).ok()
    here = {"live_id": host.live_id}
    (await anna.get("get_playurl/", **here)).ok()
    (await anna.post("qlive_room/apply_micro/", **here)).ok()
    seat = (await anna.post("qlive_room/accept_micro/", **here)).ok()
    socket = await anna.connect(host.live_id)
    await socket.next("snapshot")
    late = await street.socket(host.live_id)
    await late.send(type="auth", token=login["token"])
    await late.next("snapshot")
    grant = {"gold": 10, "reason": "evening", "request_id": "evening"}
    (await street.ops("POST", f"users/{anna.id}/grant", **grant)).ok()
    (await anna.get("qlive_gift/push_gift/", user_id=host.id, gift_id=1, num=1)).ok()
    order = (await anna.post("qlive_pay/", block_id=1)).ok()
    lost = await street.wechat("bert", 1)
    for service in ("wechat", "im", "pay"):
        await street.outage(service, status=500)
    away = await street.ask("POST", f"{BASE}qlive_user/", json=lost)
    assert away.status == (await anna.post("qlive_pay/", block_id=1)).status == 503
    database.users.update_one({"_id": anna.id}, {"$unset": {"create_time": 1}})
    again = Phone(street, "anna", login)
    assert [(await phone.get("get_configs/")).status for phone in (anna, again)] == [500, 500]
    database.tokens.update_many({"user_id": anna.id}, {"$unset": {"expires_at": 1}})
    assert [(await phone.get("get_configs/")).status for phone in (anna, again)] == [500, 500]
    bad = {"Authorization": "QLiveToken " + "5" * 40}
    assert (await street.ask("GET", f"{BASE}get_configs/", headers=bad)).status == 401
    (await host.get("qlive_user/logout/")).ok()
    return {
        "token of the host": host.token,
        "token of anna": anna.token,
        "token of a login": login["token"],
        "token that is wrong": "5" * 40,
        "user_sign": login["user_sign"],
        "user_sig": info["user_sig"],
        "code": got["code"],
        "code in the query": code["code"],
        "code during an outage": lost["code"],
        "encryptedData": got["encryptedData"][:40],
        "encryptedData that were refused": forged["encryptedData"][:40],
        "iv": got["iv"],
        "push_url's signature": seat["push_url"].split("txSecret=")[1][:32],
        "sign of an order": order["sign"],
        "paySign": json.loads(order["content"])["paySign"],
    }


@pytest.mark.gen_test(timeout=60)
async def test_nothing_secret_is_ever_logged(evening: Evening, mongo_uri: str) -> None:
    made = json.loads(evening.secrets.read_text())
    street = Street(evening.address, made["ops.token"])
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        secrets = await play(street, client[DATABASE])
        client.drop_database(DATABASE)
    await street.close()
    log = evening.end()
    assert log.count("answered") > 20
    assert "create_time" in log
    assert "service_state" in log
    secrets |= {name: value for name, value in made.items() if "private_key" not in name}
    secrets |= {name: pem.splitlines()[1] for name, pem in made.items() if "private_key" in name}
    found = [name for name, secret in secrets.items() if secret in log]
    assert found == []
    assert "PRIVATE KEY" not in log
    assert "session_key" not in log
