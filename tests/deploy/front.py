"""deploy/nginx.conf, run as it stands but for addresses, ports and folders; and who comes in."""

import asyncio
import os
import shutil
import signal
import ssl
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.phones import Phone, Reply, Street
from tests.ports import answers, free_port
from tests.realtime.listening import until
from tests.test_server import ROOT

DEPLOY = ROOT / "deploy"
OPS_TOKEN = "deploy"


def deployed(name: str, changes: dict[str, str]) -> str:
    """The file, with every left side, which must stand in it, replaced by its right side."""
    text = (DEPLOY / name).read_text()
    for old, new in changes.items():
        assert old in text, f"deploy/{name} has no {old!r} any more"
        text = text.replace(old, new)
    return text


class Nginx:
    """Debian's nginx with deploy/nginx.conf, on ports of this test, in front of two machines."""

    def __init__(self, folder: Path, first: int, second: int) -> None:
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
        assert program, "nginx is not installed; run `make setup`."
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
        self.port = nginx.port
        self.context = context = ssl.create_default_context(cafile=str(nginx.certificate))
        # A connection each: nobody stays with an nginx process that a reload lets go.
        connector = aiohttp.TCPConnector(ssl=context, force_close=True)
        self._http = aiohttp.ClientSession(connector=connector)

    async def ask(self, method: str, path: str, **kwargs: Any) -> Reply:
        reply = await super().ask(method, path, **kwargs)
        self.statuses[reply.status] += 1
        return reply

    async def say(self, *lines: str) -> bytes:
        """All that is answered to a request of these lines, on a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context)
        writer.write("\r\n".join((*lines, "", "")).encode())
        said = await reader.read()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return said

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


class Mute:
    """A machine that takes a request, says what it was told to, and dies of it."""

    def __init__(self, last_words: bytes = b"") -> None:
        self.heads: list[str] = []
        self._last_words = last_words

    @property
    def asked(self) -> list[str]:
        return [head.partition(" HTTP/")[0] for head in self.heads]

    @asynccontextmanager
    async def standing(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._die, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _die(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head.decode())
        writer.write(self._last_words)
        writer.close()
