import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import yaml
from pymongo import MongoClient

from devtools.embedded_mongod import find_binary
from tests.support.api import BASE, ApiFixture
from tests.support.filled_settings import PRODUCTION, fill_in, filled_secrets
from tests.support.nginx import DEPLOY
from tests.support.paths import ROOT
from tests.support.ports import free_ports, is_open
from tests.support.server_program import ServerProgram, exit_status
from tests.support.waiting import until

pytestmark = [pytest.mark.programs, pytest.mark.linux]

COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
START_SECONDS = 60


def unpack(folder: Path) -> Path:
    """Copies what the Dockerfile copies."""
    copy_lines = re.findall(r"^COPY (.+) (\S+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    folder.mkdir(exist_ok=True)
    for sources, target in copy_lines:
        for source in (path for pattern in sources.split() for path in ROOT.glob(pattern)):
            if source.is_dir():
                # With the bytecode: the server need not be compiled again.
                ignored = shutil.ignore_patterns("dist")
                shutil.copytree(source, folder / target, ignore=ignored)
            else:
                shutil.copy(source, folder)
    return folder


def test_image_contains_every_file_the_server_needs(tmp_path: Path) -> None:
    unpack(tmp_path)
    command = [sys.executable, "server.py", "openapi"]
    env = PRODUCTION  # the image has no devtools/
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["openapi"]
    assert (tmp_path / "web" / "ops").is_dir()


def test_image_has_source_files_only_and_starts_in_production() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv*", ".bench", "var", "deploy/secrets.env"} <= set(ignored)
    assert not {"handlers", "clients", "web", "settings.yaml"} & set(ignored)
    assert "\nENV QLIVE_ENVIRONMENT=production\n" in (DEPLOY / "Dockerfile").read_text()


def test_container_stop_grace_period_equals_the_systemd_timeout() -> None:
    assert "TimeoutStopSec=60\n" in (DEPLOY / "qlive@.service").read_text()
    assert {SERVICES[name]["stop_grace_period"] for name in ("qlive1", "qlive2")} == {"60s"}


def test_composed_containers_keep_no_capabilities_but_those_of_the_start_of_nginx() -> None:
    assert all(service["cap_drop"] == ["ALL"] for service in SERVICES.values())
    added = {name: set(service.get("cap_add", ())) for name, service in SERVICES.items()}
    needed = {"CHOWN", "NET_BIND_SERVICE", "SETGID", "SETUID"}
    assert added == {name: needed if name == "nginx" else set() for name in SERVICES}


def test_compose_file_says_what_it_is_for_and_on_which_mongodb_the_tests_run() -> None:
    locked = re.search(r"embedded MongoDB: (\d+\.\d+)", (ROOT / "requirements.txt").read_text())
    assert locked
    text = (DEPLOY / "compose.yaml").read_text()
    assert text.startswith("# For evaluation only")
    assert f"on MongoDB {locked[1]}" in text
    assert "QLive was not run on 8.0" in text


# ---- the services of compose.yaml, as processes of this machine


@contextmanager
def program(*command: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


class ComposedServices:
    """Each service of compose.yaml on a port of 127.0.0.1, instead of its host name."""

    def __init__(self, folder: Path, redis_port: int) -> None:
        self._folder = folder
        self.ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
        self.ports["redis"] = redis_port
        hosts = {"qlive1": 8000, "qlive2": 8000, "mongodb": 27017, "redis": 6379}
        self._addresses = {
            f"{name}:{port}": f"127.0.0.1:{self.ports[name]}" for name, port in hosts.items()
        }

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def here(self, text: str) -> str:
        """The text with the addresses of this machine."""
        for address, own in self._addresses.items():
            text = text.replace(address, own)
        return text

    @contextmanager
    def mongodb(self) -> Iterator[None]:
        """The documented command; the set is initiated as by the health check."""
        name, *arguments = SERVICES["mongodb"]["command"]
        assert name == "mongod"
        data = self._folder / "data"
        data.mkdir()
        own = [word.replace("--bind_ip_all", "--bind_ip=127.0.0.1") for word in arguments]
        own += [f"--port={self.ports['mongodb']}", f"--dbpath={data}", "--nounixsocket"]
        with program(str(find_binary()), *own):
            script = self.here(SERVICES["mongodb"]["healthcheck"]["test"][-1])
            found = re.search(r"rs\.initiate\((.*?)\) }", script)
            assert found
            configuration = json.loads(re.sub(r"(\w+): ", r'"\1": ', found[1]))
            uri = f"mongodb://127.0.0.1:{self.ports['mongodb']}/?directConnection=true"
            with MongoClient[Any](uri) as client:
                client.admin.command("replSetInitiate", configuration)
            yield

    @contextmanager
    def nginx(self) -> Iterator[None]:
        source, target, _ = SERVICES["nginx"]["volumes"][0].split(":")
        assert target == "/etc/nginx/nginx.conf"
        folder, port = self._folder / "nginx", self.ports["nginx"]
        folder.mkdir()
        names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"{name}_temp_path {folder}/{name};" for name in names)
        text = self.here((DEPLOY / source).read_text()).replace(
            "listen 80;", f"listen 127.0.0.1:{port};"
        )
        logs = f"access_log {folder}/access.log;"
        (folder / "nginx.conf").write_text(text.replace("http {", f"http {{{temporary}{logs}"))
        found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
        assert found, "nginx is not installed; run `make setup`."
        options = f"daemon off; pid {folder}/nginx.pid;"
        paths = ("-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", f"{folder}/error.log")
        with program(found, *paths, "-g", options):
            yield

    def environment(self, name: str) -> dict[str, str]:
        """The environment of the process: the secrets, and what compose.yaml sets."""
        service = SERVICES[name]
        assert service["env_file"] == ["secrets.env"]
        given = {key: self.here(value) for key, value in service["environment"].items()}
        here = {
            "QLIVE_SERVER__HOST": "127.0.0.1",
            "QLIVE_SERVER__PORT": str(self.ports[name]),
            "QLIVE_SERVER__TRUSTED_PROXIES": '["127.0.0.1"]',
        }
        assert "QLIVE_SERVER__PORT" not in given
        # Nothing leaves this machine.
        hosts = ("WECHAT", "IM", "LIVE_STREAMING", "PAY")
        closed = {f"QLIVE_{host}__API_BASE": "https://127.0.0.1:1" for host in hosts}
        unchecked = {"QLIVE_MODERATION__COVER": "off"} if name == "qlive2" else {}
        return {**filled_secrets(), **given, **here, **closed, **unchecked}

    @asynccontextmanager
    async def process(self, name: str) -> AsyncIterator[None]:
        folder = self._folder / name
        folder.mkdir()
        mounted, target, _ = SERVICES[name]["volumes"][0].split(":")
        assert (mounted, SERVICES[name]["command"]) == ("./settings.yaml", ["--settings", target])
        fill_in(folder / "settings.yaml")
        settings = {
            key.removeprefix("QLIVE_").lower(): value
            for key, value in self.environment(name).items()
        }
        server = ServerProgram(folder, **settings)
        with (folder / "server.log").open("ab") as log:
            started = await server.start("--settings", str(folder / "settings.yaml"), log=log)
        try:
            await until(lambda: self.is_ready(name), START_SECONDS)
            yield
            started.terminate()
            assert await exit_status(started) == 0
        finally:
            if started.returncode is None:
                started.kill()
            await started.communicate()

    async def is_ready(self, name: str) -> bool:
        try:
            async with aiohttp.request("GET", f"{self.address(name)}/readyz") as answer:
                page = await answer.json()
        except aiohttp.ClientError:
            return False
        return answer.status == 200 and page["dependencies"]["redis"]["state"] == "ok"


async def test_composed_processes_are_ready_and_reached_through_nginx(
    data_folder: Path, redis_url: str
) -> None:
    services = ComposedServices(data_folder, int(urlsplit(redis_url).port or 0))
    published = {name: SERVICES[name]["ports"] for name in SERVICES if "ports" in SERVICES[name]}
    assert published == {"nginx": ["127.0.0.1:8000:80"]}
    with services.mongodb(), services.nginx():
        async with services.process("qlive1"), services.process("qlive2"):
            await until(lambda: is_open(services.ports["nginx"]), START_SECONDS)
            api = ApiFixture(services.address("nginx"))
            # WeChat and Tencent cannot be reached, if a job has tried already.
            dependencies = (await api.request("GET", "/readyz")).ok()["dependencies"]
            assert {dependencies[name]["state"] for name in ("mongodb", "redis", "rates")} == {"ok"}
            assert (await api.request("GET", f"{BASE}get_livelist/")).refusal == (401, "token")
            await api.close()
    for name in ("qlive1", "qlive2"):  # no setting says whose covers may be shown by the second
        log = (data_folder / name / "server.log").read_text()
        assert ("pictures_of_any_host" in log) == (name == "qlive2")
