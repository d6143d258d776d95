import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from settings import Settings
from tests.deploy.evening import PATIENCE, Evening
from tests.deploy.filled import fill_in, filled_secrets
from tests.deploy.front import OPS_TOKEN, a_front
from tests.deploy.release import install, switch
from tests.phones import Street
from tests.ports import free_port
from tests.realtime.listening import until
from tests.test_server import ROOT, Program
from tests.test_supervisor import Crowd, Supervised, ended, gone, strangers

pytestmark = [pytest.mark.programs, pytest.mark.linux]

several_real_programs = pytest.mark.gen_test(timeout=180)


@several_real_programs
async def test_workers_are_renewed_behind_nginx_with_a_new_key_and_nothing_is_lost(
    folder: Path, where: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`systemctl reload`: a setting of the file is new, no request fails, no word is lost."""
    program = Supervised(folder, **where)

    def set_token(token: str) -> None:
        settings = yaml.safe_load((ROOT / "settings.yaml").read_text())
        program.file.write_text(yaml.safe_dump({**settings, "ops": {"token": token}}))

    set_token(OPS_TOKEN)
    async with program.serving() as (process, address):
        port = int(address.rpartition(":")[2])
        async with a_front(folder, port, port, monkeypatch) as (_, front):
            direct = Street(address, OPS_TOKEN)
            evening = await Evening.of(direct, front)
            await direct.close()
            async with evening.going_on():
                set_token("new")
                process.send_signal(signal.SIGHUP)
                await until(lambda: program.told("workers_renewed"), PATIENCE)
                front._ops_token = "new"
            assert any(one.resumed for one in evening.listeners)
            assert set(front.statuses) == {200}, front.statuses
            front._ops_token = OPS_TOKEN
            assert (await front.ops("GET", "overview")).status == 401
        process.terminate()
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


async def said_by_workers(address: str) -> Counter[str]:
    """What /healthz says, asked as often as it takes to have met every worker."""
    said: Counter[str] = Counter()
    async with strangers() as http:
        for _ in range(40):
            async with http.get(f"{address}/healthz") as answer:
                said[(await answer.json())["status"]] += 1
    return said


@several_real_programs
async def test_a_reload_after_the_link_was_switched_serves_the_new_release(
    folder: Path, where: dict[str, str]
) -> None:
    """And it takes the new release's packages."""
    link = folder / "qlive"
    releases = [install(folder / f"qlive-{n}", f"release {n}") for n in (1, 2)]
    switch(link, releases[0])
    program = Supervised(folder, **where)
    program.words = (str(link / ".venv/bin/python"), str(link / "server.py"))
    async with program.serving() as (process, address):
        assert set(await said_by_workers(address)) == {"release 1"}
        switch(link, releases[1])
        process.send_signal(signal.SIGHUP)
        await until(lambda: program.told("workers_renewed"), PATIENCE)
        assert set(await said_by_workers(address)) == {"release 2"}
        started = " ".join(program.words)
        assert sum(line.startswith(started) for line in program.processes()) == 3
        process.terminate()
        assert await ended(process) == 0


@several_real_programs
async def test_one_worker_in_production_is_renewed_with_the_port_open(
    folder: Path, where: dict[str, str], settings: tuple[Settings, Any]
) -> None:
    """With deploy/settings.yaml and deploy/secrets.env."""
    secrets = {name.removeprefix("QLIVE_").lower(): v for name, v in filled_secrets().items()}
    port = free_port()
    own = {
        "server__host": "127.0.0.1",
        "server__port": str(port),
        "server__workers": "1",
        "pay__private_key": settings[0].pay.private_key,
        "pay__public_key": settings[0].pay.public_key,
        **where,
    }
    program = Supervised(folder, **{**secrets, **own})
    fill_in(program.file)
    process = await program.serve()
    try:
        await until(lambda: program.told("worker_serves"), PATIENCE)
        (old,) = program.serving_pids()
        crowd = Crowd(f"http://127.0.0.1:{port}")
        async with crowd.asking():
            process.send_signal(signal.SIGHUP)
            await until(lambda: program.told("workers_renewed"), PATIENCE)
        assert set(crowd.outcomes) == {"200"}, crowd.outcomes
        assert gone(old)
        process.terminate()
        assert await ended(process) == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        await until(lambda: not program.processes(), PATIENCE)


@pytest.fixture
def hangup_by_default() -> Iterator[None]:
    """Under nohup a hangup is ignored, also by the programs that a test starts."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@several_real_programs
@pytest.mark.usefixtures("hangup_by_default")
async def test_a_hangup_lets_a_single_process_drain(folder: Path) -> None:
    program = Program(folder)  # on an embedded MongoDB of its own
    async with program.serving() as (process, _):
        process.send_signal(signal.SIGHUP)
        assert await ended(process) == 0
        assert program.processes() == []
    log = (folder / "server.log").read_text()
    assert "draining" in log
    assert "stopped" in log
