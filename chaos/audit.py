"""The book of a run against what its givers were told, read from the database itself."""

from collections.abc import Mapping

from chaos.scene import Scene
from money.gift import gift_key
from storage.database import Database
from storage.reckoning import Reckoning
from storage.replica import uri_of

Acknowledged = Mapping[str, str]
"""Of every gift that was answered with success: its request_id, and who gave it."""


async def audit(scene: Scene, acknowledged: Acknowledged) -> int:
    """Adds to the scene's faults what the book has wrong or lacks; how many gifts it has."""
    database = Database(uri_of(scene.fleet.mongod.port), scene.fleet.database)
    try:
        for problem in await Reckoning(database).problems():
            scene.faults.add("ledger", str(problem))
        shown = {"seq": 1, "live_id": 1, "epoch": 1}
        rows = await database.collection("ledger").find({"kind": "gift"}, shown).to_list()
    finally:
        await database.close()
    booked = {row["_id"]: row for row in rows}
    for request_id, giver in acknowledged.items():
        if gift_key(giver, request_id) not in booked:
            scene.faults.add("gift_lost", f"{request_id} of {giver}")
    heard = [(row["live_id"], row["epoch"], row["seq"]) for row in rows if "seq" in row]
    if len(set(heard)) != len(heard):
        scene.faults.add("gift_doubled", f"{len(heard)} gifts, {len(set(heard))} events")
    return len(booked)
