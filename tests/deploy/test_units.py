import json
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from config.settings import Settings
from tests.support.api import ApiFixture
from tests.support.gifts import give
from tests.support.nginx import DEPLOY
from tests.support.paths import ROOT
from tests.support.server_program import ServerProgram, exit_status
from tests.support.unit_sandbox import allowed_calls

pytestmark = [pytest.mark.programs, pytest.mark.linux]

UNITS = ("qlive@.service", "qlive-backup.service", "qlive-backup.timer")


@pytest.mark.parametrize("name", UNITS)
def test_systemd_verifies_the_unit(tmp_path: Path, name: str) -> None:
    analyze = shutil.which("systemd-analyze")
    assert analyze, "systemd-analyze is not installed; run `make setup`."
    for unit in UNITS:
        text = (DEPLOY / unit).read_text()
        for program in ("/opt/qlive/.venv/bin/python", "/usr/bin/mongodump"):
            text = text.replace(program, sys.executable)
        (tmp_path / unit).write_text(text.replace("/opt/qlive", str(ROOT)))
    command = [analyze, "verify", "--man=no", str(tmp_path / name)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_systemd_rates_the_exposure_of_the_unit_low(name: str) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(DEPLOY / name)]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", report)
    assert level, report
    assert float(level[1]) <= 2.0, report


class SandboxedProgram(ServerProgram):
    """A server under the unit's system call filter and memory rules."""

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder, logging__json="true", **settings)
        calls = folder / "calls"
        calls.write_text("\n".join(allowed_calls((DEPLOY / "qlive@.service").read_text())))
        sandbox = str(ROOT / "tests" / "support" / "unit_sandbox.py")
        self._command = (sys.executable, sandbox, str(calls), sys.executable, "server.py")


async def test_server_works_under_the_system_call_filter_of_the_unit(
    data_folder: Path, shared_settings: dict[str, str]
) -> None:
    program = SandboxedProgram(data_folder, **shared_settings)
    async with program.serving() as (process, address):
        api = ApiFixture(address)
        host = await api.host()
        guest = await api.guest("bert", 1, host.live_id, gold=100)
        socket = await host.connect()
        await socket.next("snapshot")
        (await give(guest, host.id)).ok()
        await socket.next("gift")
        assert (await api.request("GET", "/readyz")).ok()["dependencies"]["redis"]["state"] == "ok"
        await api.close()
        process.terminate()
        assert await exit_status(process) == 0
    log = map(json.loads, (data_folder / "server.log").read_text().splitlines())
    assert not [line for line in log if line["level"] in ("error", "critical")]


def service() -> dict[str, dict[str, str]]:
    """The sections of qlive@.service; a duplicate option raises, but for the second filter."""
    unit = ConfigParser(interpolation=None, delimiters="=")
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    text = (DEPLOY / "qlive@.service").read_text()
    unit.read_string(text.replace("\nSystemCallFilter=~", "\n# "))
    return {name: dict(unit[name]) for name in unit.sections()}


def test_instance_of_the_unit_is_the_port() -> None:
    assert service()["Service"]["Environment"] == "QLIVE_SERVER__PORT=%i"


def test_service_is_always_restarted() -> None:
    unit = service()
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert unit["Service"]["Restart"] == "always"


def test_unit_stop_timeout_exceeds_the_drain_time() -> None:
    timeout = int(service()["Service"]["TimeoutStopSec"])
    assert timeout > Settings().server.drain_seconds + 30


@pytest.mark.parametrize("unit", UNITS)
def test_docs_install_the_unit_before_reloading_systemd(unit: str) -> None:
    text = (ROOT / "docs" / "deploy.md").read_text()
    step = re.search(rf"^install -m 644 \S*deploy/{unit} /etc/systemd/system/", text, re.MULTILINE)
    assert step, f"docs/deploy.md does not install {unit}"
    following_commands = text[step.end() : text.index("```", step.end())]
    assert re.search(
        r"^systemctl daemon-reload\nsystemctl enable --now", following_commands, re.MULTILINE
    )
