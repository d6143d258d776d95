"""Loads the settings: settings.yaml, overridden by QLIVE_* variables of the environment.

`QLIVE_SERVER__PORT` is `server.port`; lists and maps are JSON. Unknown names are errors in both.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from config.settings import Settings

PREFIX = "QLIVE_"


class InvalidSettings(Exception):
    """`problems` names every invalid setting as "name: why", never with its value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(path: Path, env: Mapping[str, str]) -> Settings:
    """Read and validate all settings. Raises InvalidSettings, which lists all that is wrong."""
    given = _merged(_in_file(path), _in_environment(env))
    try:
        settings = Settings.model_validate(given)
        problems = settings.problems()
    except ValidationError as error:
        problems = [_problem(found, env) for found in error.errors()]
    if problems:
        raise InvalidSettings(problems)
    return settings


def _in_file(path: Path) -> dict[str, Any]:
    try:
        given = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise InvalidSettings([f"{path}: {error.strerror}"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        # The line number without the text: it may contain a secret.
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InvalidSettings([f"{path}: not YAML{line}"]) from None
    if not isinstance(given, dict):
        raise InvalidSettings([f"{path}: must be a mapping of sections"])
    return {str(name): value for name, value in given.items()}


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Merge both mappings, key by key; `above` wins."""
    merged = {**below, **above}
    for name in below.keys() & above.keys():
        if isinstance(below[name], dict) and isinstance(above[name], dict):
            merged[name] = _merged(below[name], above[name])
    return merged


def _in_environment(env: Mapping[str, str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name in sorted(name for name in env if name.startswith(PREFIX)):
        *sections, key = name.removeprefix(PREFIX).lower().split("__")
        place = given
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise InvalidSettings(
                    [f"{name}: {PREFIX}{section.upper()} is already set as a whole"]
                )
        place[key] = env[name]
    return given


def _problem(found: Any, env: Mapping[str, str]) -> str:
    where = [str(part) for part in found["loc"]]
    variable = PREFIX + "__".join(where).upper()
    given = sorted(name for name in env if f"{name}__".startswith(f"{variable}__"))
    name = ", ".join(given) or ".".join(where)
    unknown = found["type"] == "extra_forbidden"
    why = "unknown setting" if unknown else found["msg"].removeprefix("Value error, ")
    return f"{name}: {why}"
