import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import Settings
from tests.support.api import ApiFixture
from tests.support.filled_settings import fill_in, filled_secrets
from tests.support.nginx import nginx_in_front
from tests.support.paths import ROOT
from tests.support.ports import free_ports
from tests.support.release import install, switch
from tests.support.room_traffic import PATIENCE, RoomTraffic
from tests.support.server_program import ServerProgram, exit_status
from tests.support.supervised_program import (
    HealthPoller,
    SupervisedProgram,
    fresh_connections,
    has_exited,
)
from tests.support.waiting import until

pytestmark = [pytest.mark.programs, pytest.mark.linux]

starts_processes = pytest.mark.gen_test(timeout=180)


@starts_processes
async def test_reload_behind_nginx_applies_a_new_token_and_loses_nothing(
    data_folder: Path, shared_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`systemctl reload` rereads the settings file; no request fails, no event is lost."""
    program = SupervisedProgram(data_folder, **shared_settings)

    def set_token(token: str) -> None:
        settings = yaml.safe_load((ROOT / "settings.yaml").read_text())
        program.settings_file.write_text(yaml.safe_dump({**settings, "ops": {"token": token}}))

    async def overview(api: ApiFixture, token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return (await api.request("GET", "/ops/api/overview", headers=headers)).status

    set_token("old")
    async with program.serving() as (process, address):
        port = int(address.rpartition(":")[2])
        async with nginx_in_front(data_folder, port, port, monkeypatch) as (_, front_api):
            direct_api = ApiFixture(address)
            traffic = await RoomTraffic.create(direct_api, front_api)
            await direct_api.close()
            async with traffic.running():
                set_token("new")
                process.send_signal(signal.SIGHUP)
                await until(lambda: program.log_events("workers_renewed"), PATIENCE)
                assert await overview(front_api, "new") == 200
            assert any(listener.resumed for listener in traffic.listeners)
            assert set(front_api.statuses) == {200}, front_api.statuses
            assert await overview(front_api, "old") == 401
        process.terminate()
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


async def worker_statuses(address: str) -> Counter[str]:
    """Counts the /healthz statuses over enough requests to reach every worker."""
    statuses: Counter[str] = Counter()
    async with fresh_connections() as http:
        for _ in range(40):
            async with http.get(f"{address}/healthz") as answer:
                statuses[(await answer.json())["status"]] += 1
    return statuses


@starts_processes
async def test_reload_after_switching_the_link_serves_the_new_release(
    data_folder: Path, shared_settings: dict[str, str]
) -> None:
    """The new workers also import the new release's packages."""
    link = data_folder / "qlive"
    releases = [install(data_folder / f"qlive-{n}", f"release {n}") for n in (1, 2)]
    switch(link, releases[0])
    program = SupervisedProgram(data_folder, **shared_settings)
    program.command = (str(link / ".venv/bin/python"), str(link / "server.py"))
    async with program.serving() as (process, address):
        assert set(await worker_statuses(address)) == {"release 1"}
        switch(link, releases[1])
        process.send_signal(signal.SIGHUP)
        await until(lambda: program.log_events("workers_renewed"), PATIENCE)
        assert set(await worker_statuses(address)) == {"release 2"}
        command = " ".join(program.command)
        assert sum(line.startswith(command) for line in program.processes()) == 3
        process.terminate()
        assert await exit_status(process) == 0


@starts_processes
async def test_single_production_worker_is_renewed_without_closing_the_port(
    data_folder: Path, shared_settings: dict[str, str], settings: tuple[Settings, Any]
) -> None:
    """Runs with deploy/settings.yaml and deploy/secrets.env."""
    secrets = {name.removeprefix("QLIVE_").lower(): v for name, v in filled_secrets().items()}
    port = free_ports(2)
    overrides = {
        "server__host": "127.0.0.1",
        "server__port": str(port),
        "server__workers": "1",
        "pay__private_key": settings[0].pay.private_key,
        "pay__public_key": settings[0].pay.public_key,
        **shared_settings,
    }
    program = SupervisedProgram(data_folder, **{**secrets, **overrides})
    fill_in(program.settings_file)
    process = await program.serve()
    try:
        await until(lambda: program.log_events("worker_ready"), PATIENCE)
        (old_pid,) = program.serving_pids()
        poller = HealthPoller(f"http://127.0.0.1:{port}")
        async with poller.polling():
            process.send_signal(signal.SIGHUP)
            await until(lambda: program.log_events("workers_renewed"), PATIENCE)
        assert set(poller.outcomes) == {"200"}, poller.outcomes
        assert has_exited(old_pid)
        process.terminate()
        assert await exit_status(process) == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        await until(lambda: not program.processes(), PATIENCE)


@pytest.fixture
def hangup_by_default() -> Iterator[None]:
    """Restores the default SIGHUP handler, which nohup disables for child processes too."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@starts_processes
@pytest.mark.usefixtures("hangup_by_default")
async def test_sighup_drains_a_single_process(data_folder: Path) -> None:
    program = ServerProgram(data_folder)  # with its own embedded MongoDB
    async with program.serving() as (process, _):
        process.send_signal(signal.SIGHUP)
        assert await exit_status(process) == 0
        assert program.processes() == []
    log = (data_folder / "server.log").read_text()
    assert "server_draining" in log
    assert "server_stopped" in log
