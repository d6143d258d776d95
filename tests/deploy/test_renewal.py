import asyncio
import json
import re
import runpy
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import Settings
from tests.support import prometheus
from tests.support.api import ApiFixture, Reply
from tests.support.filled_settings import fill_in, filled_secrets
from tests.support.nginx import nginx_in_front
from tests.support.paths import ROOT
from tests.support.ports import free_ports
from tests.support.prometheus import Prometheus
from tests.support.release import install, switch
from tests.support.room_traffic import PATIENCE, RoomTraffic
from tests.support.scrapes import counters
from tests.support.server_program import exit_status
from tests.support.supervised_program import (
    HealthPoller,
    SupervisedProgram,
    fresh_connections,
    has_exited,
)
from tests.support.waiting import until

pytestmark = [pytest.mark.programs, pytest.mark.linux]

NOT_HAPPENED = re.compile(
    r"ALERTS|status=\"503\"|requests_limited|closes|callbacks_refused|operator_reads|rows_deleted"
    r"|withdrawal|transfer_problems|refund"
    r"|xpay_rejections|platform_events"
)
starts_processes = pytest.mark.gen_test(timeout=180)


@starts_processes
async def test_reload_behind_nginx_applies_a_new_token_and_loses_nothing(
    data_folder: Path,
    shared_settings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """`systemctl reload` rereads the settings file; no request fails, no event is lost.

    A Prometheus that scrapes meanwhile sees no counter fall.
    """
    program = SupervisedProgram(data_folder, **shared_settings)

    def set_token(token: str) -> None:
        settings = yaml.safe_load((ROOT / "settings.yaml").read_text())
        program.settings_file.write_text(yaml.safe_dump({**settings, "ops": {"token": token}}))

    async def metrics(api: ApiFixture, token: str) -> Reply:
        headers = {"Authorization": f"Bearer {token}"}
        return await api.request("GET", "/ops/api/metrics", headers=headers)

    set_token("old")
    async with program.serving() as (process, address):
        port = int(address.rpartition(":")[2])
        async with nginx_in_front(data_folder, port, port, monkeypatch) as (_, front_api):
            direct_api = ApiFixture(address)
            traffic = await RoomTraffic.create(direct_api, front_api)
            await direct_api.close()
            async with (
                prometheus.scraping(tmp_path, address) as scraping_server,
                traffic.running(),
            ):
                set_token("new")
                process.send_signal(signal.SIGHUP)
                await until(lambda: program.log_events("workers_renewed"), PATIENCE)
                page = await metrics(front_api, "new")
                assert page.status == 200
                await check_scrapes(scraping_server, page.text)
                await check_dashboard(scraping_server, page.text)
            assert any(listener.resumed for listener in traffic.listeners)
            assert set(front_api.statuses) == {200}, front_api.statuses
            assert (await metrics(front_api, "old")).status == 401
        process.terminate()
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


async def check_scrapes(server: Prometheus, scrape: str) -> None:
    """No scrape has failed, no counter has fallen, no alert has fired."""
    assert await server.value('min_over_time(up{job="qlive"}[1h])') == 1
    known = 0
    for name in counters(scrape):
        for row in await server.query(f"resets({name}[1h])"):
            known += 1
            assert row["value"][1] == "0", row
    assert known > 200
    assert await server.value("max_over_time(qlive_sockets[1h])") >= 3
    assert await server.value('sum(qlive_requests_total{route="PushGift",status="200"})') > 3
    assert await server.query('ALERTS{alertstate="firing"}') == []


async def check_dashboard(server: Prometheus, scrape: str) -> None:
    """Each query of the dashboard has a result, unless it is about what has not happened."""
    module = runpy.run_path(str(ROOT / "deploy" / "grafana.py"))
    assert module["dashboard"]() == json.loads((ROOT / "deploy" / "grafana.json").read_text())
    exported = set(re.findall(r"^# TYPE (\w+)", scrape, re.MULTILINE))
    for query in module["queries"]():
        named = re.findall(r"qlive_\w+?(?=_bucket|\b)", query)
        assert set(named) <= exported, query
        if not await server.query(query):
            assert NOT_HAPPENED.search(query), query


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
