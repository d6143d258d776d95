"""Changes over HTTP, compared with the bare MongoDB commands in Tornado and FastAPI."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.calls.case import (
    BARE_FASTAPI,
    BARE_TORNADO,
    CONNECTIONS,
    HERE,
    QLIVE,
    ROOMS,
    RUNS,
    SECONDS,
    WARM_UP_SECONDS,
    LoadRuns,
    add_run,
    add_table,
    run_load,
)
from bench.calls.guests import Guest, create_guests
from bench.calls.requests import (
    change_requests,
    evening_requests,
    hot_room_requests,
    write_request_file,
)
from bench.calls.servers import running_servers
from bench.fanout.crowd import CompilerMissing, compile_c
from bench.peers import Peers
from bench.report import BenchmarkReport, ratios, spread

ONE_BY_ONE = "QLive, one after the other"


class ChangeCase(NamedTuple):
    """Guests, one per connection, and what they send."""

    title: str
    text: str
    rooms: int
    connections: int
    requests: Callable[[Sequence[Guest]], list[bytes]]
    one_by_one: bool = False
    """Whether QLive is also measured with a single connection."""


CASES = {
    "64 rooms": ChangeCase(
        "64 rooms",
        f"apply_micro, accept_micro and leave_micro in turn, by {CONNECTIONS} users, each in their "
        "own room.",
        CONNECTIONS,
        CONNECTIONS,
        change_requests,
    ),
    "one room": ChangeCase(
        "One hot room",
        f"apply_micro and refuse_micro by {CONNECTIONS} guests of one room: all at once, and for "
        "QLive also one request after the other. The bare commands for one room wait for each "
        "other: its document would refuse them.",
        1,
        CONNECTIONS,
        hot_room_requests,
        one_by_one=True,
    ),
    "alone": ChangeCase(
        "A lone change",
        "apply_micro and refuse_micro by one user; nothing else is under way.",
        1,
        1,
        hot_room_requests,
    ),
    "evening": ChangeCase(
        "A mixed evening",
        f"{CONNECTIONS} guests in {ROOMS} rooms. Of 50 requests of a guest 45 are the four reads, "
        "in equal shares, and one each get_playurl (entering), apply_micro, refuse_micro, "
        "push_gift and leave_room, in another order for each guest. The bare commands of a gift "
        "write journal entry, two balances, four rows of the rankings and the room's event in a "
        "transaction; those of entering and leaving write the membership.",
        ROOMS,
        CONNECTIONS,
        evening_requests,
    ),
}
"""By the name in the table of durations."""


async def run(report: BenchmarkReport, peers: Peers, uri: str, folder: Path) -> None:
    report.section(
        "Changes over HTTP",
        "The load and the servers are those of [API requests](#api-requests). The bare commands "
        "read the token, the user, and the room with the user's membership, then write room and "
        "membership in a transaction (for leave_micro also an outbox message): the documents and "
        "the write concern of QLive, without rules, conflict checks, publishing or logging. "
        f"{RUNS} alternating runs of {SECONDS:g} s. `bench/calls/changes.py`.",
    )
    try:
        load = compile_c(HERE / "load.c", folder / "load")
    except CompilerMissing as error:
        report.paragraph(f"Not measured: {error}.")
        return
    modules = {QLIVE: "qlive", BARE_TORNADO: "bare"}
    if "FastAPI" in peers.versions:
        modules[BARE_FASTAPI] = "bare_fastapi"
    for name, case in CASES.items():
        with report.timed(f"changes: {name}"):
            runs = await _measure(load, uri, folder, case, modules)
        _report_case(report, case, runs)


async def _measure(
    load: Path, uri: str, folder: Path, case: ChangeCase, modules: Mapping[str, str]
) -> dict[str, LoadRuns]:
    """Measure the servers in turn; each has its own process and database."""
    databases, files = {}, {}
    for name, module in modules.items():
        databases[name] = f"bench_{case.requests.__name__}_{case.connections}_{module}"
        guests = await create_guests(uri, databases[name], case.rooms, case.connections)
        files[name] = folder / f"changes-{module}"
        write_request_file(files[name], case.requests(guests))
    loads = [(name, name, case.connections) for name in modules]
    loads += [(ONE_BY_ONE, QLIVE, 1)] if case.one_by_one else []
    runs: dict[str, LoadRuns] = {name: defaultdict(list) for name, _, _ in loads}
    async with running_servers(modules, uri, databases, folder) as servers:
        for number in range(RUNS + 1):  # run 0 is the warm-up
            seconds = SECONDS if number else WARM_UP_SECONDS
            for name, server, connections in loads:
                with servers.running(server) as port:
                    result = await run_load(load, port, files[server], seconds, connections)
                if number:
                    add_run(runs[name], result)
    return runs


def _report_case(report: BenchmarkReport, case: ChangeCase, runs: Mapping[str, LoadRuns]) -> None:
    report.subsection(case.title, case.text)
    add_table(report, runs)
    column, unit = ("p50", "p50") if case.connections == 1 else ("rate", "responses per second")
    relative = [
        f"{name} {spread(ratios(runs[QLIVE][column], runs[name][column]), 2)}"
        for name in runs
        if name != QLIVE
    ]
    report.paragraph(f"QLive, {unit}, in relation to: {'; '.join(relative)}.")
