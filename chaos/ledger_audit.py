"""Compares the ledger in the database with the gifts that were acknowledged."""

from collections.abc import Mapping

from chaos.run import Run
from ledger.gifts import gift_key
from storage.database import Database
from storage.ledger_reconciler import LedgerReconciler

Acknowledged = Mapping[str, str]
"""Giver's user_id by request_id, of every gift that was acknowledged."""


async def audit_gifts(run: Run, acknowledged: Acknowledged) -> int:
    """Add ledger problems and missing gifts to the violations; returns the number of gifts."""
    database = Database(run.fleet.mongodb.uri, run.fleet.database)
    try:
        for problem in await LedgerReconciler(database).problems():
            run.violations.add("ledger_problem", str(problem))
        projection = {"seq": 1, "live_id": 1, "epoch": 1}
        rows = await database.collection("ledger").find({"kind": "gift"}, projection).to_list()
    finally:
        await database.close()
    entries = {row["_id"]: row for row in rows}
    for request_id, giver in acknowledged.items():
        if gift_key(giver, request_id) not in entries:
            run.violations.add("gift_lost", f"{request_id} of {giver}")
    events = [(row["live_id"], row["epoch"], row["seq"]) for row in rows if "seq" in row]
    if len(set(events)) != len(events):
        run.violations.add("shared_event", f"{len(events)} gifts, {len(set(events))} events")
    return len(entries)
