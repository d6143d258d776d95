"""Invariants that are checked at the end of a run, when all is quiet."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from chaos.load import RoomLoad
from chaos.program import unexpected_errors
from chaos.report import Violation
from chaos.run import GOLD, Run
from chaos.timeline import content_of, duplicate_effects, gold_spent, lost_operations
from ledger.gifts import gift_key
from storage.database import Database
from storage.gold.ledger_reconciler import LedgerReconciler
from tests.support.room_screen import comparable

SETTLE_SECONDS = 15.0
"""One lease: for that long, a dead process still seems to serve its members."""

Found = Iterator[Violation]


async def check_invariants(run: Run) -> None:
    """Add every violated invariant to the violations of the run."""
    timelines, found = run.timelines.by_session.values(), run.violations
    found.add_all(lost_operations(run.operations, timelines))
    found.add_all(duplicate_effects(timelines))
    for timeline in timelines:
        if timeline.missing:  # all clients together receive every event after the first snapshot
            found.add("missing_event", f"{timeline.missing} in {timeline.live_id}/{timeline.epoch}")
    found.add_all(_failed_tasks(run))
    found.add_all(_program_errors(run))
    found.add_all(wrong_views(run, await run.stored_rooms()))
    database = Database(run.fleet.mongodb.uri, run.fleet.database)
    try:
        rooms = await database.collection("rooms").find({}, {"epoch": 1, "log": 1}).to_list()
        found.add_all(wrong_room_logs(run, rooms))
        channels = await database.collection("user_channels").find().to_list()
        found.add_all(wrong_user_channels(run, {row["_id"]: row for row in channels}))
        await _check_settled(run)
        found.add_all([violation async for violation in ledger_violations(run, database)])
    finally:
        await database.close()


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


def wrong_views(run: Run, stored: dict[int, Any]) -> Found:
    """Find views that were built from events, and do not equal the stored room."""
    for checker in (client.checker for client in run.clients):
        row, view = stored.get(int(checker.key)), checker.view
        if row is None or view is None or checker.seq != row["seq"]:
            continue
        if view.shown != comparable(row["room"]):
            detail = f"{view.shown} is not {comparable(row['room'])}"
            yield "wrong_view", f"{checker.name}: {detail}"


def wrong_room_logs(run: Run, rooms: list[dict[str, Any]]) -> Found:
    """Find stored events that do not equal the delivered ones."""
    for room in rooms:
        delivered = run.timelines.of(room["_id"], room["epoch"]).events
        for row in room["log"].values():
            frame = delivered.get(row["seq"])
            if frame and content_of(frame) != content_of(row):
                yield "conflicting_event", f"room {room['_id']}: {frame}, stored: {row}"


def wrong_user_channels(run: Run, stored: dict[str, Any]) -> Found:
    """Find clients that do not have all of their user's own events, as they are stored."""
    for client in run.clients:
        own = client.own
        row = stored[str(own.key)]
        if not client.final_code and (own.epoch, own.seq) != (row["epoch"], row["version"]):
            yield "missing_own_event", f"{own.name}: {own.seq}, stored: {row['version']}"
        delivered = run.user_timelines.of(own.key, own.epoch).events
        for event in row["log"]:
            frame = delivered.get(event["seq"])
            if frame and content_of(frame) != content_of(event):
                yield "conflicting_event", f"{own.name}: {frame}, stored: {event}"


async def _check_settled(run: Run) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        stored = await run.stored_rooms()
        found = [
            violation
            for room in run.rooms
            for violation in room_state_violations(room, stored[room.live_id]["room"])
        ]
        found += await wrong_balances(run)
        if not found or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.5)
    run.violations.add_all(found)


def room_state_violations(room: RoomLoad, shown: dict[str, Any]) -> Found:
    """Check that the room as a snapshot shows it has all members, and no user who has left.

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


async def wrong_balances(run: Run) -> list[Violation]:
    """Givers whose balance is not the gold received less the gifts in the room events."""
    spent, found = gold_spent(run.timelines.by_session.values()), list[Violation]()
    for giver in (giver for room in run.rooms for giver in room.givers):
        gold = (await run.api.ops_request("GET", f"users/{giver.id}")).json["gold"]
        expected = GOLD - spent[giver.id]
        if gold != expected:
            found.append(("wrong_balance", f"{giver.name}: {gold} instead of {expected}"))
    return found


async def ledger_violations(run: Run, database: Database) -> AsyncIterator[Violation]:
    """Find what `check-ledger` finds, and gifts not recorded with an event of their own."""
    for problem in await LedgerReconciler(database).problems():
        yield "ledger_problem", str(problem)
    projection = {"seq": 1, "live_id": 1, "epoch": 1}
    rows = await database.collection("ledger").find({"kind": "gift"}, projection).to_list()
    recorded = {row["_id"] for row in rows}
    givers = {guest.name: guest.id for room in run.rooms for guest in room.guests}
    for operation in run.operations:
        kind, _, request_id = operation.key.partition(" ")
        giver = request_id.rpartition("-")[0]
        if kind == "gift" and gift_key(givers[giver], request_id) not in recorded:
            yield "gift_lost", operation.key
    events = [(row["live_id"], row["epoch"], row["seq"]) for row in rows if "seq" in row]
    if len(set(events)) != len(events):
        yield "shared_event", f"{len(events)} gifts, {len(set(events))} events"
