"""Withdrawals that are switched off."""

from typing import Any

import pytest

from tests.support.api import ApiFixture
from tests.support.income import income_of, payee


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"withdraw": {"enabled": "off", "maturity_days": 0}}


@pytest.mark.gen_test(timeout=20)
async def test_withdrawals_that_are_off_are_refused_and_listed(api: ApiFixture) -> None:
    host = await payee(api)
    reply = await host.post("qlive_pay/withdraw/", income=100, request_id="r1")
    assert reply.refusal == (409, "withdraw_off")
    listed = (await host.get("qlive_pay/withdrawals/")).ok()
    assert (listed["matured"], listed["items"], listed["has_more"]) == (1_000, [], False)
    assert await income_of(host) == 1_000
