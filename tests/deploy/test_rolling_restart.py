from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.support.api import ApiFixture
from tests.support.nginx import nginx_in_front
from tests.support.room_traffic import RoomTraffic, two_machines

FAST = {"zone=token burst=20": "zone=token burst=5000"}
"""The users of the test send the next request as soon as the last one is answered."""
pytestmark = [pytest.mark.programs, pytest.mark.linux]


async def test_restart_of_one_process_after_the_other_loses_nothing(
    data_folder: Path,
    mongo: MongoClient[Any],
    mongo_uri: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loop of docs/deploy.md, under gifts, changes of seat and sockets."""
    mongo.drop_database("qlive_test_deploy")
    shared_settings = {
        "mongodb__uri": mongo_uri,
        "mongodb__database": "qlive_test_deploy",
        "redis__url": redis_url,
        "im__relay": "false",  # each server has its own IM simulator
    }
    async with (
        two_machines(data_folder, shared_settings) as machines,
        nginx_in_front(data_folder, *(machine.port for machine in machines), monkeypatch, FAST) as (
            _,
            front_api,
        ),
    ):
        direct_api = ApiFixture(machines[0].address)
        traffic = await RoomTraffic.create(direct_api, front_api)
        await direct_api.close()
        async with traffic.running():
            for machine in machines:
                await machine.stop()
                await traffic.wait_for_progress(2)
                await machine.start()
                await traffic.wait_for_progress(1)
        assert all(listener.resumed for listener in traffic.listeners)
        # 503 at most, which clients repeat: the connection was accepted and not yet read.
        assert set(front_api.statuses) <= {200, 503}, front_api.statuses
