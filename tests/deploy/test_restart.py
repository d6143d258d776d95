import signal
from pathlib import Path

import pytest

from tests.support.api import ApiFixture
from tests.support.nginx import nginx_in_front
from tests.support.room_traffic import RoomTraffic, two_machines

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
async def test_unannounced_restart_or_kill_costs_retries_and_no_gift(
    data_folder: Path, shared_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`systemctl restart` alone, then `kill -9`: clients repeat requests."""
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
        async with traffic.running():
            for machine in machines:
                await machine.stop()
                await traffic.wait_for_progress(2)
                await machine.start()
                await traffic.wait_for_progress(1)
            # Requests in flight are answered, so no repeated attempt conflicts (409).
            assert set(front_api.statuses) <= {200, 503}, front_api.statuses
            for machine in machines:
                await machine.stop(signal.SIGKILL)
                await traffic.wait_for_progress(2)
                await machine.start()
                await traffic.wait_for_progress(1)
        assert all(listener.resumed for listener in traffic.listeners)
        # 409: the first attempt took the seat and its answer was lost.
        assert set(front_api.statuses) <= {200, 409, 503}, front_api.statuses
