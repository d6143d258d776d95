"""The same gifts over HTTP, to a server process with logging enabled."""

from pathlib import Path

import aiohttp

from bench.api_client import call_api, call_ops_api, log_in, open_room
from bench.calls import case as calls
from bench.calls.guests import Guest
from bench.calls.requests import read_request, write_request_file
from bench.fanout.crowd import CompilerMissing, compile_c
from bench.report import BenchmarkReport
from bench.server_process import PORT, running_server
from storage.database import Database

DATABASE = "bench_gifts_http"
RUNS, SECONDS = 5, 2.0
WARM_UP = "warm-up"
GIFTS_EACH = 200
"""Gifts of a sender prepared for one run, more than are sent in it: a repeated one costs less."""
PATH = "qlive_gift/push_gift/?gift_id=1&num=1&user_id={host_id}&request_id="


async def run(report: BenchmarkReport, uri: str, folder: Path) -> None:
    try:
        load = compile_c(calls.HERE / "load.c", folder / "load")
    except CompilerMissing as error:
        report.paragraph(f"Not measured over HTTP: {error}.")
        return
    async with running_server(uri, DATABASE, folder) as (address, ops_token):
        async with aiohttp.ClientSession(address) as http:
            guests = await _create_guests(http, ops_token)
        results = {}
        for name in (WARM_UP, *(f"{number}" for number in range(RUNS))):
            requests = [
                read_request(f"{PATH}{name}-{number}", guest)
                for number in range(GIFTS_EACH)
                for guest in guests
            ]
            write_request_file(folder / "gifts", requests)
            results[name] = await calls.run_load(load, PORT, folder / "gifts", SECONDS)
        await _check_booked(uri, sum(result["responses"] for result in results.values()))
    del results[WARM_UP]
    report.paragraph(
        "The same over HTTP, to a server process with logging enabled: "
        f"{calls.CONNECTIONS} connections of `bench/calls/load.c`, {RUNS} runs of {SECONDS:g} s. "
        "`bench/gifts_http.py`."
    )
    rates = [result["responses"] / result["seconds"] for result in results.values()]
    p99s = [result["p99"] for result in results.values()]
    report.spread_table([("responses per second", rates, 0), ("p99 [ms]", p99s, 1)])


async def _create_guests(http: aiohttp.ClientSession, ops_token: str) -> list[Guest]:
    """Users with gold in the room of one host."""
    host, live_id = await open_room(http, ops_token)
    users = [await log_in(http, f"m{n}", 1) for n in range(calls.CONNECTIONS)]
    for user in users:
        grant = {"gold": 10**8, "reason": "bench", "request_id": user["user_id"]}
        await call_ops_api(http, ops_token, "POST", f"users/{user['user_id']}/grant", **grant)
        await call_api(http, user, "GET", f"get_playurl/?live_id={live_id}")
    return [Guest(live_id, user["token"], host["user_id"]) for user in users]


async def _check_booked(uri: str, responses: float) -> None:
    """A refused or repeated gift is answered with 200, too, but is not in the journal.

    Those that were pending at the end of a run are in it without being counted as responses.
    """
    database = Database(uri, DATABASE)
    booked = await database.collection("ledger").count_documents({"kind": "gift"})
    await database.close()
    pending = (RUNS + 1) * calls.CONNECTIONS
    assert responses <= booked <= responses + pending, (booked, responses)
