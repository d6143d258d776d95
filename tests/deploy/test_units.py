import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import Settings
from tests.support.nginx import DEPLOY

pytestmark = [pytest.mark.programs, pytest.mark.linux]

UNITS = ("qlive@.service", "qlive-backup.service", "qlive-backup.timer")


@pytest.mark.parametrize("name", UNITS)
def test_systemd_verifies_the_unit(tmp_path: Path, name: str) -> None:
    analyze = shutil.which("systemd-analyze")
    assert analyze, "systemd-analyze is not installed; run `make setup`."
    for unit in UNITS:
        text = (DEPLOY / unit).read_text()
        # Only programs must exist. Other paths stay those of the unit: systemd refuses a
        # WorkingDirectory= below /dev, where the clone under test may be.
        for program in ("/opt/qlive/.venv/bin/python", "/usr/bin/mongodump"):
            text = text.replace(program, sys.executable)
        (tmp_path / unit).write_text(text)
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


def test_a_server_has_time_to_drain_before_systemd_kills_it() -> None:
    timeout = re.search(r"^TimeoutStopSec=(\d+)$", (DEPLOY / UNITS[0]).read_text(), re.MULTILINE)
    assert timeout
    assert int(timeout[1]) > Settings().server.drain_seconds + 30
