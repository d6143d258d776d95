"""Runs the pages and components of the example mini-program against a server."""

from typing import Any

import pytest

from tests.support.api import ApiFixture
from tests.support.node import run
from tests.support.paths import ROOT

pytestmark = pytest.mark.programs

EVENING = ROOT / "tests" / "examples" / "evening.test.mjs"


@pytest.fixture
def demo_users() -> bool:
    return True


@pytest.fixture
def changes() -> dict[str, Any]:
    return {
        "presence": {"shown_after_seconds": 0.1},
        "giving": {"day_gold": 1_000, "month_gold": 10_000},
        "age_verification": {"provider": "faceid"},
        "withdraw": {"maturity_days": 0, "min_fen": 10, "auto_fen": 10_000},
    }


async def test_three_users_complete_an_evening_in_the_example(http_api: ApiFixture) -> None:
    await run("--test", EVENING, QLIVE_ADDRESS=http_api.address)
