"""Limits of giving over HTTP; tests/ledger/test_giving.py shows the rules."""

from typing import Any

import pytest

from tests.support.api import ApiFixture
from tests.support.gifts import CANDY, CAR, ROSE, give

PATH = "qlive_user/giving_limits/"
CAP: dict[str, Any] = {"own": 0, "next": None, "next_at": None, "house": 0}


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
    for left in (95, 90):
        assert (await give(anna, bert.id)).ok() == {"status": "success", "gold": left, "income": 0}
    given = CAP | {"given": 10}
    assert (await anna.get(PATH)).ok() == {"gift": CAP, "day": given, "month": given}
    for change, code in (({"day_gold": 11}, "over_day_cap"), ({"gift_gold": 4}, "over_gift_cap")):
        (name, own), *_ = change.items()
        name = name.removesuffix("_gold")
        lowered = (await anna.post(PATH, **change)).ok()
        assert lowered[name]["own"] == own
        assert (await give(anna, bert.id, confirm="true")).refusal == (403, code)
        raised = (await anna.post(PATH, **{f"{name}_gold": 0, "month_gold": 50})).ok()
        assert (raised[name]["own"], raised[name]["next"], raised["month"]["own"]) == (own, 0, 50)
        assert raised[name]["next_at"] is not None
        assert (await anna.get(PATH)).ok() == raised
    assert (await anna.post(PATH, day_gold=-1)).refusal == (400, "bad_parameter")
