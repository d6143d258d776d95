"""The image has what a server needs, and the settings of the containers start one in production."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pymongo import MongoClient

from tests.support.api import BASE, ApiFixture
from tests.support.filled_settings import PRODUCTION, fill_in, filled_secrets
from tests.support.nginx import DEPLOY, deploy_file, nginx_program, temporary_paths
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.server_program import ServerProgram, exit_status
from tests.support.waiting import until

pytestmark = [pytest.mark.programs, pytest.mark.linux]

SERVICES = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
DATABASE = "qlive_test_containers"


def unpack(folder: Path) -> None:
    """Copies what the Dockerfile copies."""
    copy_lines = re.findall(r"^COPY (.+) (\S+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    for sources, target in copy_lines:
        for source in (path for pattern in sources.split() for path in ROOT.glob(pattern)):
            if source.is_dir():
                # With the bytecode: the server need not be compiled again. But without the files
                # that Python is writing for another test: it renames them at the end.
                ignored = shutil.ignore_patterns("dist", "*.pyc.*")
                shutil.copytree(source, folder / target, ignore=ignored)
            else:
                shutil.copy(source, folder)


def test_image_contains_every_file_the_server_needs(tmp_path: Path) -> None:
    unpack(tmp_path)
    command = [sys.executable, "server.py", "openapi"]
    env = PRODUCTION  # the image has no devtools/
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["openapi"]
    assert (tmp_path / "web" / "ops").is_dir()


def test_containers_have_the_time_of_a_unit_to_stop_and_only_nginx_keeps_capabilities() -> None:
    stop_time = SERVICES["qlive1"]["stop_grace_period"].removesuffix("s")
    assert f"TimeoutStopSec={stop_time}\n" in (DEPLOY / "qlive@.service").read_text()
    assert SERVICES["qlive1"] == SERVICES["qlive2"]
    kept = {"nginx": ["CHOWN", "NET_BIND_SERVICE", "SETGID", "SETUID"]}
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"]
        assert service.get("cap_add", []) == kept.get(name, [])


def test_nginx_accepts_the_configuration_of_its_container(tmp_path: Path) -> None:
    hosts = {f"{name}:8000": "127.0.0.1:1" for name in ("qlive1", "qlive2")}
    changes = {**hosts, "listen 80;": f"listen 127.0.0.1:{free_port()};"}
    paths = {"http {": "http {" + temporary_paths(tmp_path)}
    (tmp_path / "nginx.conf").write_text(deploy_file("compose.nginx.conf", {**changes, **paths}))
    options = ["-e", f"{tmp_path}/error.log", "-g", f"pid {tmp_path}/nginx.pid;"]
    command = [nginx_program(), "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    result = subprocess.run([*command, *options], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("cover", "warns"), [({}, False), ({"QLIVE_MODERATION__COVER": "off"}, True)]
)
async def test_server_of_a_container_is_ready_in_production_and_warns_of_unchecked_pictures(
    data_folder: Path,
    mongo: MongoClient[Any],
    mongo_uri: str,
    redis_url: str,
    cover: dict[str, str],
    warns: bool,
) -> None:
    service = SERVICES["qlive1"]
    mounted, target, _ = service["volumes"][0].split(":")
    assert (mounted, service["command"]) == ("./settings.yaml", ["--settings", target])
    assert service["env_file"] == ["secrets.env"]
    mongo.drop_database(DATABASE)
    apis = ("WECHAT", "IM", "LIVE_STREAMING", "PAY")
    here = {
        "QLIVE_SERVER__HOST": "127.0.0.1",
        "QLIVE_MONGODB__URI": mongo_uri,
        "QLIVE_MONGODB__DATABASE": DATABASE,
        "QLIVE_REDIS__URL": redis_url,
        # Nothing leaves this machine.
        **{f"QLIVE_{api}__API_BASE": "https://127.0.0.1:1" for api in apis},
    }
    environment = {**filled_secrets(), **service["environment"], **here, **cover}
    settings = {name.removeprefix("QLIVE_").lower(): value for name, value in environment.items()}
    file = data_folder / "settings.yaml"
    fill_in(file)
    server = ServerProgram(data_folder, **settings)
    async with server.serving("--settings", str(file)) as (process, address):
        api = ApiFixture(address)

        async def redis_is_ok() -> bool:
            ready = (await api.request("GET", "/readyz")).ok()
            return ready["dependencies"]["redis"]["state"] == "ok"

        await until(redis_is_ok)
        assert (await api.request("GET", f"{BASE}get_livelist/")).refusal == (401, "token")
        await api.close()
        process.terminate()
        assert await exit_status(process) == 0
    log = (data_folder / "server.log").read_text()
    assert ("pictures_of_any_host" in log) == warns
    mongo.drop_database(DATABASE)
