"""Invariants that are checked at the end of a run, when all is quiet."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from chaos import operations
from chaos.actors import GIVERS
from chaos.mongod import room_logs
from chaos.room_load import RoomLoad
from chaos.run import GOLD, Run
from chaos.server_logs import unexpected_errors
from chaos.timeline import content_of
from ledger.gifts import gift_key
from storage.database import Database
from storage.gold.ledger_reconciler import LedgerReconciler
from tests.support.room_screen import comparable

SETTLE_SECONDS = 15.0
"""One lease: for that long, a dead process still seems to serve its members."""

Found = Iterator[tuple[str, str]]
"""(kind of violation, detail)."""


async def check_invariants(run: Run) -> None:
    """Add every violated invariant to the violations of the run."""
    timelines = run.timelines.by_session.values()
    acknowledged = [operation for room in run.rooms for operation in room.operations]
    operations.check_lost(acknowledged, timelines, run.violations)
    operations.check_duplicates(timelines, run.violations)
    for kind, detail in (*_failed_tasks(run), *_program_errors(run), *_missing_events(run)):
        run.violations.add(kind, detail)
    await _check_views(run)
    await _check_room_logs(run)
    await _check_settled(run)
    await check_ledger(run)


def _failed_tasks(run: Run) -> Found:
    for task in run.actors:
        if task.done() and not task.cancelled() and (error := task.exception()):
            yield "actor_failed", repr(error)
    for client in run.clients:
        if client.failure:
            yield "client_failed", repr(client.failure)
        if client.final_code:
            yield "closed_for_good", f"{client.checker.name}: {client.final_code}"


def _program_errors(run: Run) -> Found:
    servers = [(f"server {node.number}", node.program) for node in run.fleet.nodes]
    for name, program in [*servers, ("redis", run.fleet.redis)]:
        for kind, detail in program.bad_exits:
            yield kind, f"{name}: {detail}"
    for name, program in servers:
        for error in unexpected_errors(program.log):
            yield "unexpected_error", f"{name}: {error}"


def _missing_events(run: Run) -> Found:
    """All clients together received every event after the first snapshot of a live session."""
    for timeline in run.timelines.by_session.values():
        if timeline.missing:
            yield "missing_event", f"{timeline.missing} in {timeline.live_id}/{timeline.epoch}"


async def _check_views(run: Run) -> None:
    """A view that was built from events equals the stored room."""
    rooms = await run.stored_rooms()
    for checker in (client.checker for client in run.clients):
        row, view = rooms.get(checker.live_id), checker.view
        if row is None or view is None or checker.seq != row["seq"]:
            continue
        if view.shown != comparable(row["room"]):
            words = f"{view.shown} is not {comparable(row['room'])}"
            run.violations.add("wrong_view", f"{checker.name}: {words}")


async def _check_room_logs(run: Run) -> None:
    """Stored events equal the delivered ones."""
    logs = await room_logs(run.fleet.mongodb.uri, run.fleet.database)
    for (live_id, epoch), log in logs.items():
        delivered = run.timelines.of(live_id, epoch).events
        for row in log:
            frame = delivered.get(row["seq"])
            if frame and content_of(frame) != content_of(row):
                words = f"room {live_id}: {frame}, stored: {row}"
                run.violations.add("conflicting_event", words)


async def _check_settled(run: Run) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while (found := await _unsettled(run)) and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
    for kind, detail in found:
        run.violations.add(kind, detail)


async def _unsettled(run: Run) -> list[tuple[str, str]]:
    stored = await run.stored_rooms()
    found = [
        violation
        for room in run.rooms
        for violation in room_state_violations(room, stored[room.live_id]["room"])
    ]
    return found + await _wrong_balances(run)


def room_state_violations(room: RoomLoad, shown: dict[str, Any]) -> Found:
    """The room as a snapshot shows it has all members, and no user who has left.

    The counts are exact: all users of the load have a client, so all are members, and temporary
    users (of removals) have left or were removed.
    """
    members = {room.host.id, *(guest.id for guest in room.guests)}
    seats = [shown[name] for name in ("owner", "male", "female") if shown[name]]
    for user in (*seats, *shown["applicants"]):
        if user["user_id"] not in members:
            yield "stale_user", f"room {room.live_id}: {user}"
    if shown["status"] != "live":
        yield "still_away", f"room {room.live_id} is {shown['status']}"
    for seat in seats:
        if seat["away"]:
            yield "still_away", f"room {room.live_id}: {seat}"
    applied = [user["gender"] for user in shown["applicants"] if user["applied_at"] is not None]
    genders = [guest.gender for guest in room.guests]
    num_list = [applied.count(1), genders.count(1), applied.count(2), genders.count(2)]
    counts, expected = (shown["audience_count"], shown["num_list"]), (len(members), num_list)
    if counts != expected:
        yield "wrong_counts", f"room {room.live_id}: {counts} instead of {expected}"


async def _wrong_balances(run: Run) -> list[tuple[str, str]]:
    """A giver's balance is the gold received less the gifts in the room events."""
    givers = [giver for room in run.rooms for giver in room.guests[-GIVERS:]]
    gold: dict[str, Any] = {}
    for giver in givers:
        gold[giver.name] = (await run.api.ops_request("GET", f"users/{giver.id}")).json["gold"]
    spent = operations.gold_spent(run.timelines.by_session.values())
    expected = {giver.name: GOLD - spent[giver.id] for giver in givers}
    return [
        ("wrong_balance", f"{name}: {gold[name]} instead of {expected[name]}")
        for name in gold
        if gold[name] != expected[name]
    ]


async def check_ledger(run: Run) -> None:
    """`check-ledger` finds nothing, and each acknowledged gift is recorded, with its own event.

    Reads the database itself.
    """
    database = Database(run.fleet.mongodb.uri, run.fleet.database)
    try:
        for problem in await LedgerReconciler(database).problems():
            run.violations.add("ledger_problem", str(problem))
        projection = {"seq": 1, "live_id": 1, "epoch": 1}
        rows = await database.collection("ledger").find({"kind": "gift"}, projection).to_list()
    finally:
        await database.close()
    recorded = {row["_id"] for row in rows}
    givers = {guest.name: guest.id for room in run.rooms for guest in room.guests}
    for operation in (operation for room in run.rooms for operation in room.operations):
        kind, _, request_id = operation.key.partition(" ")
        giver = request_id.rpartition("-")[0]
        if kind == "gift" and gift_key(givers[giver], request_id) not in recorded:
            run.violations.add("gift_lost", operation.key)
    events = [(row["live_id"], row["epoch"], row["seq"]) for row in rows if "seq" in row]
    if len(set(events)) != len(events):
        run.violations.add("shared_event", f"{len(events)} gifts, {len(set(events))} events")
