"""Real Redis servers, shared or for one test."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.support.ports import free_port
from tests.support.waiting import WAIT_SECONDS


class RedisServer:
    """redis-server on a free port, without persistence; can be killed, paused and restarted."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers PING."""
        command = [find_redis(), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + WAIT_SECONDS
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended at once"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Connections stay open, but nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """URL of one Redis for all tests of a worker that do not stop it."""
    redis = RedisServer()
    redis.start()
    yield redis.url
    redis.kill()


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A Redis for one test."""
    redis = RedisServer()
    redis.start()
    yield redis
    redis.kill()


def find_redis() -> str:
    """Path of redis-server."""
    program = shutil.which("redis-server")
    assert program, "redis-server is not installed; run `make setup`."
    return program
