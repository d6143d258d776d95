import pytest
from pymongo.errors import OperationFailure

from storage.database import Database
from storage.latency import Latency
from tests.storage.conftest import NAME

gen_test = pytest.mark.gen_test(timeout=60)


@gen_test
async def test_every_command_is_told_with_its_outcome_and_its_seconds(mongo_uri: str) -> None:
    heard: list[tuple[str, str, float]] = []
    database = Database(mongo_uri, NAME, [Latency(lambda *it: heard.append(it))])
    await database.collection("things").find_one({})
    with pytest.raises(OperationFailure):
        await database.collection("things").find_one({"$nonsense": 1})
    await database.close()
    finds = [(name, outcome) for name, outcome, _ in heard if name == "find"]
    assert finds == [("find", "ok"), ("find", "failed")]
    assert all(0 < seconds < 30 for _, _, seconds in heard)
