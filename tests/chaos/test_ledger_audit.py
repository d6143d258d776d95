from types import SimpleNamespace
from typing import Any

import pytest

from chaos.ledger_audit import audit_gifts
from chaos.violations import Violations
from runtime.process import ServerProcess
from tests.handlers.test_gifts import CANDY, give
from tests.support.api import ApiFixture


@pytest.mark.gen_test(timeout=60)
async def test_a_missing_gift_and_a_wrong_balance_are_found(
    api: ApiFixture, server: ServerProcess, mongo_uri: str
) -> None:
    anna, bert = await api.user("anna", 2, gold=100), await api.user("bert", 1)
    (await give(anna, bert.id, CANDY, request_id="one")).ok()
    fleet = SimpleNamespace(
        mongodb=SimpleNamespace(uri=mongo_uri), database=server.settings.mongodb.database
    )
    run: Any = SimpleNamespace(fleet=fleet, violations=Violations())
    assert await audit_gifts(run, {"one": anna.id}) == 1
    assert not run.violations
    users = server.context.database.collection("users")
    await users.update_one({"_id": anna.id}, {"$inc": {"gold": 1}})
    await audit_gifts(run, {"one": anna.id, "two": anna.id})
    assert run.violations.counts == {"ledger_problem": 1, "gift_lost": 1}
