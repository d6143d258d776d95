"""Runs the pages and components of the example mini-program against a server."""

import pytest

from rooms.members import GracePolicy
from tests.support.node import run
from tests.support.paths import ROOT

pytestmark = pytest.mark.programs

FOLDER = ROOT / "tests" / "examples"


@pytest.fixture
def demo_users():
    return True


@pytest.fixture
def changes():
    return {
        "giving": {"day_gold": 1_000, "month_gold": 10_000},
        "age_verification": {"provider": "faceid"},
        "withdraw": {"maturity_days": 0, "min_fen": 10, "auto_fen": 10_000},
    }


@pytest.fixture
def grace():
    return GracePolicy(shown=100)


async def test_three_users_complete_an_evening_in_the_example(http_api):
    await run("--test", FOLDER / "evening.test.mjs", QLIVE_ADDRESS=http_api.address)


async def test_one_phone_shows_a_room_as_it_should():
    await run("--test", FOLDER / "room.test.mjs")
