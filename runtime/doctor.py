"""The command `doctor`: a table, or JSON, of what is right and wrong before users come."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from config.settings import Settings
from services.doctor.doctor import Doctor
from services.doctor.findings import Finding
from storage.database import Database


def add_doctor(commands: Any) -> None:
    about = "try the settings, keys and switches at WeChat, Tencent, MongoDB and Redis"
    parser = commands.add_parser("doctor", help=about)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    about = "wait two minutes for CSS's event about a stream that you push"
    parser.add_argument("--stream", action="store_true", help=about)
    parser.set_defaults(run=doctor, log_level="error")  # a failed call is a finding


async def doctor(settings: Settings, simulator_key: str | None, args: argparse.Namespace) -> int:
    """Print the findings; return 1 if anything is wrong.

    In development, the simulator of the server that runs at `server.port` is examined.
    """
    address = f"http://{settings.server.host}:{settings.server.port}"
    settings = settings.at(address, f"{address}/sim" if simulator_key else "")
    uri, database = settings.mongodb.uri, None
    if uri:
        database = Database(uri, settings.mongodb.database)
    try:
        show_url = _show_url if args.stream else None
        findings = await Doctor(settings, database, show_url=show_url).run()
    finally:
        if database:
            await database.close()
    if args.json:
        print(json.dumps([asdict(row) for row in findings], ensure_ascii=False, indent=1))
    else:
        print("\n".join(table(findings)))
    return int(any(row.verdict == "wrong" for row in findings))


def table(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield the lines of a table; what to do is below its row."""
    for row in findings:
        came_back = row.came_back or (f"because of {row.because_of}" if row.because_of else "")
        yield f"{row.verdict:<15} {row.name:<27} {row.tried}: {came_back}".rstrip(" :")
        if row.to_do and row.verdict != "right":
            yield f"{'':<15} → {row.to_do}"


def _show_url(url: str) -> None:
    print(f"Push a stream now, for example with OBS, to {url}", file=sys.stderr, flush=True)
