"""A server that stops keeps its lease for as long as it answers requests."""

import asyncio
from datetime import datetime
from typing import Any

import pytest
from pymongo.database import Database

from runtime.process import ServerProcess
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
    """Otherwise other servers would presume it dead, and end its transactions."""
    lifecycle = server.context.lifecycle

    def expiry() -> datetime:
        lease = db["processes"].find_one({"_id": server.context.process_id})
        assert lease
        at: datetime = lease["expires_at"]
        return at

    with lifecycle.answering():
        draining = asyncio.ensure_future(server.stop())
        await until(lambda: server._jobs._stopping.is_set() and not server._jobs._tasks)
        first = expiry()
        await until(lambda: expiry() > first)
    await draining
    assert not db["processes"].find_one({"_id": server.context.process_id})
