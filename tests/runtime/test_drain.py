"""A server that stops answers what it has accepted, and keeps its lease meanwhile."""

import asyncio
from datetime import datetime
from typing import Any

import pytest
from pymongo.database import Database

from runtime import process as process_module
from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.waiting import until

LEASE_SECONDS = 0.6


@pytest.fixture
def changes() -> dict[str, Any]:
    return {
        "presence": {"lease_seconds": LEASE_SECONDS},
        "server": {"port": 0, "drain_seconds": 60},
    }


@pytest.mark.gen_test(timeout=60)
async def test_lease_is_renewed_while_requests_are_being_finished(
    server: ServerProcess, db: Database[dict[str, Any]]
) -> None:
    """Otherwise other servers would presume it dead, and mark its members away."""
    lifecycle = server.context.lifecycle

    def expiry() -> datetime:
        lease = db["processes"].find_one({"_id": server.context.process_id})
        assert lease
        at: datetime = lease["expires_at"]
        return at

    lifecycle.requests += 1
    draining = asyncio.ensure_future(server.stop())
    await until(lambda: server._jobs._stopping.is_set() and not server._jobs._tasks)
    first = expiry()
    await until(lambda: expiry() > first)
    lifecycle.requests -= 1
    await draining
    assert not db["processes"].find_one({"_id": server.context.process_id})


@pytest.mark.gen_test(timeout=20)
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
