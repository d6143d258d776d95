"""A server accepts connections, and after a signal to stop answers the requests it accepted."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from pymongo.database import Database
from tornado.ioloop import IOLoop

from runtime import process as process_module
from runtime.process import ACCEPTS_AT_ONCE, PacedListener, ServerProcess, listen
from server import stop_on_signal
from tests.support.api import ApiFixture
from tests.support.waiting import until

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"server": {"port": 0, "drain_seconds": 60}}


@pytest.fixture
def lease_seconds() -> float:
    return 0.6


async def is_closed(server: ServerProcess) -> bool:
    host, port = server.address.removeprefix("http://").split(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return True
    writer.close()
    return False


async def test_lease_is_renewed_while_requests_are_being_finished(
    server: ServerProcess, db: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise other servers would presume it dead, and mark its members away."""
    monkeypatch.setattr(process_module, "DATABASE_SECONDS", 60.0)
    lifecycle, own = server.context.lifecycle, {"_id": server.context.process_id}

    def expiry() -> datetime:
        lease = db["processes"].find_one(own)
        assert lease
        at: datetime = lease["expires_at"]
        return at

    lifecycle.requests += 1
    draining = asyncio.ensure_future(server.stop())
    await until(partial(is_closed, server))  # after its jobs have ended
    first = expiry()
    await until(lambda: expiry() > first)
    lifecycle.requests -= 1
    await draining
    assert not db["processes"].find_one(own)


async def test_a_server_that_stops_listening_answers_connections_it_has_accepted(
    server: ServerProcess, http_api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "ACCEPTED_SECONDS", 60.0)
    host, port = server.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await http_api.request("GET", "/healthz")  # now the earlier connection has been accepted, too
    stopping = asyncio.create_task(server.stop_listening())
    await asyncio.sleep(0)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: qlive\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    assert not stopping.done()
    stopping.cancel()
    writer.close()


def accept_all(listener: PacedListener) -> int:
    """Accepts as the event loop does: until there is nothing to accept."""
    accepted = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return accepted
        accepted += 1


def test_connections_are_accepted_in_portions() -> None:
    bound = listen("127.0.0.1", 0)[0]
    with PacedListener.over(bound) as listener:
        assert bound.fileno() == -1
        address = listener.getsockname()
        clients = [socket.create_connection(address) for _ in range(ACCEPTS_AT_ONCE + 1)]
        assert [accept_all(listener) for _ in range(3)] == [ACCEPTS_AT_ONCE, 1, 0]
        clients += [socket.create_connection(address) for _ in range(ACCEPTS_AT_ONCE)]
        assert accept_all(listener) == ACCEPTS_AT_ONCE, "a new portion"
        for client in clients:
            client.close()


@pytest.fixture
def default_handlers(io_loop: IOLoop) -> Iterator[None]:
    """The handlers of a new program; those of pytest, perhaps under nohup, are put back."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in STOP_SIGNALS}
    yield
    for number, handler in before.items():
        io_loop.asyncio_loop.remove_signal_handler(number)  # type: ignore[attr-defined]
        signal.signal(number, handler)


@pytest.mark.usefixtures("default_handlers")
@pytest.mark.parametrize("number", STOP_SIGNALS)
async def test_a_stop_signal_is_left_to_the_serving_process(number: signal.Signals) -> None:
    stopping = asyncio.Event()
    stop_on_signal(stopping)
    assert signal.getsignal(number) is not signal.SIG_DFL, "it would end the process"
    signal.raise_signal(number)
    await asyncio.wait_for(stopping.wait(), 10)


@pytest.mark.usefixtures("default_handlers")
async def test_a_process_under_nohup_ignores_the_end_of_its_terminal() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop_on_signal(asyncio.Event())
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
