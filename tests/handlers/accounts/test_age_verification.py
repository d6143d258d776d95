"""The age of users, whom recharge and gifts may require to be adults."""

import json
from datetime import date
from typing import Any

import pytest

from services.accounts.age_verification import birthday_of, is_adult
from tests.support.api import ApiFixture
from tests.support.gifts import give

ADULT, CHILD = "11010119900307002X", "110101201803070028"
VERIFY = "qlive_user/verify_age/"


@pytest.mark.parametrize(
    "number", ["11010119900230002X", "110101199003070021", "11010119900307002", "1" * 19, ""]
)
def test_a_number_with_a_wrong_digit_day_or_length_is_none(number: str) -> None:
    assert birthday_of(ADULT) == date(1990, 3, 7)
    assert birthday_of(number) is None


def test_users_are_adults_from_their_18th_birthday_on() -> None:
    birthday = date(2008, 2, 29)
    assert not is_adult(birthday, date(2026, 2, 28))
    assert is_adult(birthday, date(2026, 3, 1))
    assert is_adult(date(2008, 3, 1), date(2026, 3, 1))


@pytest.mark.parametrize("changes", [{"age_verification": {"provider": "faceid"}}])
async def test_a_verified_user_gives_and_recharges_and_nothing_of_the_card_is_stored(
    api: ApiFixture, db: Any, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    anna, bert = await api.user("anna", 2, gold=100), await api.user("bert", 1)
    for refused in (await give(anna, bert.id), await anna.post("qlive_pay/", block_id=1)):
        assert refused.refusal == (403, "age_unverified")
    answers = [
        await anna.post(VERIFY, name=name, id_number=number)
        for name, number in (
            *(("忙", ADULT), ("别人", ADULT)),
            *(("张三", CHILD), ("张三", ADULT[:-1] + "1")),
        )
    ]
    refusals = ["faceid_away", "age_unverified", "age_unverified", "bad_parameter"]
    assert [answer.refusal[1] for answer in answers] == refusals
    assert answers[-1].json["fields"].keys() == {"id_number"}
    for name in ("张三", "别人"):  # verified: FaceID is not asked again
        (await anna.post(VERIFY, name=name, id_number=ADULT.lower())).ok()
    (await give(anna, bert.id)).ok()
    (await anna.post("qlive_pay/", block_id=1)).ok()
    rows = [row for name in db.list_collection_names() for row in db[name].find()]
    stored = json.dumps(rows, default=str, ensure_ascii=False)
    written = f"{stored} {caplog.text} {capfd.readouterr()} {[answer.json for answer in answers]}"
    assert not [word for word in ("张三", "别人", ADULT[:-1]) if word in written]


@pytest.mark.parametrize(
    "changes", [{"age_verification": {"provider": name}} for name in ("manual", "faceid")]
)
async def test_only_an_operator_verifies_a_user_again_whom_one_has_refused_and_with_a_reason(
    api: ApiFixture, changes: dict[str, Any]
) -> None:
    anna, bert = await api.user("anna", 2, gold=100), await api.user("bert", 1)
    card = {"name": "张三", "id_number": ADULT}
    if changes["age_verification"]["provider"] == "manual":
        assert (await anna.post(VERIFY, **card)).refusal == (403, "age_unverified")
    for reason in ({}, {"reason": " "}):
        reply = await api.ops("PATCH", f"users/{anna.id}", age_verified=True, **reason)
        assert (reply.refusal, reply.json["fields"].keys()) == ((400, "bad_parameter"), {"reason"})
    for verified, reason in ((True, "seen at the desk"), (False, "a child's"), (True, "seen")):
        reply = await api.ops("PATCH", f"users/{anna.id}", age_verified=verified, reason=reason)
        assert (reply.ok()["age_verified_at"] is not None) is verified
        entry = (await api.ops("GET", "audit")).ok()["items"][0]
        assert (entry["reason"], entry["before"]["age_verified"]) == (reason, not verified)
        assert entry["after"]["age_verified"] is verified
        for answer in (await anna.post(VERIFY, **card), await give(anna, bert.id)):
            assert answer.status == 200 if verified else answer.refusal == (403, "age_unverified")
