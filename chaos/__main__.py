"""`python -m chaos`: runs fault-injection scenarios and reports violated guarantees."""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
import traceback
from dataclasses import asdict
from pathlib import Path

import structlog

from chaos.crash.groups import PATHS
from chaos.report import RunReport
from chaos.scenario import RunConfig, Scenario
from chaos.scenarios import alerts, ban, caps, crash, failover, hostile, sanctions, storm

SCENARIOS: dict[str, Scenario] = {
    "storm": storm.SCENARIO,
    "ban": ban.SCENARIO,
    "sanctions": sanctions.SCENARIO,
    "caps": caps.SCENARIO,
    "hostile": hostile.SCENARIO,
    "alerts": alerts.SCENARIO,
    "failover": failover.SCENARIO,
    "crash": crash.SCENARIO,
}
SEEDS = 6
LIMIT_SECONDS = 600.0
"""Timeout of a run, in addition to its faults."""
FOLDER = Path("var/chaos")
"""Holds one folder per run with its plan and logs, and runs.jsonl of all runs."""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status: 0 if every run passed, otherwise 1."""
    args = _parser().parse_args(arguments)
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    names = {"storms": [], "all": [name for name in SCENARIOS if name != "storm"]}
    storms = range(args.seed, args.seed + args.seeds) if args.name in names else ()
    runs = [("storm", seed) for seed in storms]
    runs += [(name, args.seed) for name in names.get(args.name, [args.name])]
    reports = [run_scenario(name, seed, args) for name, seed in runs]
    for report in reports:
        print(report.summary)
    return 0 if all(report.passed for report in reports) else 1


def run_scenario(name: str, seed: int, args: argparse.Namespace) -> RunReport:
    """Run one scenario in a new folder, which is kept, and print its report."""
    scenario, started = SCENARIOS[name], time.monotonic()
    FOLDER.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-{seed}-", dir=FOLDER)).resolve()
    seconds = args.seconds or scenario.seconds
    config = RunConfig(folder, scenario.size, seconds, seed, args.paths)
    report = RunReport(name, seed, str(folder), size=asdict(config.size), requested_seconds=seconds)
    asyncio.run(_run_to_end(scenario, config, report))
    report.seconds = round(time.monotonic() - started, 1)
    with (FOLDER / "runs.jsonl").open("a") as lines:
        lines.write(report.line() + "\n")
    print(report.line(), flush=True)
    if not report.passed:
        options = f"--seed {seed} --seconds {seconds:g}"
        options += f" --paths {','.join(config.paths)}" if config.paths else ""
        print(f"FAILED: python -m chaos {name} {options}", file=sys.stderr)
        print(f"        logs in {config.folder}", file=sys.stderr)
    return report


async def _run_to_end(scenario: Scenario, config: RunConfig, report: RunReport) -> None:
    """Run a scenario; a timeout or an exception is a violation, so that others still run."""
    try:
        async with asyncio.timeout(LIMIT_SECONDS + scenario.rounds * config.seconds):
            await scenario.run(config, report)
    except Exception as error:  # noqa: BLE001 - any error is reported
        traceback.print_exc()
        report.violations.add("crashed", repr(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    commands = parser.add_subparsers(required=True)
    names = {name: scenario.help for name, scenario in SCENARIOS.items()}
    more = {"storms": "storms with many seeds", "all": "storms, and every other scenario once"}
    for name, text in {**names, **more}.items():
        command = commands.add_parser(name, help=text)
        command.set_defaults(name=name)
        command.add_argument("--seed", type=int, default=1, help="the (first) seed")
        command.add_argument("--seeds", type=int, default=SEEDS, help="number of storms")
        command.add_argument("--seconds", type=float, help="duration of the faults")
        command.add_argument("--paths", type=_paths, default=(), help="crash: only some paths")
    return parser


def _paths(text: str) -> tuple[str, ...]:
    """Names of crash paths, separated by commas."""
    names = tuple(text.split(","))
    if unknown := {*names} - {*PATHS}:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: use {', '.join(PATHS)}")
    return names


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
