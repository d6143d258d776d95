"""A client of a storm reports frames that it cannot read."""

import json
import random
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from chaos.event_check import EventChecker
from chaos.report import RunMetrics, Violations
from chaos.timeline import Timelines
from chaos.websocket_client import RoomClient
from tests.support.waiting import until

SNAPSHOT = json.dumps({"type": "snapshot", "live_id": 1, "epoch": "a", "seq": 5, "data": {}})


@pytest.mark.parametrize("wrong", ["{}}", '{"type":"gift"}', '{"seq":6}', b""])
async def test_a_client_reports_an_unreadable_frame_and_resumes(
    wrong: str | bytes,
) -> None:
    queries, violations = [], Violations()

    async def answer(connection: ServerConnection) -> None:
        assert connection.request
        queries.append(connection.request.path.partition("?")[2])
        await connection.send(SNAPSHOT)
        await connection.send(wrong)
        await connection.wait_closed()

    async with serve(answer, "127.0.0.1", 0) as server:
        port = int(next(iter(server.sockets)).getsockname()[1])
        fleet: Any = SimpleNamespace(connect_order=lambda _rng: [SimpleNamespace(port=port)])
        checker = EventChecker("client", 1, Timelines(), violations)
        own = EventChecker("client", "10000001", Timelines(), violations)
        client = RoomClient(fleet, checker, own, "token", RunMetrics(), 1.0, random.Random(1))
        client.start()
        await until(lambda: len(queries) > 1)
        client.stop()
        await client.wait_stopped()
    assert queries[:2] == ["live_id=1&own=1", "live_id=1&own=1&epoch=a&since=5"]
    assert violations.counts["unreadable_frame"] >= 1
