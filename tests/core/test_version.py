"""The version of the server and the digest of its program."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from core import version
from server import parse
from tests.support.paths import ROOT

NOT_SERVED = {"bench", "chaos", "devtools", "tests"}
"""Packages that a server in production does not run, and that its build does not depend on."""


def test_server_project_sdk_and_changelog_have_one_version(
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    sdk = json.loads((ROOT / "clients/miniprogram/package.json").read_text())
    released = re.search(r"^## (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    with pytest.raises(SystemExit):
        parse(["--version"])
    printed = capsys.readouterr().out.strip()
    assert released
    assert {printed, project["version"], sdk["version"], released[1]} == {version.VERSION}


def test_every_package_of_the_server_is_in_its_build() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - NOT_SERVED
    assert packages == set(version.PACKAGES)


def test_the_build_changes_with_any_file_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build_with(text: str, name: str = "a.py") -> str:
        (tmp_path / "rooms").mkdir(exist_ok=True)
        (tmp_path / "rooms" / name).write_text(text)
        return version.build.__wrapped__()

    monkeypatch.setattr(version, "ROOT", tmp_path)
    first = build_with("A = 1")
    assert re.fullmatch(rf"{re.escape(version.VERSION)}\+[0-9a-f]{{8}}", first)
    assert build_with("A = 1") == first
    assert build_with("A = 2") != first
    assert build_with("A = 1") == first
    assert build_with("", "b.py") != first
