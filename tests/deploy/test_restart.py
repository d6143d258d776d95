import re
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.support.api import ApiFixture
from tests.support.nginx import nginx_in_front
from tests.support.room_traffic import Machine, RoomTraffic, two_machines
from tests.support.waiting import until

pytestmark = [pytest.mark.programs, pytest.mark.linux]


@pytest.mark.gen_test(timeout=180)
async def test_rolling_restart_loses_no_request_or_event(
    data_folder: Path, shared_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Follows docs/operations.md: out of nginx, SIGTERM, start, into nginx again."""
    async with (
        two_machines(data_folder, shared_settings) as machines,
        nginx_in_front(data_folder, machines[0].port, machines[1].port, monkeypatch) as (
            nginx,
            front_api,
        ),
    ):
        direct_api = ApiFixture(machines[0].address)
        traffic = await RoomTraffic.create(direct_api, front_api)
        await direct_api.close()
        async with traffic.running():
            for name, machine in zip(("first", "second"), machines, strict=True):
                await nginx.reload(**{name: "down"})
                await machine.stop()
                await traffic.wait_for_progress(2)
                await machine.start()
                await nginx.reload()
        assert all(listener.resumed for listener in traffic.listeners)
        assert set(front_api.statuses) == {200}, front_api.statuses


@pytest.mark.gen_test(timeout=180)
async def test_kill_or_unannounced_restart_costs_retries_and_no_gift_and_a_room_moves_together(
    data_folder: Path, shared_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`kill -9`, then `systemctl restart` alone: clients repeat requests."""
    async with (
        two_machines(data_folder, shared_settings) as machines,
        nginx_in_front(data_folder, machines[0].port, machines[1].port, monkeypatch) as (
            _,
            front_api,
        ),
    ):
        direct_api = ApiFixture(machines[1].address)
        traffic = await RoomTraffic.create(direct_api, front_api)
        await direct_api.close()
        everybody = len(traffic.listeners)
        async with traffic.running():
            sockets = [await open_sockets(machine) for machine in machines]
            assert sorted(sockets) == [0, everybody]
            other, home = sorted(machines, key=lambda it: sockets[machines.index(it)])
            await home.stop(signal.SIGKILL)
            await traffic.wait_for_progress(2)
            await until(lambda: all(listener.resumed for listener in traffic.listeners))
            assert await open_sockets(other) == everybody
            assert all(listener.resumed == 1 for listener in traffic.listeners)
            await home.start()
            await traffic.wait_for_progress(1)
            await other.stop(signal.SIGKILL)
            await traffic.wait_for_progress(2)
            await other.start()
            await traffic.wait_for_progress(1)
            # 409: the first attempt took the seat and its answer was lost.
            assert set(front_api.statuses) <= {200, 409, 503}, front_api.statuses
            front_api.statuses.clear()
            for machine in machines:
                await machine.stop()
                await traffic.wait_for_progress(2)
                await machine.start()
                await traffic.wait_for_progress(1)
        # Requests in flight are answered, so no repeated attempt conflicts (409).
        assert set(front_api.statuses) <= {200, 503}, front_api.statuses


async def open_sockets(machine: Machine) -> int:
    async with aiohttp.request("GET", f"{machine.address}/metrics") as answer:
        found = re.search(r"^qlive_sockets (\S+)$", await answer.text(), re.MULTILINE)
    assert found
    return int(float(found[1]))
