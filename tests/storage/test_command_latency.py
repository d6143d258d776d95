import pytest
from pymongo.errors import OperationFailure

from storage.command_latency import CommandLatency
from storage.database import Database
from tests.support.storage import NAME

gen_test = pytest.mark.gen_test(timeout=60)


@gen_test
async def test_every_command_is_reported_with_outcome_and_seconds(mongo_uri: str) -> None:
    reports: list[tuple[str, str, float]] = []
    database = Database(mongo_uri, NAME, [CommandLatency(lambda *it: reports.append(it))])
    await database.collection("things").find_one({})
    with pytest.raises(OperationFailure):
        await database.collection("things").find_one({"$nonsense": 1})
    await database.close()
    finds = [(name, outcome) for name, outcome, _ in reports if name == "find"]
    assert finds == [("find", "ok"), ("find", "failed")]
    assert all(0 < seconds < 30 for _, _, seconds in reports)
