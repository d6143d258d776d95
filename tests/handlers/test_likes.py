import pytest

from tests.phones import Street


@pytest.mark.gen_test(timeout=20)
async def test_a_like_is_kept_until_it_is_taken_back(street: Street) -> None:
    anna, bert = await street.person("anna", 2), await street.person("bert", 1)
    assert (await anna.get("qlive_like/", user_id=bert.id)).ok() == {"like_state": 0}
    liked = await anna.post("qlive_like/", user_id=bert.id, like_state=1)
    assert liked.ok() == {"detail": "ok"}
    assert (await anna.get("qlive_like/", user_id=bert.id)).ok() == {"like_state": 1}
    assert (await bert.get("qlive_like/", user_id=anna.id)).ok() == {"like_state": 0}
    (await anna.post("qlive_like/", user_id=bert.id, like_state="0")).ok()
    assert (await anna.get("qlive_like/", user_id=bert.id)).ok() == {"like_state": 0}


@pytest.mark.gen_test(timeout=20)
async def test_nobody_likes_oneself_or_nobody(street: Street) -> None:
    anna = await street.person("anna", 2)
    oneself = await anna.post("qlive_like/", user_id=anna.id, like_state=1)
    assert oneself.refusal == (400, "bad_parameter")
    assert oneself.json["fields"].keys() == {"user_id"}
    nobody = await anna.post("qlive_like/", user_id="10000000", like_state=1)
    assert nobody.refusal == (404, "no_such_user")
    assert (await anna.get("qlive_like/", user_id="10000000")).refusal == (404, "no_such_user")
    assert (await anna.get("qlive_like/", user_id=anna.id)).refusal == (400, "bad_parameter")


@pytest.mark.gen_test(timeout=20)
async def test_a_like_is_there_or_not_and_nothing_between(street: Street) -> None:
    anna, bert = await street.person("anna", 2), await street.person("bert", 1)
    for wrong in (2, -1, "yes", "", 0.5):
        answer = await anna.post("qlive_like/", user_id=bert.id, like_state=wrong)
        assert answer.refusal == (400, "bad_parameter"), wrong
        assert answer.json["fields"].keys() == {"like_state"}
    assert (await anna.get("qlive_like/", user_id=bert.id)).ok() == {"like_state": 0}
