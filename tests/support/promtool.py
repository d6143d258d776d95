"""promtool of Debian's prometheus: checks rules, and evaluates them on given series."""

import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.paths import ROOT

RULES = ROOT / "deploy" / "alerts.yml"
INTERVAL = 15
"""Seconds between two scrapes."""


def rule_groups() -> list[dict[str, Any]]:
    return yaml.safe_load(RULES.read_text())["groups"]


def alert_names() -> list[str]:
    return [rule["alert"] for group in rule_groups() for rule in group["rules"] if "alert" in rule]


def promtool(*arguments: str | Path) -> str:
    """Its output; fails if it does."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def rule_test(series: Mapping[str, str], at: str, expected: Iterable[str]) -> dict[str, Any]:
    """A test for `test_rules`: exactly the `expected` alerts have fired until `at`."""
    fired = 'count by (alertname) (max_over_time(ALERTS{alertstate="firing"}[1d]))'
    samples = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(set(expected))]
    return {
        "interval": f"{INTERVAL}s",
        "input_series": [{"series": name, "values": row} for name, row in series.items()],
        "promql_expr_test": [
            {"expr": f"{fired} > bool 0", "eval_time": at, "exp_samples": samples}
        ],
    }


def check_rule_tests(
    folder: Path, tests: Mapping[str, dict[str, Any]], interval: int = INTERVAL
) -> None:
    """Runs tests by name; fails with what was expected and what has fired.

    `interval`: seconds between two evaluations of all rules.
    """
    text = yaml.safe_dump(
        {
            "rule_files": [str(RULES)],
            "evaluation_interval": f"{interval}s",
            "tests": [{"name": name, **test} for name, test in tests.items()],
        }
    )
    file = folder / "rules_test.yml"
    file.write_text(text)
    promtool("test", "rules", file)


def with_labels(series: str, **labels: str) -> str:
    """The series with more labels."""
    name, found = re.fullmatch(r"(\w+)(?:\{(.*)\})?", series, re.DOTALL).groups()
    more = [f"{key}={json.dumps(value)}" for key, value in labels.items()]
    return f"{name}{{{','.join([*([found] if found else []), *more])}}}"
