"""The pre-commit hooks run the commands of `make lint`."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
REPOSITORIES = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
HOOKS: list[dict[str, Any]] = [hook for it in REPOSITORIES for hook in it["hooks"]]


def lint_commands() -> list[str]:
    """The recipe of `lint` in the Makefile, without the installation."""
    makefile = (ROOT / "Makefile").read_text()
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe
    lines = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe[1].splitlines()]
    return [line for line in lines if not line.startswith("@scripts/setup")]


def test_the_hooks_are_the_commands_of_make_lint() -> None:
    assert [hook["entry"] for hook in HOOKS] == lint_commands()


def test_nothing_is_downloaded() -> None:
    assert {repository["repo"] for repository in REPOSITORIES} == {"local"}
    assert {hook["language"] for hook in HOOKS} == {"system"}


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_only_ruff_receives_the_changed_files(hook: dict[str, Any]) -> None:
    assert hook.get("pass_filenames", True) == hook["entry"].startswith(".venv/bin/ruff")
