"""A second `make run` on another port, beside the first one and after it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import ApiFixture
from tests.support.server_program import ServerProgram, exit_status
from tests.support.waiting import until

pytestmark = [pytest.mark.programs, pytest.mark.linux]


class SecondProcess(ServerProgram):
    """On the data of the first one, with a log of its own."""

    def log_events(self, event: str) -> list[dict[str, Any]]:
        lines = (self.folder / "server.log").read_text().splitlines()
        return [entry for line in lines if (entry := json.loads(line)).get("event") == event]


@pytest.mark.gen_test(timeout=90)
async def test_second_process_joins_mongodb_and_simulator_of_the_first_and_reports_no_redis(
    data_folder: Path,
) -> None:
    first_program = ServerProgram(data_folder, presence__lease_seconds="2")
    own_folder = data_folder / "second"
    own_folder.mkdir()
    second_program = SecondProcess(
        own_folder,
        presence__lease_seconds="2",
        mongodb__data_dir=str(data_folder / "mongo"),
        logging__json="true",
    )
    async with (
        first_program.serving() as (first, first_address),
        second_program.serving() as (second, second_address),
    ):
        api, second_api = ApiFixture(first_address), ApiFixture(second_address)
        host = await api.host()
        guest = await second_api.guest("bert", 1, host.live_id)  # logs in at the simulator
        socket = await host.connect()
        await socket.next("snapshot")
        (await guest.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
        await socket.next("micro_apply")

        async def degraded() -> bool:
            ready = (await second_api.request("GET", "/readyz")).ok()
            redis = ready["dependencies"].get("redis", {})
            return (ready["status"], redis.get("state")) == ("degraded", "down")

        await until(degraded, 30)
        assert len(second_program.log_events("redis_not_configured")) == 1

        first.terminate()
        assert await exit_status(first) == 0
        await until(lambda: second_program.log_events("mongod_ended"), 30)
        assert (await second_api.request("GET", "/readyz")).status == 503
        second.terminate()
        assert await exit_status(second) == 0
        await api.close()
        await second_api.close()
    assert first_program.processes() == []
