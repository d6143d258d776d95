"""nginx with deploy/nginx.conf, changed only in addresses, ports and folders, and its clients."""

import asyncio
import os
import shlex
import shutil
import signal
import ssl
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import ApiFixture, Reply
from tests.support.client import HttpClient
from tests.support.paths import ROOT
from tests.support.ports import free_ports, wait_until_open
from tests.support.waiting import WAIT_SECONDS, run_ready_tasks, until

DEPLOY = ROOT / "deploy"


def deploy_file(name: str, changes: dict[str, str]) -> str:
    """deploy/`name` with replacements; each key of `changes` must occur in it."""
    text = (DEPLOY / name).read_text()
    for old, new in changes.items():
        assert old in text, f"deploy/{name} has no {old!r} any more"
        text = text.replace(old, new)
    return text


def nginx_program() -> str:
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    assert program, "nginx is not installed; run `make setup`."
    return program


def temporary_paths(folder: Path) -> str:
    """Options by which nginx writes below the folder only."""
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "".join(f"\n    {name}_temp_path {folder}/{name};" for name in names)


class Nginx:
    """nginx on free ports, in front of two servers on this machine."""

    def __init__(
        self, folder: Path, first: int, second: int, changes: Mapping[str, str] | None = None
    ) -> None:
        """`changes`: further replacements in the configuration."""
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.upstream_ports = first, second
        self.port, self.plain_port = free_ports(2)
        self.address = f"https://127.0.0.1:{self.port}"
        self.certificate = folder / "fullchain.pem"
        self.changes = {
            # Only our own user may read the folder; without root, nginx ignores this line.
            "user www-data;": "" if os.geteuid() else "user root;",
            "http {": "http {" + temporary_paths(folder),
            "/run/nginx.pid": f"{folder}/nginx.pid",
            "/var/log/nginx/": f"{folder}/",
            "/etc/qlive/tls/": f"{folder}/",
            "listen 80 ": f"listen 127.0.0.1:{self.plain_port} ",
            "listen 443 ": f"listen 127.0.0.1:{self.port} ",
            # Both machines with all their processes.
            **{f"10.0.0.11:{port}": f"127.0.0.1:{first}" for port in range(8001, 8005)},
            **{f"10.0.0.12:{port}": f"127.0.0.1:{second}" for port in range(8001, 8005)},
            **(changes or {}),
        }

    def start(self) -> None:
        """Returns when it accepts connections."""
        openssl = shlex.split(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=test"
            " -addext subjectAltName=IP:127.0.0.1"
            # Python 3.13 requires it of an authority; a self-signed certificate is its own.
            " -addext keyUsage=critical,digitalSignature,keyCertSign"
        )
        openssl += ["-keyout", str(self.folder / "privkey.pem"), "-out", str(self.certificate)]
        subprocess.run(openssl, check=True, capture_output=True)
        (self.folder / "nginx.conf").write_text(deploy_file("nginx.conf", self.changes))
        command = [*self._command, "-g", "daemon off;"]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_until_open(self.port)

    async def reload(self) -> None:
        """Returns when only new worker processes accept connections."""
        self.check()
        assert self._process
        replaced = self._workers()
        self._process.send_signal(signal.SIGHUP)
        await until(lambda: not replaced & self._workers())

    def _workers(self) -> set[int]:
        """The ids of the worker processes that accept connections."""
        assert self._process
        master = self._process.pid
        found = set()
        for child in Path(f"/proc/{master}/task/{master}/children").read_text().split():
            with suppress(OSError):  # it has just ended
                if b"shutting down" not in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.add(int(child))
        return found

    def check(self) -> None:
        result = subprocess.run([*self._command, "-t"], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        assert "[warn]" not in result.stderr, result.stderr

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(WAIT_SECONDS)

    @property
    def _command(self) -> list[str]:
        return [nginx_program(), "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]


class NginxApi(ApiFixture):
    """The API through nginx; counts response statuses."""

    def __init__(self, nginx: Nginx) -> None:
        super().__init__(nginx.address)
        self.statuses: Counter[int] = Counter()
        self.port = nginx.port
        self.local_address = "127.0.0.1"
        """From which `connect` comes; any of 127.0.0.0/8 on Linux."""
        self._writers: list[asyncio.StreamWriter] = []
        self.context = context = ssl.create_default_context(cafile=str(nginx.certificate))
        # None stays with a worker process that a reload replaces.
        self.http = HttpClient(keeps_connections=False, ssl=context)

    async def request(self, method: str, path: str, **kwargs: Any) -> Reply:
        reply = await super().request(method, path, **kwargs)
        self.statuses[reply.status] += 1
        return reply

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A new TLS connection to nginx, which `close` ends at the latest."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.context, local_addr=(self.local_address, 0)
        )
        self._writers.append(writer)
        return reader, writer

    async def close(self) -> None:
        await super().close()
        for writer in self._writers:
            writer.transport.abort()
        await run_ready_tasks()

    async def send_raw(self, *lines: str) -> bytes:
        """The complete response to a request of these lines, on a new connection."""
        reader, writer = await self.connect()
        try:
            writer.write("\r\n".join((*lines, "", "")).encode())
            return await reader.read()
        finally:
            writer.transport.abort()  # nginx may not answer a cancelled request for long


@asynccontextmanager
async def nginx_in_front(
    folder: Path,
    first: int,
    second: int,
    patch: pytest.MonkeyPatch,
    changes: Mapping[str, str] | None = None,
) -> AsyncIterator[tuple[Nginx, NginxApi]]:
    nginx_folder = folder / "nginx"
    nginx_folder.mkdir()
    nginx = Nginx(nginx_folder, first, second, changes)
    try:
        nginx.start()
        patch.setenv("SSL_CERT_FILE", str(nginx.certificate))  # for the sockets
        front = NginxApi(nginx)
        yield nginx, front
        await front.close()
    finally:
        nginx.stop()
        await run_ready_tasks()  # the client's last connection ends


class ClosingUpstream:
    """A server that reads a request, sends `response` and closes the connection.

    Or waits, if `holds`, until the other side does.
    """

    def __init__(self, response: bytes = b"", *, holds: bool = False) -> None:
        self.heads: list[str] = []
        self._response = response
        self._holds = holds
        self._connections = 0

    @property
    def request_lines(self) -> list[str]:
        return [head.partition(" HTTP/")[0] for head in self.heads]

    @asynccontextmanager
    async def running(self, port: int) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._on_connect, "127.0.0.1", port, reuse_port=True)
        async with server:
            yield
        await until(lambda: not self._connections)

    async def _on_connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head.decode())
            writer.write(self._response)
            if self._holds:
                await reader.read()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        self._connections -= 1
