import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from config.settings import Settings
from runtime.worker import KILL_GRACE_SECONDS
from tests.support.nginx import DEPLOY
from tests.support.paths import ROOT

pytestmark = [pytest.mark.programs, pytest.mark.linux]

UNITS = ("qlive.service", "qlive-backup.service", "qlive-backup.timer")


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


def service() -> dict[str, dict[str, str]]:
    """The sections of qlive.service; a duplicate option raises."""
    unit = ConfigParser(interpolation=None, delimiters="=")
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "qlive.service")
    return {name: dict(unit[name]) for name in unit.sections()}


def test_service_is_always_restarted() -> None:
    unit = service()
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert unit["Service"]["Restart"] == "always"


def test_unit_stop_timeout_exceeds_the_supervisors_drain_time() -> None:
    timeout = int(service()["Service"]["TimeoutStopSec"])
    assert timeout > Settings().server.drain_seconds + KILL_GRACE_SECONDS + 10


@pytest.mark.parametrize("unit", UNITS)
def test_docs_install_the_unit_before_reloading_systemd(unit: str) -> None:
    text = (ROOT / "docs" / "deploy.md").read_text()
    step = re.search(rf"^install -m 644 \S*deploy/{unit} /etc/systemd/system/", text, re.MULTILINE)
    assert step, f"docs/deploy.md does not install {unit}"
    following_commands = text[step.end() : text.index("```", step.end())]
    assert re.search(
        r"^systemctl daemon-reload\nsystemctl enable --now", following_commands, re.MULTILINE
    )
