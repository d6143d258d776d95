"""A server is killed within transactions: its rooms take changes again when they were ended."""

import asyncio
import random
import signal
import time
from dataclasses import replace

from chaos.fleet import Node
from chaos.invariants import check_invariants
from chaos.ledger_audit import audit_gifts
from chaos.report import RunReport, make_report
from chaos.run import Run, started_run
from chaos.scenario import RunConfig, Scenario
from chaos.scenarios import failover
from chaos.senders import Acknowledged, longest_gap
from storage.database import Database

DEFAULT_LIFETIME_SECONDS = 60
"""Of an abandoned transaction, if MongoDB is not told otherwise."""
BEFORE_SECONDS = 4.0
TRIES, INACTIVE_SECONDS = 40, 0.1
OBSERVED_SECONDS = {"same_machine": 8.0, "other_machine": 20.0}
GOALS = {"same_machine": 4.0, "other_machine": 16.0}
"""Seconds without a change in a room: until the next look, and a lease (15 s) besides."""
SIZE = replace(failover.SIZE, replicated=False)


async def orphans(config: RunConfig) -> RunReport:
    """`config.seconds`: how long servers are killed, by turns."""
    async with started_run(config.folder, config.size, config.seed) as run:
        started, acknowledged = time.monotonic(), Acknowledged()
        database = Database(run.fleet.mongodb.uri, run.fleet.database)
        await database.client.admin.command(
            "setParameter", 1, transactionLifetimeLimitSeconds=DEFAULT_LIFETIME_SECONDS
        )
        await failover.start_senders(run, acknowledged)
        run.start_load()
        gaps: dict[str, list[float]] = {place: [] for place in GOALS}
        orphaned, rng = 0, run.rng("kill")
        while not all(gaps.values()) or time.monotonic() - started < config.seconds:
            for place, found in gaps.items():
                orphaned += await _kill(run, rng, database, place)
                found.append(round(await _longest_gap_of_a_room(run, place), 2))
        await database.close()
        await run.settle()
        await check_invariants(run)
        booked = await audit_gifts(run, acknowledged.givers)
        report = make_report(
            run,
            "orphans",
            time.monotonic() - started,
            kills=sum(map(len, gaps.values())),
            orphaned_transactions=orphaned,
            gifts_acknowledged=len(acknowledged.givers),
            gifts_booked=booked,
            recoveries=sum(
                gap < OBSERVED_SECONDS[place] for place, found in gaps.items() for gap in found
            ),
            seconds_without_change=gaps,
            **{f"{place}_longest": max(found) for place, found in gaps.items()},
        )
        report.require("orphaned_transactions", 1, at_least=True)
        report.require("recoveries", report.metrics["kills"], at_least=True)
        for place, limit in GOALS.items():
            report.require(f"{place}_longest", limit)
        return report


async def _kill(run: Run, rng: random.Random, database: Database, place: str) -> int:
    """Kill one of the servers after some load; returns the transactions that it leaves open.

    Nothing tells that it ran on another machine but its record, which is changed to say so.
    """
    await asyncio.sleep(BEFORE_SECONDS)
    node = rng.choice(run.fleet.nodes)
    if place == "other_machine":
        await database.collection("processes").update_one(
            {"pid": node.program.pid}, {"$set": {"host": place}}
        )
    orphaned = await _suspend_within_a_transaction(node, rng, database)
    node.kill()
    return orphaned


async def _suspend_within_a_transaction(node: Node, rng: random.Random, database: Database) -> int:
    """Suspend a server until it has open transactions; returns their number, 0 after all tries."""
    for _ in range(TRIES):
        node.program.send_signal(signal.SIGSTOP)
        if count := await _open_transactions(database):
            return count
        node.program.send_signal(signal.SIGCONT)
        await asyncio.sleep(rng.uniform(0.05, 0.15))
    return 0


async def _longest_gap_of_a_room(run: Run, place: str) -> float:
    """Observe the rooms, then start the killed server again."""
    since = time.time()
    await asyncio.sleep(OBSERVED_SECONDS[place])
    until = time.time()
    gaps = [
        longest_gap([op.acknowledged_at for op in room.operations], since, until)
        for room in run.rooms
    ]
    await asyncio.gather(*(_restart(run, node) for node in run.fleet.nodes))
    return max(gaps)


async def _restart(run: Run, node: Node) -> None:
    node.program.release()
    await run.fleet.wait_ready(node)


async def _open_transactions(database: Database) -> int:
    """Number of idle transactions that are older than any of a server that runs."""
    await asyncio.sleep(INACTIVE_SECONDS)
    longer = {"$gt": 0.9e6 * INACTIVE_SECONDS}
    steps = [
        {"$currentOp": {"idleSessions": True, "allUsers": True}},
        {"$match": {"type": "idleSession", "transaction.timeInactiveMicros": longer}},
    ]
    answer = await database.client.admin.command("aggregate", 1, pipeline=steps, cursor={})
    return len(answer["cursor"]["firstBatch"])


SCENARIO = Scenario(
    orphans, "servers killed within transactions", (SIZE, 60), (SIZE, 240), rounds=2
)
