import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from settings import Settings
from tests.deploy.front import DEPLOY
from tests.test_server import ROOT
from worker import OVERTIME_SECONDS

pytestmark = [pytest.mark.programs, pytest.mark.linux]

UNITS = ("qlive.service", "qlive-backup.service", "qlive-backup.timer")


@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_the_unit(tmp_path: Path, name: str) -> None:
    analyze = shutil.which("systemd-analyze")
    assert analyze, "systemd-analyze is not installed; run `make setup`."
    for unit in UNITS:
        text = (DEPLOY / unit).read_text()
        for program in ("/opt/qlive/.venv/bin/python", "/usr/bin/mongodump"):
            text = text.replace(program, sys.executable)
        (tmp_path / unit).write_text(text.replace("/opt/qlive", str(ROOT)))
    words = [analyze, "verify", "--man=no", str(tmp_path / name)]
    said = subprocess.run(words, capture_output=True, text=True)
    assert (said.returncode, said.stderr) == (0, "")


def service() -> dict[str, dict[str, str]]:
    """qlive.service by section; a name that stands twice is an error."""
    unit = ConfigParser(interpolation=None, delimiters="=")
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "qlive.service")
    return {name: dict(unit[name]) for name in unit.sections()}


def test_the_server_is_started_again_and_again() -> None:
    unit = service()
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert unit["Service"]["Restart"] == "always"


def test_the_unit_waits_for_as_long_as_the_supervisor_may_take() -> None:
    waits = int(service()["Service"]["TimeoutStopSec"])
    assert waits > Settings().server.drain_seconds + OVERTIME_SECONDS + 10


@pytest.mark.parametrize("unit", UNITS)
def test_a_step_of_the_document_installs_the_unit_before_systemd_is_told(unit: str) -> None:
    text = (ROOT / "docs" / "deploy.md").read_text()
    step = re.search(rf"^install -m 644 \S*deploy/{unit} /etc/systemd/system/", text, re.MULTILINE)
    assert step, f"nobody installs {unit}"
    told = text[step.end() : text.index("```", step.end())]
    assert re.search(r"^systemctl daemon-reload\nsystemctl enable --now", told, re.MULTILINE)
