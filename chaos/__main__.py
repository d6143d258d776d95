"""`python -m chaos`: storms and single troubles, and whether every promise was kept."""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, replace
from pathlib import Path

import structlog

from chaos import storm
from chaos.play import Play, Scenario
from chaos.report import Report, table
from chaos.scenarios import crash, gold, mongodb, once, out, redis, resume, rolling, stalled

SCENARIOS: dict[str, Scenario] = {
    "storm": storm.SCENARIO,
    "resume": resume.SCENARIO,
    "redis": redis.SCENARIO,
    "mongodb": mongodb.SCENARIO,
    "stalled": stalled.SCENARIO,
    "rolling": rolling.SCENARIO,
    "out": out.SCENARIO,
    "gold": gold.SCENARIO,
    "once": once.SCENARIO,
    "crash": crash.SCENARIO,
}
SEEDS = 20
LIMIT_SECONDS = 300.0
"""For everything about a run but its trouble; twice as long in the size of the promise."""
FOLDER = Path("var/chaos")
"""Each run leaves a folder with its plan and logs, all together runs.jsonl and report.md."""


def main(arguments: list[str]) -> int:
    """The exit status: 0 when every promise was kept, otherwise 1."""
    asked = _parser().parse_args(arguments)
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    reports = [run(name, seed, asked) for name, seed in _programme(asked)]
    if len(reports) > 1:
        (FOLDER / "report.md").write_text(table(reports) + "\n")
        print(table(reports))
    return 0 if all(report.kept for report in reports) else 1


def run(name: str, seed: int, asked: argparse.Namespace) -> Report:
    """One run in a folder of its own; prints its line, and keeps the folder for whoever asks."""
    play = _play(name, seed, asked)
    report = asyncio.run(_finish(name, play, LIMIT_SECONDS * (2 if asked.full else 1)))
    report.size, report.lasting = asdict(play.size), play.seconds
    with (FOLDER / "runs.jsonl").open("a") as lines:
        lines.write(report.line() + "\n")
    print(report.line(), flush=True)
    if not report.kept:
        print(f"BROKEN: {again(name, play, full=asked.full)}", file=sys.stderr)
        print(f"        logs in {play.folder}", file=sys.stderr)
    return report


def again(name: str, play: Play, *, full: bool) -> str:
    """The words that repeat this run."""
    size = play.size
    words = f"--seed {play.seed} --seconds {play.seconds:g}"
    words += f" --clients {size.clients} --rooms {size.rooms} --processes {size.processes}"
    return f"python -m chaos {name} {words}{' --full' if full else ''}"


async def _finish(name: str, play: Play, limit: float) -> Report:
    """A run that takes too long, or breaks down, is a broken one: the others still have theirs."""
    scenario, began = SCENARIOS[name], time.monotonic()
    try:
        async with asyncio.timeout(limit + scenario.rounds * play.seconds):
            return await scenario.run(play)
    except Exception as error:  # noqa: BLE001 - whatever it was, it is reported
        traceback.print_exc()
        took = round(time.monotonic() - began, 1)
        said = {"crashed": [repr(error)]}
        folder = str(play.folder)
        return Report(name, play.seed, folder, took, faults={"crashed": 1}, examples=said)


def _play(name: str, seed: int, asked: argparse.Namespace) -> Play:
    scenario = SCENARIOS[name]
    size, seconds = scenario.full if asked.full else scenario.quick
    wishes = {key: getattr(asked, key) for key in ("clients", "rooms", "processes")}
    size = replace(size, **{key: value for key, value in wishes.items() if value})
    FOLDER.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-{seed}-", dir=FOLDER)).resolve()
    return Play(folder, size, asked.seconds or seconds, seed)


def _programme(asked: argparse.Namespace) -> list[tuple[str, int]]:
    """(scenario, seed) of every run."""
    storms = [("storm", asked.seed + n) for n in range(asked.seeds)]
    match asked.name:
        case "storms":
            return storms
        case "all":
            others = [(name, asked.seed) for name in SCENARIOS if name != "storm"]
            return [*storms, *others]
    return [(asked.name, asked.seed)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    commands = parser.add_subparsers(required=True)
    names = {name: scenario.help for name, scenario in SCENARIOS.items()}
    more = {
        "storms": "storms of many seeds",
        "all": "storms, and every other scenario once: for a quick look, or --full",
    }
    for name, words in {**names, **more}.items():
        command = commands.add_parser(name, help=words)
        command.set_defaults(name=name)
        command.add_argument("--seed", type=int, default=1, help="the (first) seed")
        command.add_argument("--seeds", type=int, default=SEEDS, help="how many storms")
        command.add_argument("--seconds", type=float, help="how long its trouble lasts")
        command.add_argument("--clients", type=int)
        command.add_argument("--rooms", type=int)
        command.add_argument("--processes", type=int)
        command.add_argument("--full", action="store_true", help="the size of the promise")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
