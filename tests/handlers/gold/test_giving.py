"""Limits of giving over HTTP; tests/ledger/test_giving.py shows the rules."""

from typing import Any

import pytest

from tests.support.api import ApiFixture
from tests.support.gifts import CANDY, CAR, ROSE, give

PATH = "qlive_user/giving_limits/"
CAP: dict[str, Any] = {"own": 0, "next": None, "next_at": None, "house": 0}


async def test_without_caps_nothing_is_refused_and_what_was_given_is_shown(
    api: ApiFixture,
) -> None:
    anna, bert = await api.user("anna", 2, gold=100), await api.user("bert", 1)
    for left in (95, 90):
        assert (await give(anna, bert.id)).ok() == {"status": "success", "gold": left, "income": 0}
    given = CAP | {"given": 10}
    assert (await anna.get(PATH)).ok() == {"gift": CAP, "day": given, "month": given}


@pytest.mark.parametrize(
    "changes",
    [
        {
            "giving": {
                "gift_gold": 1000,
                "day_gold": 20,
                "month_gold": 1500,
                "cool_off_gold": 18,
            }
        }
    ],
)
async def test_caps_are_refused_with_their_code_and_confirmed_gifts_pass(api: ApiFixture) -> None:
    anna, bert = await api.user("anna", 2, gold=5000), await api.user("bert", 1)
    assert (await give(anna, bert.id, CAR)).refusal == (403, "over_gift_cap")
    assert (await give(anna, bert.id, CANDY, 5)).refusal == (403, "over_day_cap")
    reminded = (await give(anna, bert.id, CANDY, 2, request_id="r")).ok()
    assert reminded == {"status": "success", "gold": 4990, "income": 0, "reminder": True}
    assert (await give(anna, bert.id, CANDY, request_id="s")).refusal == (
        409,
        "confirmation_needed",
    )
    confirmed = (await give(anna, bert.id, CANDY, request_id="s", confirm="true")).ok()
    assert confirmed == {"status": "success", "gold": 4985, "income": 0}
    assert (await give(anna, bert.id, CANDY, 2, request_id="r")).ok() == reminded
    (await give(anna, bert.id, ROSE, 3, confirm="true")).ok()
    assert (await give(anna, bert.id, ROSE)).refusal == (403, "cooling_off")
    limits = (await anna.get(PATH)).ok()
    assert limits["gift"] == CAP | {"house": 1000}
    assert limits["day"] == CAP | {"given": 18, "house": 20}


async def test_own_caps_are_lowered_at_once_and_raised_after_a_day(api: ApiFixture) -> None:
    anna, bert = await api.user("anna", 2, gold=100), await api.user("bert", 1)
    (await give(anna, bert.id)).ok()
    lowered = (await anna.post(PATH, day_gold=6)).ok()
    assert (lowered["day"], lowered["month"]["own"]) == (CAP | {"given": 5, "own": 6}, 0)
    assert (await give(anna, bert.id, confirm="true")).refusal == (403, "over_day_cap")
    raised = (await anna.post(PATH, day_gold=0, month_gold=50)).ok()
    assert (raised["day"]["own"], raised["day"]["next"], raised["month"]["own"]) == (6, 0, 50)
    assert raised["day"]["next_at"] is not None
    assert (await anna.get(PATH)).ok() == raised
    assert (await anna.post(PATH, day_gold=-1)).refusal == (400, "bad_parameter")


async def test_an_own_cap_of_a_gift_is_lowered_at_once_and_raised_after_a_day(
    api: ApiFixture,
) -> None:
    anna, bert = await api.user("anna", 2, gold=100), await api.user("bert", 1)
    lowered = (await anna.post(PATH, gift_gold=6)).ok()
    untouched = CAP | {"given": 0}
    assert lowered == {"gift": CAP | {"own": 6}, "day": untouched, "month": untouched}
    assert (await give(anna, bert.id, CANDY, 2)).refusal == (403, "over_gift_cap")
    assert (await give(anna, bert.id)).ok() == {"status": "success", "gold": 95, "income": 0}
    raised = (await anna.post(PATH, gift_gold=20)).ok()
    assert (raised["gift"]["own"], raised["gift"]["next"]) == (6, 20)
    assert raised["gift"]["next_at"] is not None
    assert (await anna.get(PATH)).ok() == raised
